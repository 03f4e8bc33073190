"""Measurements beside `zkevm bench`: Keccak, scaling, and what tracing costs.

May import of `scripts`: workloads.
"""
