"""Generators of batches: small ones for a purpose, random programs, and a chain made by hand.

May import of `scripts`: workloads.
"""
