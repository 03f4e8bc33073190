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
    argument="The providing table is the fixed list 0..65535 (first row 0, step 1, last row 65535), so a queried value "
    "is one of them.",
)
