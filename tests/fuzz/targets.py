"""All targets."""

from __future__ import annotations

from tests.fuzz import batches, fixtures, proofs, traces
from tests.fuzz.target import Target

TARGETS: tuple[Target, ...] = (*batches.TARGETS, *traces.TARGETS, *proofs.TARGETS, *fixtures.TARGETS)
DECODERS = tuple(dict.fromkeys(target.decoder for target in TARGETS))
