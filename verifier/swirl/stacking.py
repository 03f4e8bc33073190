"""From openings of columns to openings of the stacked matrix.

All columns lie one behind the other in a matrix of columns of one height, whose commitment is opened, but for cached
parts of tables, which have matrices and commitments of their own. One sumcheck
reduces the claims about all columns, and about their successors' rows, to one about each column of that matrix at one
point: the part of column and bits is fixed by where the column lies, that of the row by the kernels of equality and
rotation.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import MODULUS
from verifier.errors import Invalid
from verifier.swirl.constraints import by_commitment, lowered, opened_rows
from verifier.swirl.field import DEGREE, Extension, dot
from verifier.swirl.hashing import Transcript
from verifier.swirl.key import VerifyingKey
from verifier.swirl.polynomials import (
    equality,
    is_in_subgroup,
    prism_equality,
    prism_rotation,
)
from verifier.swirl.proof import Proof
from verifier.swirl.sumcheck import over_prism


def verify_stacking(key: VerifyingKey, proof: Proof, point: Extension, transcript: Transcript) -> Extension:
    """Check the columns' openings at `point`, if the stacked columns have the values that `proof` opens.

    Returns:
        The point (1 + n_stack,) at which they are opened.

    Raises:
        Invalid: if the openings do not follow from them.
    """
    log_domain = key.parameters.l_skip
    placement = proof.placement
    parts = [opened_rows(proof, number) for number in range(len(proof.traces))]
    claims = Extension.concatenate(by_commitment(parts))
    batching = transcript.sample_extension()
    weights = (batching * batching).powers(len(claims))
    here, successor = Extension(claims.cells[:, 0]), Extension(claims.cells[:, 1])
    value = dot(here + successor * batching, weights)

    value, stacked_point = over_prism(
        value,
        proof.extension("stacking univariate"),
        proof.extension("stacking sumcheck"),
        log_domain,
        transcript,
    )

    coefficients = np.zeros((sum(placement.widths), DEGREE), dtype=np.uint64)
    for number, trace in enumerate(proof.traces):
        columns = np.flatnonzero(placement.trace == number)
        lifted = trace.lifted(log_domain)
        row = lowered(point, trace, log_domain)
        inside = stacked_point[: len(row)]
        log_own = min(log_domain, trace.log_height)
        kernel = prism_equality(log_own, inside, row)
        if trace.key.uses_next:
            kernel = kernel + batching * prism_rotation(log_own, inside, row)
        kernel = kernel * is_in_subgroup(log_domain, log_own, stacked_point[0])
        free = np.arange(lifted, key.parameters.log_stacked_height)
        bits = (placement.row[columns] >> free[:, None] & 1).astype(np.uint64)
        places = equality(Extension(stacked_point.cells[len(row) :, None]), bits)
        # Sums of fewer than 2^33 elements are exact.
        np.add.at(coefficients, placement.column[columns], (weights[columns] * places * kernel).cells)
    openings = stacked_openings(proof)
    transcript.observe_array(openings)
    if dot(Extension(coefficients % np.uint64(MODULUS)), openings) != value:
        raise Invalid("the openings of the columns do not follow from those of the stacked ones")
    return stacked_point


def stacked_openings(proof: Proof) -> Extension:
    """The openings of the columns of all stacked matrices, (w,)."""
    matrices = range(len(proof.placement.widths))
    return Extension.concatenate([proof.extension(f"stacked openings {matrix}") for matrix in matrices])
