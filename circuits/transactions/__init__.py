"""Operations in the order of the `chain` bus: transactions with access lists and fees, withdrawals, system calls.

And the blocks they belong to.

May import: air, batch, component, frames, hashing, limbs, memory, state, statement, widths.
"""
