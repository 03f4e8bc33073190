"""All targets."""

from __future__ import annotations

from scripts.fuzzing import batches, documents, fixtures, proofs, traces
from scripts.fuzzing.target import Target

TARGETS: tuple[Target, ...] = (
    *batches.TARGETS,
    *documents.TARGETS,
    *traces.TARGETS,
    *proofs.TARGETS,
    *fixtures.TARGETS,
)
DECODERS = tuple(dict.fromkeys(target.decoder for target in TARGETS))
