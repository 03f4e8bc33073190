"""Workloads with contracts from real compilers: traffic, what must come of it, and the examples built of it.

May import of `scripts`: nothing.
"""
