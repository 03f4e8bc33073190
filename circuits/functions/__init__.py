"""Functions: hashes, products, bitwise operations and ranges, and their buses.

Their tables prove statements that are true whoever asks; no table here knows of an execution.

May import: air, limbs, widths.
"""
