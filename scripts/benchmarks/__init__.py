"""Measurements beside `zkevm bench`: Keccak, precompiles, scaling, and what tracing costs.

May import of `scripts`: batches, workloads.
"""
