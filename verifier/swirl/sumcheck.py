"""The sumcheck protocol, from the verifier's side (https://doi.org/10.1145/146585.146605).

The claim is a value that the sum of a polynomial over the cube has. In each round the prover sends the polynomial in
one variable, the others summed up, by its values at 1, 2, ...; that at 0 follows from the claim. At a random place of
it the next claim is made.
"""

from __future__ import annotations

from verifier.errors import Invalid
from verifier.swirl.field import Extension
from verifier.swirl.hashing import Transcript
from verifier.swirl.polynomials import evaluate, interpolate


def next_claim(claim: Extension, polynomial: Extension, challenge: Extension) -> Extension:
    """The claim behind a round: the polynomial with these values (d,) at 1, ..., d, at the challenge."""
    return interpolate(Extension.stack([claim - polynomial[0], *polynomial]), challenge)


def over_cube(claim: Extension, polynomials: Extension, transcript: Transcript) -> tuple[Extension, list[Extension]]:
    """Reduce a sum over the cube, one round for each of the polynomials (n, d), to a claim at a point."""
    challenges = []
    for polynomial in polynomials:
        transcript.observe_array(polynomial)
        challenges.append(transcript.sample_extension())
        claim = next_claim(claim, polynomial, challenges[-1])
    return claim, challenges


def over_prism(
    claim: Extension, univariate: Extension, polynomials: Extension, log_domain: int, transcript: Transcript
) -> tuple[Extension, Extension]:
    """Reduce a sum over the prism (`polynomials`) to a claim at a point (1 + n,).

    Args:
        univariate: the coefficients of the first round's polynomial, whose variable runs through the domain.

    Raises:
        Invalid: if the first round does not have the claimed sum.
    """
    # Over the domain every power sums up to zero but those whose exponents its size divides.
    if univariate[:: 1 << log_domain].sum() * (1 << log_domain) != claim:
        raise Invalid("the univariate round of a sumcheck does not have the claimed sum")
    transcript.observe_array(univariate)
    first = transcript.sample_extension()
    claim, challenges = over_cube(evaluate(univariate, first), polynomials, transcript)
    return claim, Extension.stack([first, *challenges])
