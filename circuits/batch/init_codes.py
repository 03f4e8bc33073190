"""The ids under which initcodes run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.widths import WORD_BYTES

#: Ids of initcodes begin here: those of other codes are row numbers of a table, and no table has as many rows.
INIT_CODE_BASE = 1 << 25


def init_code_rows(sizes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Rows of 32 bytes that initcodes of these sizes (n,) take.

    A row of zeros follows their bytes, and one more if these fill their last row: a PUSH32 in its last place has 32
    bytes of data behind it, and behind those a STOP.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    full = (sizes > 0) & (sizes % WORD_BYTES == 0)
    rows: NDArray[np.int64] = -(-sizes // WORD_BYTES) + 1 + full
    return rows


def init_code_ids(sizes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Ids (n,) of a segment's initcodes of these sizes, in the order of the frames that run them.

    They stand one after the other in their table: an id is INIT_CODE_BASE and the number of the first row.
    """
    rows = init_code_rows(sizes)
    ids: NDArray[np.int64] = INIT_CODE_BASE + np.cumsum(rows) - rows
    return ids
