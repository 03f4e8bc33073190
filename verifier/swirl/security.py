"""The security report: how many bits each step of the protocol is proven to have, for one proof.

The protocol is analysed round by round: a prover whose claim is false keeps it alive only if some challenge falls among
the bad ones. The error of a step is the fraction of bad challenges; its bits are -log2 of the error, plus those of the
grinding before the challenge, which count evaluations of the transcript's hash. The total is the weakest step.

The columns are committed to as words near a Reed-Solomon code of rate rho, and there are two proofs of what that means:

- **unique decoding**: words within distance (1 - rho) / 2 of the code, each near one codeword only. The parameters of
  segments are chosen for this regime.
- **list decoding up to the Johnson bound**: words within distance 1 - sqrt(rho) * (1 + 1/2m), each near a list of
  codewords, of which a dishonest prover may mean any: errors grow by the length of the list. A larger m makes queries
  count more and proximity gaps less; the report takes the m with the best total. The parameters of nodes of a tree of
  proofs are chosen for this regime, with an m of theirs.

Every function below gives the bits of one step. In the formulas |F| is the size of the challenge field BabyBear^4, and
L the length of the list (1 in unique decoding). Sources are those of the engine's own calculator, which is not used:

- [LogUp] "Soundness of Interactions via LogUp", of the engine's documentation; after ePrint 2022/1530.
- [WHIR] Arnon, Chiesa, Fenzi, Yogev: "WHIR: Reed-Solomon Proximity Testing with Super-Fast Verification", ePrint
  2024/1586.
- [BCHKS25] Ben-Sasson, Carmon, Haböck, Kopparty, Saraf: "On Proximity Gaps for Reed-Solomon Codes", ECCC TR25-169;
  batches of more than two words lose a factor linear in their number (Haböck's mutual correlated agreement).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from circuits.air.field import MODULUS
from verifier.errors import Invalid
from verifier.swirl.key import CHALLENGE_BITS, UNIQUE_DECODING, Parameters, Proximity, VerifyingKey

_MULTIPLICITIES: Final = range(2, 65)
"""Values of m that are tried. At rate 1/2, m = 1 would admit words at a negative distance."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the analysis depends on beside the parameters.

    Attributes:
        tables: that the proof has.
        constraints: most of one table.
        columns: of all tables.
        log_height: log2 of the rows of the highest table.
        stacked_columns: that the columns of all tables are stacked into.
        interactions: of all rows, padding included.
    """

    tables: int
    constraints: int
    columns: int
    log_height: int
    stacked_columns: int
    interactions: int


@dataclass(frozen=True, slots=True)
class SecurityStep:
    """A step of the protocol.

    Attributes:
        name: as the engine calls it.
        unique, johnson: proven bits in the unique-decoding and in the list-decoding regime.
        failure: what happens when a challenge is bad.
    """

    name: str
    unique: float
    johnson: float
    failure: str


@dataclass(frozen=True, slots=True)
class SecurityReport:
    """What is proven about a proof of given sizes.

    Attributes:
        sizes: of the proof.
        proximity: the regime that the parameters are for.
        multiplicity: m of the list-decoding regime.
        steps: that the parameters have.
    """

    sizes: Sizes
    proximity: Proximity
    multiplicity: int
    steps: tuple[SecurityStep, ...]

    @property
    def total(self) -> float:
        """Bits of the weakest step in the regime that the parameters are for."""
        return min(self.by_step.values())

    @property
    def by_step(self) -> dict[str, float]:
        """Bits of each step in the regime that the parameters are for, by name."""
        is_unique = self.proximity.multiplicity is None
        return {step.name: step.unique if is_unique else step.johnson for step in self.steps}

    @property
    def unique(self) -> float:
        """Bits of the weakest step in unique decoding."""
        return min(step.unique for step in self.steps)

    @property
    def johnson(self) -> float:
        """Bits of the weakest step in list decoding."""
        return min(step.johnson for step in self.steps)


def security(key: VerifyingKey, log_heights: Sequence[int | None]) -> SecurityReport:
    """The report on proofs whose tables have these heights.

    Args:
        key: of the circuit.
        log_heights: log2 of the rows of each table, None where a table is absent.

    Raises:
        Invalid: if the analysis says nothing about such proofs (`sizes_of`).
    """
    found = sizes_of(key, log_heights)
    params = key.parameters

    def bits(proximity: Proximity) -> list[float]:
        return [step(params, found, proximity) for step, _ in STEPS]

    chosen = params.whir.proximity.multiplicity
    lists = {m: bits(Proximity(m)) for m in (_MULTIPLICITIES if chosen is None else (chosen,))}
    best = max(lists, key=lambda m: min(lists[m]))
    steps = tuple(
        SecurityStep(step.__name__, unique, johnson, failure)
        for (step, failure), unique, johnson in zip(STEPS, bits(UNIQUE_DECODING), lists[best], strict=True)
        if unique != math.inf
    )
    return SecurityReport(found, params.whir.proximity, best, steps)


def sizes_of(key: VerifyingKey, log_heights: Sequence[int | None]) -> Sizes:
    """The sizes of a proof, checked to be within the bounds that the analysis assumes.

    Raises:
        Invalid: if the heights are not of these tables, no table or a required one is absent, a table is higher than
            a stacked column, the tables do not fit in the stacked columns, a bound on heights is violated, or a
            message or a degree is too large.
    """
    params, bounds = key.parameters, key.parameters.logup
    if len(log_heights) != len(key.tables):
        raise Invalid(f"{len(log_heights)} heights for {len(key.tables)} tables")
    if any(table.required and height is None for table, height in zip(key.tables, log_heights, strict=True)):
        raise Invalid("a required table is absent")
    present = [(table, h) for table, h in zip(key.tables, log_heights, strict=True) if h is not None]
    if not present:
        raise Invalid("no table is present")
    for table, height in present:
        if not 0 <= height <= params.log_stacked_height:
            raise Invalid(f"a table has 2^{height} rows, a stacked column 2^{params.log_stacked_height}")
        if table.degree > params.max_degree:
            raise Invalid(f"a table has degree {table.degree}, the analysis assumes {params.max_degree}")
        if any(len(i.message) >= 1 << bounds.log_max_message for i in table.interactions):
            raise Invalid(f"a message and its bus have more than 2^{bounds.log_max_message} elements")
    # Lower tables count as if they were repeated up to this height.
    rows = [0 if h is None else 1 << max(h, params.l_skip) for h in log_heights]
    for bound in key.height_bounds:
        total = sum(c * r for c, r in zip(bound.coefficients, rows, strict=True))
        if total >= bound.threshold:
            raise Invalid(
                f"the tables are too high: counts of messages could wrap around "
                f"({total:,}, less than {bound.threshold:,} are allowed)"
            )
    interactions = sum(len(table.interactions) * r for table, r in zip(key.tables, rows, strict=True))
    if interactions >= bounds.max_interactions:
        raise Invalid(f"{interactions} interactions, the analysis assumes less than {bounds.max_interactions}")
    # Heights are powers of two and stacked in descending order, so that no rows are left between them.
    matrices = [sum(table.width * r for table, r in zip(key.tables, rows, strict=True))]
    matrices += [width * r for table, r in zip(key.tables, rows, strict=True) for width in table.cached]
    stacked_columns = sum(-(-cells >> params.log_stacked_height) for cells in matrices)
    if stacked_columns > params.w_stack:
        raise Invalid(f"{stacked_columns} stacked columns, the analysis assumes at most {params.w_stack}")
    return Sizes(
        tables=len(present),
        constraints=max(len(table.constraints) for table, _ in present),
        columns=sum(table.width + sum(table.cached) for table, _ in present),
        log_height=max(h for _, h in present),
        stacked_columns=stacked_columns,
        interactions=interactions,
    )


def logup(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The bus challenges: alpha, at which the sum of count / (alpha + message) is taken, and beta, in whose powers the
    fields of a message are combined.

    An unbalanced sum is a rational function of degree at most twice the interactions, whose messages are polynomials
    in beta of degree below the longest length: error 2 * interactions * length * L / |F|, at the bounds that the
    verifier enforces ([LogUp], section 4).
    """
    degree = math.log2(2 * params.logup.max_interactions) + params.logup.log_max_message
    return _challenge(degree + proximity.log_list(params.log_blowup)) + grinding(params.logup.pow_bits)


