"""What a batch of blocks is and what a segment of it does, as arrays: no tables.

Operations and their hashed items, receipts, the leaves of the access tree, and every step with its time.

May import: functions, limbs, programs, statement, widths.
"""
