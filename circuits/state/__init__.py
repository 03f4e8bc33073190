"""Accounts, slots, codes and block hashes: histories of their values between two roots of the access tree.

May import: air, batch, component, functions, hashing, limbs, statement, widths.
"""
