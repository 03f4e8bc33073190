"""Cuts a batch into segments, proves each of them, and puts the proofs together."""
