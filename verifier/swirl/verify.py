"""The verifier of SWIRL in Python alone: what the engine's verifier checks, written to be read.

A proof says that tables of given heights satisfy the constraints of a key and that their bus messages balance. It is
checked in four steps, each of which reduces claims to simpler ones: the buses (`gkr`), the constraints (`constraints`),
the columns (`stacking`), the committed matrix (`whir`). All challenges come from one transcript (`hashing`).

The protocol is the one of the crate openvm-stark-backend 2.0; the papers are cited where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifier.swirl.constraints import verify_constraints
from verifier.swirl.hashing import Transcript
from verifier.swirl.key import VerifyingKey
from verifier.swirl.proof import Proof, decode
from verifier.swirl.security import SecurityReport, security
from verifier.swirl.stacking import verify_stacking
from verifier.swirl.whir import verify_openings


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """What a verified proof says.

    Attributes:
        public_values: of each table of the key; empty for one without rows.
        log_heights: of each table, None without rows.
        cached_commits: to the cached parts of each table, 8 elements each.
        security: what is proven about proofs of this size.
    """

    public_values: list[list[int]]
    log_heights: tuple[int | None, ...]
    cached_commits: list[list[list[int]]]
    security: SecurityReport


def verify(key: VerifyingKey, encoding: bytes) -> VerifiedProof:
    """Verify a proof.

    Raises:
        Invalid: if it is malformed, has sizes that the security analysis does not cover, or does not verify.
    """
    proof = decode(key, encoding)
    report = security(key, proof.log_heights)
    transcript = Transcript()
    observe_statement(key, proof, transcript)
    point = verify_constraints(key, proof, transcript)
    stacked_point = verify_stacking(key, proof, point, transcript)
    verify_openings(key, proof, stacked_point, transcript)
    tables = range(len(key.tables))
    commits = [roots.tolist() for roots in proof.cached]
    return VerifiedProof([proof.public_values(table) for table in tables], proof.log_heights, commits, report)


def observe_statement(key: VerifyingKey, proof: Proof, transcript: Transcript) -> None:
    """Everything the challenges depend on from the start: key, commitments, heights, public values."""
    transcript.observe(*key.digest)
    transcript.observe_array(proof.base("commitment").astype(np.uint64))
    for number, (table, height) in enumerate(zip(key.tables, proof.log_heights, strict=True)):
        if not table.required:
            transcript.observe(int(height is not None))
        if height is not None:
            transcript.observe(height)
            transcript.observe_array(proof.cached[number].astype(np.uint64))
        transcript.observe(*proof.public_values(number))
