"""Attacks on the readers of files from outside: batches, traces, proofs and fixtures.

May import of `scripts`: batches.
"""
