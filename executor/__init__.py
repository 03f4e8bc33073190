"""Execution of batches with py-evm: batch files in, execution trace and state witness out.

What goes in: ``batch`` (batches and the batch file), ``transactions``, ``forks`` and ``rules``. How it runs:
``execute`` (the run), ``chain`` (blocks), ``machine`` (py-evm within ``limits``), ``tracer``, ``traced_state`` and
``recorder`` (what it does). What comes out: ``trace`` (everything, as tables), ``trace_file``, ``witness``
(Merkle-Patricia nodes), ``transfers`` (what the circuits read of value transfers), ``rebuild`` (what follows from a
trace alone). Around it: ``fixtures`` and ``conformance`` (the public test suites), ``limbs`` (words as 16-bit limbs),
``errors``.

Nothing is imported here, so that a proving worker that only needs ``executor.transfers`` does not load py-evm; and who
loads it does not load all of it (``postponed``).
"""

from executor.postponed import postpone

postpone()
