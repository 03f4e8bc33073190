"""The state of a frame that calls change, as the rows have it that take it: its return data, its reserve of gas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuits.air.expression import Operand
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import Layout, element, limb, nested
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers
from circuits.batch.frame_data import FrameStates, ReturnData, return_data
from circuits.frames.buses import FRAME_STATE
from circuits.statement import gas_limbs
from circuits.widths import U64

_BUS = "frame_state bus"


class FrameState(Layout):
    """The frame's token, as a step takes it."""

    source = element("frame in whose memory the return data lies, 0 if there is none", by=_BUS)
    start = element("its first byte there", by=_BUS)
    size = element("its bytes, at most 2^24", by=_BUS)
    reserve = limb("gas beyond what steps count", U64, by=_BUS)
    order = nested(TimeOrder, "the token is earlier than the step")

    @staticmethod
    def constrain(air: Air, cells: Any, count: Operand, after: Sequence[Any] | None = None) -> None:
        """Take the token and send it on where `count` is 1; the row is a step (`circuits.instructions.step.Step`).

        `after`: source, start, size and reserve that are sent, where the step changes them.
        """
        row = air.row
        state = cells.source, cells.start, cells.size, cells.reserve
        count = air.graph.lift(count)
        TimeOrder.constrain(air, cells.order, row.time, count)
        air.receive(FRAME_STATE, row.frame, *state, cells.order.before, count=count)
        air.send(FRAME_STATE, row.frame, *(after or state), row.time, count=count)

    @staticmethod
    def flat(cells: Any) -> tuple[Any, ...]:
        """All cells, for where no token is taken."""
        return (cells.source, cells.start, cells.size, cells.reserve, cells.order.before, cells.order.low)

    @staticmethod
    def fill(cells: Any, execution: Execution, steps: Integers) -> ReturnData:
        """The token that these steps take. Returns the return data that they find."""
        found = return_data(execution, execution.frame[steps], steps)
        cells.source, cells.start, cells.size = found.source, found.start, found.size
        cells.reserve = gas_limbs(execution.step_reserve[steps])
        TimeOrder.fill(cells.order, execution.time[steps], FrameStates.of(execution).time_before(steps))
        return found
