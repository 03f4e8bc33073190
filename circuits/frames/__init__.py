"""Message calls: how they begin, count gas and end, and what they read - code, calldata and contexts.

May import: air, batch, component, functions, hashing, limbs, memory, state, statement, widths.
"""
