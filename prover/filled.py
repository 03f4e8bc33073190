"""Tables of segments that planning has filled, for whoever proves the same segments in the same process."""

from collections.abc import Mapping

from circuits.batch.execution import Batch, Execution
from circuits.segment import FilledSegment, TableHeight, fill

#: So much is kept, bytes. More is not worth its memory: the larger the tables, the smaller the part that filling them
#: has in proving them.
KEPT_BYTES = 64 << 20


class FilledSegments:
    """Fills the segments of a batch, and keeps the last ones.

    Args:
        limit: bytes of tables that may be kept; with 0 nothing is.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._kept: dict[tuple[int, int], FilledSegment] = {}

    def heights(self, batch: Batch, first: int, end: int) -> Mapping[str, TableHeight]:
        """Heights of the tables that the segment of operations `first .. end - 1` has, which are filled to find out."""
        filled = fill(Execution(batch, first, end))
        self._kept[first, end] = filled
        while sum(each.nbytes for each in self._kept.values()) > self._limit:
            del self._kept[next(iter(self._kept))]
        return filled.heights

    def take(self, first: int, end: int) -> FilledSegment | None:
        """The segment of operations `first .. end - 1`, which is not kept any longer; None if it is not."""
        return self._kept.pop((first, end), None)
