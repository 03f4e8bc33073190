"""Arithmetic modulo large numbers: one machine that runs straight-line programs over registers of 256 or 384 bits.

May import: air, component, functions, limbs, widths.
"""
