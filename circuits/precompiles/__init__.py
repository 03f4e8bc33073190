"""Precompiles: what answers a message call instead of code.

May import: air, batch, component, frames, functions, instructions, memory, modexp, widths.
"""
