"""The memory of frames: tokens of its words, aligned and unaligned accesses, the price of growth.

May import: air, batch, component, functions, limbs, programs, widths.
"""
