"""Instructions, by the modules of the execution specs, and the step adapter that they share.

Every exceptional halt is proved here, too. Nothing but the segment imports an instruction.

May import: air, batch, component, frames, functions, hashing, limbs, memory, state, statement, transactions, widths.
"""