def gkr_sumcheck(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The sumchecks of the layers of the fractional sum (GKR): polynomials of degree 3, error 3 / |F| a round."""
    return _challenge(math.log2(3))


def gkr_batching(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """Between the layers: lambda combines numerator and denominator, mu the two halves; degree 1, error 1 / |F|."""
    return _challenge(0)


def zerocheck_sumcheck(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The sumcheck over the constraints, multiplied by the equality polynomial: degree d + 1 in each variable.

    The worst round is the univariate one over a domain of 2^l_skip points: error (d + 1)(2^l_skip - 1) * L / |F|.
    """
    return _challenge(math.log2((params.max_degree + 1) * _skipped(params)) + proximity.log_list(params.log_blowup))


def constraint_batching(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The boundary from GKR to the sumcheck, and the combination of the tables' claims.

    The last point of GKR is extended by n_extra variables where tables are higher than the fractional sum, constraints
    are combined by powers of one challenge and vanish at a random point: error
    (max(3, n_extra) + (2^l_skip - 1) + (constraints - 1)) * L / |F|. Three claims of each table (constraints, numerator
    and denominator) are combined in a second one: error (3 * tables - 1) * L / |F|.
    """
    height = max(0, sizes.log_height - params.l_skip)
    extra = max(0, height - max(0, sizes.interactions.bit_length() - params.l_skip))
    boundary = max(3, extra) + _skipped(params) + max(1, sizes.constraints) - 1
    return _challenge(math.log2(max(boundary, 3 * sizes.tables - 1)) + proximity.log_list(params.log_blowup))


def stacked_reduction(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The sumcheck from openings of columns to openings of stacked columns.

    Two openings of each column, of a row and its successor, are combined: error 2 * columns * L / |F|. Its univariate
    round has degree 2 * (2^l_skip - 1), the others 2.
    """
    return _challenge(math.log2(2 * max(sizes.columns, _skipped(params))) + proximity.log_list(params.log_blowup))


def whir_mu_batching(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The combination of all stacked columns by powers of mu: the proximity gap of as many words."""
    words = max(2, sizes.stacked_columns)
    gap = proximity_gap(params.log_stacked_height, params.log_blowup, words, proximity)
    return gap + grinding(params.whir.mu_pow_bits)


def whir_fold(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """A folding of the word by one variable ([WHIR], theorem 5.2): a sumcheck round of degree 3, and a proximity gap of
    two words; errors add up: 3 * L / |F| + err*. The largest error is that of the first folding in a round."""
    pow_bits = grinding(params.whir.folding_pow_bits)
    return min(
        _sum(
            _challenge(math.log2(3) + proximity.log_list(rate)) + pow_bits,
            proximity_gap(log_degree - 1, rate, 2, proximity) + pow_bits,
        )
        for log_degree, rate, _ in _rounds(params)
    )


def whir_out_of_domain(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The point outside of the domain at which each folded word but the last is opened ([WHIR], theorem 5.2).

    Two codewords of a list, polynomials of 2^n coefficients, agree there: error 2^(n-1) * L^2 / |F|, n and L those of
    the round that follows. Infinite where there is no such round.
    """
    return min(
        (_challenge(degree - 1 + 2 * proximity.log_list(rate)) for degree, rate, _ in list(_rounds(params))[1:]),
        default=math.inf,
    )


def whir_shift(params: Parameters, sizes: Sizes, proximity: Proximity) -> float:
    """The queries of a round, and the combination of what they open ([WHIR], theorem 5.2 and claim 5.4).

    A word that is far agrees with a codeword on a fraction alpha of the domain (`Proximity.agreement`): t queries all
    miss the rest with probability alpha^t. Their values and the one outside of the domain are combined by powers of
    gamma: error (t + 1) * L / |F| with the list of the round that follows. Both errors add up.

    A query is a base field element modulo 2^n, so r = p mod 2^n of the positions are likelier than the others, by 1/p;
    a word may agree just there: alpha becomes alpha * (1 - r/p) + min(alpha * 2^n, r) / p.
    """
    folding, worst = params.whir.folding, math.inf
    for log_degree, rate, queries in _rounds(params):
        alpha = proximity.agreement(rate)
        domain = 1 << log_degree - folding + rate
        likelier = MODULUS % domain
        alpha = alpha * (1 - likelier / MODULUS) + min(alpha * domain, likelier) / MODULUS
        missed = -queries * math.log2(alpha) + grinding(params.whir.query_pow_bits)
        combined = _challenge(math.log2(queries + 1) + proximity.log_list(rate + folding - 1))
        worst = min(worst, _sum(missed, combined))
    return worst


def proximity_gap(log_degree: int, log_inverse_rate: int, words: int, proximity: Proximity) -> float:
    """Bits of err*: how rarely a combination of words, one of them far from the code, is close to it.

    With k = 2^log_degree, n = k / rho and l words:

    - unique decoding: err* = (l - 1) * n / |F| ([WHIR]).
    - list decoding: err* = (l - 1) * a / |F| with a = 2 * Dx * Dy^2 * Dz + (gamma * n + 1) * Dy ([BCHKS25], theorem 1.5
      and equation 13), where gamma is the distance, and with M = m + 1/2 (lemma 3.1, equations 7 to 9)
      Dx = M * sqrt(k * n), Dy = M * sqrt(n / k), Dz = max(Dy, M^2 * n / 3k).
    """
    log_n = log_degree + log_inverse_rate
    if proximity.multiplicity is None:
        return _challenge(math.log2(words - 1) + log_n)
    distance = 1 - proximity.agreement(log_inverse_rate)
    if distance <= 0:
        return -math.inf
    factor, inverse_rate = proximity.multiplicity + 0.5, 2.0**log_inverse_rate
    dx = factor * 2.0**log_n / math.sqrt(inverse_rate)
    dy = factor * math.sqrt(inverse_rate)
    dz = max(dy, factor**2 * inverse_rate / 3)
    bad = math.ceil(2 * dx * dy**2 * dz + (distance * 2.0**log_n + 1) * dy)
    return _challenge(math.log2(words - 1) + math.log2(bad))


def grinding(pow_bits: int) -> float:
    """What a grind is worth: a witness passes if a base field element is 0 modulo 2^pow_bits.

    That are floor(p / 2^pow_bits) + 1 of the p elements, slightly more than one in 2^pow_bits.
    """
    return math.log2(MODULUS / ((MODULUS >> pow_bits) + 1)) if pow_bits else 0.0


#: The steps in their order, and what happens when a challenge of theirs is bad.
STEPS: Final[tuple[tuple[Callable[[Parameters, Sizes, Proximity], float], str], ...]] = (
    (logup, "an unbalanced bus sums to zero"),
    (gkr_sumcheck, "a false claim survives a round of a layer"),
    (gkr_batching, "false claims of a layer cancel"),
    (zerocheck_sumcheck, "a false claim survives a round"),
    (constraint_batching, "violated constraints cancel"),
    (stacked_reduction, "false openings of columns cancel"),
    (whir_mu_batching, "far columns combine to a word near the code"),
    (whir_fold, "a far word is folded to a near one, or a false claim survives"),
    (whir_out_of_domain, "two near codewords agree at the point"),
    (whir_shift, "all queries miss where a far word differs, or false values cancel"),
)


def _challenge(log_bad: float) -> float:
    """Bits of a challenge of which 2^log_bad values are bad."""
    return CHALLENGE_BITS - log_bad


def _sum(a: float, b: float) -> float:
    """Bits of two errors together: -log2(2^-a + 2^-b)."""
    return min(a, b) - math.log2(1 + 2.0 ** -abs(a - b))


def _skipped(params: Parameters) -> int:
    """Degree of a polynomial over the domain of the univariate round."""
    return (1 << params.l_skip) - 1


def _rounds(params: Parameters) -> Iterator[tuple[int, int, int]]:
    """Of each round of WHIR: log2 of the coefficients and of the inverse rate it begins with, and its queries.

    A round folds k variables and halves the domain, so that the rate falls by 2^(k-1).
    """
    folding = params.whir.folding
    for number, queries in enumerate(params.whir.queries):
        yield params.log_stacked_height - number * folding, params.log_blowup + number * (folding - 1), queries
