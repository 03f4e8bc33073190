"""Circuits of the zkEVM: one module per EVM topic or table, written in the language of `circuits.air`."""
