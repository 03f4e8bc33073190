"""The field machine: tables that prove that programs were run on registers of 256 or 384 bits.

May import: air, batch, component, frames, functions, instructions, memory, programs, widths.
"""
