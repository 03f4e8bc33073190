"""The range bus every table may use, declared beside the language because column types refer to it."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind

#: A byte is a limb whose 256-fold is a limb too.
BYTE_RANGE_FACTOR = 1 << 8

RANGE16 = Bus(
    index=0,
    name="range16",
    kind=BusKind.LOOKUP,
    fields=(BusField("value", 1, "a 16-bit limb", "range16: the table lists 0..65535"),),
    argument="The providing table is the fixed list 0..65535: its runs of limbs start at 0, step by their length and "
    "end at 65535. So a queried value is one of them.",
)
