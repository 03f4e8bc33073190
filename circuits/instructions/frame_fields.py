"""What the frame of a step says of it: whose storage it works on, and in which world (`circuits.batch.worlds`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuits.air.expression import Expression, Operand
from circuits.air.layout import Layout, element, limb
from circuits.air.table import Air, flatten
from circuits.batch.execution import Execution, Integers
from circuits.frames.buses import FRAME
from circuits.widths import ADDRESS

FRAME_BUS = "frame bus"


class WritingFrameFields(Layout):
    """What the frame says of a step that changes the state: the frame is not static (EIP-214)."""

    operation = element("number of the transaction", by=FRAME_BUS)
    scope = element("scope of the block", by=FRAME_BUS)
    address = limb("account whose storage the frame works on", ADDRESS, by=FRAME_BUS)
    world = element("innermost frame around the step that fails; 0: none does", by=FRAME_BUS)

    @classmethod
    def constrain(cls, air: Air, cells: Any, count: Operand) -> None:
        """The fields are those of the row's frame where `count` is 1."""
        fields = (cells.operation, cells.scope, cells.address, cells.world)
        air.query(FRAME, air.row.frame, *fields, cls._static(cells), count=count)

    @staticmethod
    def _static(cells: Any) -> Any:
        return 0

    @staticmethod
    def flat(cells: Any) -> tuple[Any, ...]:
        """All cells, for where no frame is asked."""
        return (cells.operation, cells.scope, cells.address, cells.world)

    @classmethod
    def fill(cls, cells: Any, execution: Execution, steps: Integers) -> None:
        """`steps`: those of the rows."""
        frame = execution.frame[steps]
        operation = execution.operation[steps]
        cells.operation = operation
        cells.scope = execution.operations.scope[execution.operations.block[operation]]
        cells.address = execution.trace.frames.address[execution.frame_row(frame)]
        cells.world = execution.worlds.own[frame - 1]


class FrameFields(WritingFrameFields):
    """What the frame says of a step that only looks at the state."""

    static = element("1: the frame may change nothing", by=FRAME_BUS)

    @staticmethod
    def _static(cells: Any) -> Any:
        return cells.static

    @staticmethod
    def flat(cells: Any) -> tuple[Any, ...]:
        """All cells, for where no frame is asked."""
        return (*WritingFrameFields.flat(cells), cells.static)

    @classmethod
    def fill(cls, cells: Any, execution: Execution, steps: Integers) -> None:
        """`steps`: those of the rows."""
        super().fill(cells, execution, steps)
        cells.static = execution.trace.frames.is_static[execution.frame_row(execution.frame[steps])]


def require_idle(air: Air, idle: Expression, cells: Sequence[Any], name: str) -> None:
    """The cells are 0 where `idle` is 1."""
    for i, cell in enumerate(flatten(cells)):
        air.require(idle * cell, f"{name}: idle cell {i} is 0")
