"""A verifier of segment proofs in Python: the SWIRL protocol as its documentation and papers describe it.

It shares no code with the proof engine, reads the same pinned keys and decides about the same bytes.
"""
