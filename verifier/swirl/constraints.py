"""All constraints hold on all rows, and the bus messages are what GKR said: one batched sumcheck over the prism.

Zerocheck with a univariate first round: https://eprint.iacr.org/2024/108. Tables have different heights; the sums of
all are batched with powers of mu, and a table with fewer variables takes part from the start ("front-loaded"), the
polynomial of its last rounds being multiplied by the challenges themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Op
from circuits.air.field import MODULUS
from verifier.errors import Invalid
from verifier.swirl.field import DEGREE, Extension, dot
from verifier.swirl.gkr import verify_fractions
from verifier.swirl.hashing import Transcript
from verifier.swirl.key import TableKey, VerifyingKey
from verifier.swirl.polynomials import (
    domain_cube_equality,
    domain_equality,
    equality,
    is_first_row,
    is_last_row,
)
from verifier.swirl.proof import Proof, Trace, gkr_layers, opened_parts
from verifier.swirl.sumcheck import over_prism


def verify_constraints(key: VerifyingKey, proof: Proof, transcript: Transcript) -> Extension:
    """Check constraints and buses, if the columns have the values that `proof` opens.

    Returns:
        The point of the prism, (1 + n,) of the highest table; a table with fewer variables is opened at the first of
        them.

    Raises:
        Invalid: naming what does not hold.
    """
    log_domain = key.parameters.l_skip
    layers = gkr_layers(key, proof.traces)
    transcript.check_work(key.parameters.logup.pow_bits, int(proof.base("logup work")[0]), "the buses")
    alpha, beta = transcript.sample_extension(), transcript.sample_extension()
    claim = verify_fractions(proof, alpha, transcript)
    variables = max(0, proof.traces[0].log_height - log_domain)
    coordinates = list(claim.point)
    while len(coordinates) < max(log_domain + variables, layers):
        coordinates.append(transcript.sample_extension())
    xi = Extension.stack(coordinates)
    lambda_ = transcript.sample_extension()

    # The leaves are the tables' messages; a place that none of them has is 0 / alpha.
    numerators, denominators = proof.extension("numerators"), proof.extension("denominators")
    sums = Extension(np.stack([numerators.cells, denominators.cells], axis=1).reshape(-1, DEGREE))
    transcript.observe_array(sums)
    if numerators.sum() != claim.numerator:
        raise Invalid("the numerators of the tables are not those of the buses")
    if denominators.sum() + alpha != claim.denominator:
        raise Invalid("the denominators of the tables are not those of the buses")
    mu = transcript.sample_extension()
    value, point = over_prism(
        dot(sums, mu.powers(len(sums))),
        proof.extension("zerocheck univariate"),
        proof.extension("zerocheck sumcheck"),
        log_domain,
        transcript,
    )

    parts = [opened_rows(proof, number) for number in range(len(proof.traces))]
    for own in by_commitment(parts):
        transcript.observe_array(own)
    openings = [Extension.concatenate(every) for every in parts]
    on_domain = domain_equality(log_domain, xi[0], point[0])
    on_cube = domain_cube_equality(xi[:log_domain], point[0])
    of_messages, of_constraints = [], []
    offset = 0
    for trace, opened in zip(proof.traces, openings, strict=True):
        lifted = trace.lifted(log_domain)
        shared = lifted - log_domain
        # What the rounds contribute in which the table takes part, and the challenges of the others.
        cube = equality(xi[log_domain:lifted], point[1 : 1 + shared])
        for challenge in point[1 + shared :]:
            cube = cube * challenge
        values = node_values(trace, opened, proof.public_values(trace.table), lowered(point, trace, log_domain))
        constraints = values[trace.key.constraints]
        of_constraints.append(on_domain * cube * dot(constraints, lambda_.powers(len(constraints))))

        # An interaction owns a block of leaves of the size of the lifted table.
        count = len(trace.key.interactions)
        blocks = (offset >> lifted) + np.arange(count)
        offset += count << lifted
        free = np.arange(layers - lifted)
        bits = (blocks >> free[:, None] & 1).astype(np.uint64)
        weights = equality(Extension(xi.cells[lifted:layers, None]), bits)
        counts, messages = message_values(trace.key, values, beta)
        # A table lower than the domain repeats each of its rows in the lifted one, with its part of the count.
        repeats = pow(1 << (lifted - trace.log_height), -1, MODULUS)
        of_messages.append(on_cube * cube * dot(weights, counts) * repeats)
        of_messages.append(on_cube * cube * dot(weights, messages))
    terms = Extension.stack([*of_messages, *of_constraints])
    if dot(terms, mu.powers(len(terms))) != value:
        raise Invalid("the opened columns do not satisfy the constraints")
    return point


def opened_rows(proof: Proof, number: int) -> list[Extension]:
    """The values of a trace's columns in a row and its successor, (w, 2), zeros where no successor is looked at: of the
    columns that are committed to with other tables', then of each cached part."""
    trace, found = proof.traces[number], []
    for name, width in opened_parts(trace, number):
        cells = proof.extension(name).cells.reshape(width, -1, DEGREE)
        found.append(Extension(np.concatenate([cells, np.zeros_like(cells)], axis=1)[:, :2]))
    return found


