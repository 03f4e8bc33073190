"""Circuits of the zkEVM: a room for each EVM topic, one module per table or family of tables.

They are written in the language of `circuits.air`. Each room says what it may import; arrows go one way, and
`segment` puts all of them together. Of `executor` they know the trace and the constants of the EVM.
"""
