"""The sum of all bus messages is zero: LogUp by the GKR protocol for fractional sums.

LogUp: https://eprint.iacr.org/2022/1530. Fractional GKR: https://eprint.iacr.org/2023/1284.

Every interaction of every row is a fraction count / (alpha + message(beta)). The fractions are the leaves of a binary
tree in which a parent is the sum of its children, p0/q0 + p1/q1 = (p0 q1 + p1 q0) / (q0 q1). The root's numerator must
be zero. Layer by layer, a claim about numerator and denominator at a random point of one layer is reduced by a sumcheck
to one of the next, down to the leaves.
"""

from __future__ import annotations

from typing import NamedTuple

from verifier.errors import Invalid
from verifier.swirl.field import ONE, ZERO, Extension
from verifier.swirl.hashing import Transcript
from verifier.swirl.polynomials import equality
from verifier.swirl.proof import Proof
from verifier.swirl.sumcheck import over_cube


class LeafClaim(NamedTuple):
    """What is left to check: the multilinear polynomials of the leaves' numerators and denominators at a point."""

    numerator: Extension
    denominator: Extension
    point: Extension


def verify_fractions(proof: Proof, alpha: Extension, transcript: Transcript) -> LeafClaim:
    """Check that the fractions sum up to zero, if the leaves are what is returned.

    Args:
        alpha: the denominator of a leaf that is no message.

    Raises:
        Invalid: naming the layer.
    """
    layers = proof.extension("layer claims")
    root = proof.extension("root denominator")
    if not len(layers):
        if root != ONE:
            raise Invalid("the root's denominator of a proof without messages is not one")
        return LeafClaim(ZERO, alpha, Extension.stack([]))

    transcript.observe_array(root)
    numerator, denominator = _sum_of_children(layers[0], transcript)
    if numerator != ZERO:
        raise Invalid("the buses do not balance: the sum of the messages is not zero")
    if denominator != root:
        raise Invalid("the root's denominator is not that of the first layer")
    claim = _at(layers[0], transcript.sample_extension(), Extension.stack([]))
    for number in range(1, len(layers)):
        batching = transcript.sample_extension()
        value = claim.numerator + batching * claim.denominator
        value, challenges = over_cube(value, proof.extension(f"layer {number} sumcheck"), transcript)
        point = Extension.stack(challenges)
        numerator, denominator = _sum_of_children(layers[number], transcript)
        if (numerator + batching * denominator) * equality(claim.point, point) != value:
            raise Invalid(f"layer {number} of the fractions does not follow from the one before")
        claim = _at(layers[number], transcript.sample_extension(), point)
    return claim


def _sum_of_children(claims: Extension, transcript: Transcript) -> tuple[Extension, Extension]:
    """The parent's fraction; `claims` are p(0), p(1), q(0), q(1), observed in the order of the children."""
    p0, p1, q0, q1 = claims
    for claim in (p0, q0, p1, q1):
        transcript.observe_array(claim)
    return p0 * q1 + p1 * q0, q0 * q1


def _at(claims: Extension, challenge: Extension, point: Extension) -> LeafClaim:
    """The claims about both children as one about a point with one more coordinate, the first."""
    p0, p1, q0, q1 = claims
    return LeafClaim(
        p0 + challenge * (p1 - p0),
        q0 + challenge * (q1 - q0),
        Extension.stack([challenge, *point]),
    )
