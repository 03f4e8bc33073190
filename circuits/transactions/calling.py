"""What transactions and system calls have in common: the accounts that they destroy, and what they are asked for.

Their layouts have `operation`, `scope`, `destructions`, `life_asked`, `destroying_asked` and, for each of `WORDS`,
`context_asked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.table import Air
from circuits.batch.execution import Integers
from circuits.batch.operation_items import count_asked
from circuits.frames.buses import CONTEXT
from circuits.frames.contexts import BLOBS, TRANSACTION_CONTEXT
from circuits.state.buses import DELETION, DESTROYING, LIFE
from circuits.widths import ADDRESS
from executor.opcodes import OPCODES

#: The words that instructions ask for, in the order of `context_asked`: sender, gas price, blobs.
WORDS = (OPCODES["ORIGIN"], OPCODES["GASPRICE"], BLOBS)


def constrain_destructions(air: Air, begin: Expression) -> None:
    """Accounts that the operation has destroyed are deleted from `begin` on (EIP-6780); who lives is answered."""
    row, real = air.row, air.row.real
    key = (row.operation, row.scope)
    air.send(DELETION, *key, row.destructions, begin, count=real)
    air.receive(DELETION, *key, 0, begin + row.destructions, count=real)
    idle = 1 - real
    air.require(idle * row.life_asked, "padding answers nothing")
    air.require(row.destructions * row.life_asked, "where nothing is destroyed, everything lives")
    nobody = [air.constant(0)] * ADDRESS
    air.provide(LIFE, row.operation, 0, nobody, 0, multiplicity=row.life_asked)
    air.require(idle * row.destroying_asked, "padding destroys nothing")
    air.provide(DESTROYING, *key, begin - 1, multiplicity=row.destroying_asked)


def constrain_words(air: Air, words: Sequence[Sequence[Any]]) -> None:
    """These are the words (16 limbs each) that instructions ask for, in the order of `WORDS`."""
    row = air.row
    idle = 1 - row.real
    for opcode, word, asked in zip(WORDS, words, row.context_asked, strict=True):
        air.require(idle * asked, f"padding provides no word of {opcode:#x}")
        air.provide(CONTEXT, TRANSACTION_CONTEXT, row.operation, opcode, word, multiplicity=asked)


def fill_asked(
    rows: Any,
    numbers: Integers,
    life_asked: NDArray[np.uint32],
    destroying_asked: NDArray[np.uint32],
    context_asked: NDArray[np.uint32],
) -> None:
    """How often these operations (n,) are asked; `life_asked` (m, 13), `destroying_asked` (m, 3), `context_asked`
    (m, 19): what is asked of the buses.
    """
    rows.life_asked = count_asked(numbers, life_asked[life_asked[:, 1] == 0, 0])
    rows.destroying_asked = count_asked(numbers, destroying_asked[:, 0])
    own = context_asked[context_asked[:, 0] == TRANSACTION_CONTEXT]
    for k, opcode in enumerate(WORDS):
        rows.context_asked[:, k] = count_asked(numbers, own[own[:, 2] == opcode, 1])
