"""The opening of the stacked matrix: WHIR, a proximity test for constrained Reed-Solomon codes.

https://eprint.iacr.org/2024/1586. The columns, batched with powers of mu, are one multilinear polynomial of which a
codeword is committed. Each round runs k steps of a sumcheck, which fold the polynomial, commits to the folded codeword
at a lower rate, and ties both together: by a value outside of the domain and by queries into the codeword before, whose
folded values become new claims of the sumcheck. The last folded polynomial is sent in full.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import MODULUS, Elements, Matrix
from verifier.errors import Invalid
from verifier.swirl.field import (
    DEGREE,
    Extension,
    base_powers,
    base_to_power_of_two,
    dot,
    root_of_unity,
)
from verifier.swirl.hashing import Transcript, check_openings
from verifier.swirl.key import VerifyingKey
from verifier.swirl.polynomials import equality, evaluate, fold, mobius_equality, multilinear
from verifier.swirl.proof import Proof
from verifier.swirl.stacking import stacked_openings
from verifier.swirl.sumcheck import next_claim

_P = np.uint64(MODULUS)
_LOW = np.uint64(16)


def verify_openings(key: VerifyingKey, proof: Proof, stacked_point: Extension, transcript: Transcript) -> None:
    """Check that the committed matrices have the stacked openings of `proof` at a point (1 + n_stack,).

    Raises:
        Invalid: naming what does not hold.
    """
    parameters, whir = key.parameters, key.parameters.whir
    transcript.check_work(whir.mu_pow_bits, int(proof.base("batching work")[0]), "batching")
    mu = transcript.sample_extension()
    openings = stacked_openings(proof)
    mus = mu.powers(len(openings))
    value = dot(openings, mus)

    log_domain_size = parameters.log_stacked_height + parameters.log_blowup
    polynomials, works = proof.extension("folding sumcheck"), proof.base("folding work").tolist()
    commitments, outside = proof.base("codeword commitments"), proof.extension("out-of-domain values")
    final = proof.extension("final polynomial")
    folded: list[Extension] = []
    claims: list[tuple[Extension, Extension, Extension | None, Elements]] = []
    for number, queries in enumerate(whir.queries):
        is_last = number == parameters.rounds - 1
        challenges = []
        for step in range(number * whir.folding, (number + 1) * whir.folding):
            transcript.observe_array(polynomials[step])
            transcript.check_work(whir.folding_pow_bits, works[step], "folding")
            challenges.append(transcript.sample_extension())
            value = next_claim(value, polynomials[step], challenges[-1])
        folded += challenges

        outside_point = None
        if is_last:
            transcript.observe_array(final)
        else:
            transcript.observe_array(commitments[number].astype(np.uint64))
            outside_point = transcript.sample_extension()
            transcript.observe_array(outside[number])

        transcript.check_work(whir.query_pow_bits, int(proof.base("query work")[number]), "the queries")
        log_leaves = log_domain_size - whir.folding
        indices = np.array([transcript.sample_bits(log_leaves) for _ in range(queries)])
        if number:
            rows = proof.base(f"rows {number}")
            check_openings(commitments[number - 1], indices, rows, proof.base(f"paths {number}"))
            codeword = Extension(rows.astype(np.uint64))
        else:
            matrices = [proof.base(f"rows 0 of {matrix}") for matrix in range(len(proof.commitments))]
            for matrix, (root, rows) in enumerate(zip(proof.commitments, matrices, strict=True)):
                check_openings(root, indices, rows, proof.base(f"paths 0 of {matrix}"))
            codeword = batched(np.concatenate(matrices, axis=2), mus)
        roots = base_powers(root_of_unity(log_domain_size), indices.astype(np.uint64))
        answers = fold(codeword, Extension.stack(challenges), roots)

        gamma = transcript.sample_extension()
        gammas = gamma.powers(queries + 2)
        if outside_point is not None:
            value = value + gamma * outside[number]
        value = value + dot(gammas[2:], answers)
        claims.append((gamma, gammas[2:], outside_point, base_to_power_of_two(roots, whir.folding)))
        log_domain_size -= 1

    # What the claims of all rounds say of the final polynomial: eq with a point (z, z^2, z^4, ...) is, for the
    # variables that are left, evaluation at a power of z.
    done = len(folded)
    point = Extension.stack([*stacked_point[0].squarings(parameters.l_skip), *stacked_point[1:]])
    alphas = Extension.stack(folded)
    total = mobius_equality(point[:done], alphas) * multilinear(final, point[done:])
    for number, (gamma, gammas, outside_point, points) in enumerate(claims):
        later = alphas[(number + 1) * whir.folding :]
        if outside_point is not None:
            total = total + gamma * _claim(later, outside_point, final)
        total = total + dot(gammas, _claim(later, Extension.of(points), final))
    if total != value:
        raise Invalid("the final polynomial is not the folded one")


def batched(rows: Matrix, mus: Extension) -> Extension:
    """Rows (q, r, w) of the stacked matrix, columns batched: (q, r)."""
    cells = rows.astype(np.uint64)
    # By halves of the weights: 2^31 * 2^16 * 2^11 columns at most are below 2^58.
    low, high = mus.cells & np.uint64((1 << 16) - 1), mus.cells >> _LOW
    return Extension((cells @ low + (cells @ high % _P << _LOW)) % _P)


def _claim(later: Extension, z: Extension, final: Extension) -> Extension:
    """The claim's weight of points z (...) on the challenges of later rounds, times the final polynomial."""
    powers = z.squarings(len(later) + 1)
    weights = Extension(later.cells.reshape(len(later), *(1,) * len(z.shape), DEGREE))
    return equality(weights, powers[: len(later)]) * evaluate(final, powers[len(later)])
