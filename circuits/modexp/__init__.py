"""Modular exponentiation of numbers of any length: what the call of MODEXP asks for.

May import: air, batch, functions, memory, widths.
"""
