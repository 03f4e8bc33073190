"""A laboratory for circuits: variants of a fork's circuit, what they cost, whether they hold, and proofs of their own.

    python -m lab list
    python -m lab experiment fusion

It is for those who work in a clone: no wheel has it, and nothing that proves or verifies imports it.
"""
