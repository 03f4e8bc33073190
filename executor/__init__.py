"""Execution of batches with py-evm: batch files in, execution trace and state witness out.

Modules: ``batch`` (the batch file), ``transactions`` (signed transactions), ``execute`` (the run), ``trace`` (what the
circuits read), ``witness`` (Merkle-Patricia nodes), ``limbs`` (words as 16-bit limbs), ``errors``.

Nothing is imported here, so that a proving worker that only needs ``executor.trace`` does not load py-evm.
"""