def by_commitment(parts: Sequence[Sequence[Extension]]) -> list[Extension]:
    """What `opened_rows` gives of all traces, in the order of the commitments: all tables' own columns come first."""
    return [*(own for own, *_ in parts), *(own for _, *cached in parts for own in cached)]


def lowered(point: Extension, trace: Trace, log_domain: int) -> Extension:
    """The coordinates of a point that belong to a trace, (1 + n,).

    A table lower than the univariate domain lives on a subgroup of it, which the powers of the first coordinate reach.
    """
    first = point[0].to_power_of_two(max(0, log_domain - trace.log_height))
    return Extension.stack([first, *point[1 : 1 + max(0, trace.log_height - log_domain)]])


def node_values(trace: Trace, opened: Extension, public: list[int], point: Extension) -> Extension:
    """The values of all nodes of a table's expressions, (n,).

    Args:
        opened: (w, 2) columns in a row and its successor.
        public: the table's public values.
        point: of the row, (1 + n,).
    """
    nodes = trace.key.nodes
    log_domain = trace.log_height - (len(point) - 1)
    last = is_last_row(log_domain, point)
    selectors = {
        Op.IS_FIRST: is_first_row(log_domain, point),
        Op.IS_LAST: last,
        Op.IS_TRANSITION: 1 - last,
    }
    values = Extension(np.zeros((len(nodes), DEGREE), dtype=np.uint64))
    for op, members in _schedule(nodes):
        left, right = nodes[members, 1], nodes[members, 2]
        if op in (Op.LOCAL, Op.NEXT):
            found = Extension(opened.cells[left, int(op == Op.NEXT)])
        elif op == Op.CONST:
            found = Extension.of(left.astype(np.uint64))
        elif op == Op.PUBLIC:
            found = Extension.of(np.array(public, dtype=np.uint64)[left])
        elif op == Op.ADD:
            found = values[left] + values[right]
        elif op == Op.SUB:
            found = values[left] - values[right]
        elif op == Op.MUL:
            found = values[left] * values[right]
        elif op == Op.NEG:
            found = 0 - values[left]
        else:
            found = selectors[op]
        values.cells[members] = found.cells
    return values


def message_values(table: TableKey, values: Extension, beta: Extension) -> tuple[Extension, Extension]:
    """Counts (k,) and fingerprints (k,) of a table's interactions: fields and bus as coefficients of a polynomial."""
    counts = values[np.array([interaction.count for interaction in table.interactions], dtype=np.int64)]
    longest = max((len(interaction.message) for interaction in table.interactions), default=0)
    powers = beta.powers(longest + 1)
    fingerprints = [
        dot(values[np.array(interaction.message)], powers[: len(interaction.message)])
        + powers[len(interaction.message)] * (interaction.bus + 1)
        for interaction in table.interactions
    ]
    return counts, Extension.stack(fingerprints)


def _schedule(nodes: NDArray[np.int64]) -> list[tuple[Op, NDArray[np.int64]]]:
    """Groups of nodes of one operation that need only those of earlier groups."""
    levels: list[int] = []
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (op, left, right) in enumerate(nodes.tolist()):
        level = 0
        if op in (Op.ADD, Op.SUB, Op.MUL):
            level = 1 + max(levels[left], levels[right])
        elif op == Op.NEG:
            level = 1 + levels[left]
        levels.append(level)
        groups[level, op].append(index)
    return [(Op(op), np.array(members)) for (_, op), members in sorted(groups.items())]
