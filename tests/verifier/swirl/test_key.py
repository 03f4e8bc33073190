"""Verifying keys are decoded as the engine has them, and nothing that is not one is."""

import json
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
import zkevm_native
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air.evaluate import Rows, evaluate
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS
from circuits.functions.poseidon2 import permute_state
from circuits.functions.poseidon2_constants import WIDTH
from circuits.segment import segment_circuit
from executor.forks import CANCUN
from verifier import keys, trees
from verifier.errors import Invalid
from verifier.swirl.key import (
    HEIGHTS,
    MAGIC,
    MAX_BYTES,
    NODE_MAGIC,
    Parameters,
    VerifyingKey,
    decode,
    decode_node,
    parameters,
)

#: One table with two columns, all kinds of nodes, two constraints and two messages.
NODES = [
    (Op.LOCAL, 0, 0),
    (Op.NEXT, 1, 0),
    (Op.CONST, 5, 0),
    (Op.PUBLIC, 0, 0),
    (Op.IS_FIRST, 0, 0),
    (Op.ADD, 0, 1),
    (Op.SUB, 5, 2),
    (Op.NEG, 6, 0),
    (Op.MUL, 7, 4),
    (Op.SUB, 8, 3),
    (Op.IS_LAST, 0, 0),
    (Op.IS_TRANSITION, 0, 0),
    (Op.MUL, 10, 11),
]
SMALL = {
    "name": "small",
    "width": 2,
    "public_values": 1,
    "nodes": [part for node in NODES for part in node],
    "constraints": [9, 12],
    "interactions": [
        {"bus": 3, "count": 4, "fields": [0, 5], "weight": 1},
        {"bus": 3, "count": 7, "fields": [0, 2], "weight": 0},
    ],
}
HEADER = len(MAGIC) + 4


@cache
def small() -> bytes:
    """The encoding of the key of `SMALL`."""
    return zkevm_native.keygen(json.dumps({"tables": [SMALL]}), HEIGHTS[3]).verifying_key().to_bytes()


def integers(body: bytes) -> list[int]:
    """The LEB128 integers of a key behind its header."""
    found, value, shift = [], 0, 0
    for octet in body:
        value |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            found.append(value)
            value = shift = 0
    return found


def encoded(numbers: list[int]) -> bytes:
    """Its inverse."""
    octets = bytearray()
    for number in numbers:
        while number >= 0x80:
            octets.append(number & 0x7F | 0x80)
            number >>= 7
        octets.append(number)
    return bytes(octets)


def engine_digest(key: VerifyingKey) -> bytes:
    """The digest as the engine writes it."""
    return b"".join(element.to_bytes(4, "little") for element in key.digest)


def sponge(elements: bytes) -> tuple[int, ...]:
    """The hash of bytes, each an element: rate 8, overwriting, without padding."""
    state = [0] * WIDTH
    for start in range(0, len(elements), 8):
        block = elements[start : start + 8]
        state = permute_state([*block, *state[len(block) :]])
    return tuple(state[:8])


def computed_digest(encoding: bytes) -> tuple[int, ...]:
    """What the digest of a key must be: the hash of its format version, its length, and all of it but the digest."""
    body = encoded(integers(encoding[HEADER:])[:-8])
    return sponge((3).to_bytes(4, "little") + len(body).to_bytes(8, "little") + body)


def engine_parameters(params: Parameters) -> dict[str, object]:
    """Parameters as the engine calls them."""
    whir, logup = params.whir, params.logup
    assert whir.proximity.multiplicity is None
    return {
        "l_skip": params.l_skip,
        "n_stack": params.n_stack,
        "w_stack": params.w_stack,
        "log_blowup": params.log_blowup,
        "log_stacked_height": params.log_stacked_height,
        "max_constraint_degree": params.max_degree,
        "logup": {
            "max_interaction_count": logup.max_interactions,
            "log_max_message_length": logup.log_max_message,
            "pow_bits": logup.pow_bits,
        },
        "whir": {
            "k": whir.folding,
            "rounds": [{"num_queries": queries} for queries in whir.queries],
            "mu_pow_bits": whir.mu_pow_bits,
            "query_phase_pow_bits": whir.query_pow_bits,
            "folding_pow_bits": whir.folding_pow_bits,
            "proximity": "UniqueDecoding",
        },
    }


def test_parameters_are_those_of_the_engine() -> None:
    for height in HEIGHTS:
        params = parameters(height)
        assert engine_parameters(params) == zkevm_native.parameters(height)
        assert 0 < params.log_final_length <= 10
    for height in (HEIGHTS.start - 1, HEIGHTS.stop):
        with pytest.raises(Invalid, match="log stacked height"):
            parameters(height)
        with pytest.raises(zkevm_native.ParameterError):
            zkevm_native.parameters(height)


@pytest.mark.parametrize("height", [h if h == 18 else pytest.param(h, marks=pytest.mark.deep) for h in (14, 18, 22)])
def test_pinned_keys_are_decoded(height: int) -> None:
    key = decode(keys.encoding("cancun", height))
    native = zkevm_native.VerifyingKey.from_bytes(keys.encoding("cancun", height))
    assert engine_parameters(key.parameters) == native.params
    assert engine_digest(key) == native.digest
    circuit = segment_circuit(CANCUN)
    assert len(key.tables) == len(circuit.tables)
    for table, source, statistics in zip(key.tables, circuit.tables, circuit.statistics, strict=True):
        assert (table.width, table.public_values) == (source.width, source.public.width)
        assert table.degree == statistics.degree
        assert table.uses_next == (Op.NEXT in table.nodes[:, 0])
        assert [(i.bus, i.weight) for i in table.interactions] == [
            (i.bus.index, i.weight) for i in source.air.interactions
        ]


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.deep)])
def test_tables_compute_what_the_circuit_says(every: int) -> None:
    """Constraints and messages on random rows; the engine numbers nodes anew and drops constraints that are equal."""
    random = np.random.default_rng(0)
    pairs = list(zip(decode(keys.encoding("cancun", 18)).tables, segment_circuit(CANCUN).tables, strict=True))
    for table, source in pairs[::every]:
        cells = random.integers(0, MODULUS, (2, 2, table.width), dtype=np.uint32)
        rows = Rows(
            local=cells[0],
            next=cells[1],
            is_first=np.array([1, 0], np.uint32),
            is_last=np.array([0, 1], np.uint32),
            public=random.integers(0, MODULUS, table.public_values, dtype=np.uint32),
        )
        graph = Graph()
        graph.nodes = [(op, a, b) for op, a, b in table.nodes.tolist()]
        air = source.air
        decoded = evaluate(
            graph,
            rows,
            [*table.constraints.tolist(), *(n for i in table.interactions for n in (*i.message, i.count))],
        )
        stated = evaluate(
            air.graph,
            rows,
            [
                *(c.expression.index for c in air.constraints),
                *(e.index for i in air.interactions for e in (*i.message, i.count)),
            ],
        )
        assert {tuple(decoded[node]) for node in table.constraints.tolist()} == {
            tuple(stated[c.expression.index]) for c in air.constraints
        }
        for found, interaction in zip(table.interactions, air.interactions, strict=True):
            assert [tuple(decoded[node]) for node in (*found.message, found.count)] == [
                tuple(stated[e.index]) for e in (*interaction.message, interaction.count)
            ]


def test_every_kind_of_node() -> None:
    key = decode(small())
    (table,) = key.tables
    assert (table.width, table.public_values, table.uses_next, table.degree, table.required) == (2, 1, True, 2, False)
    # In the order in which the engine meets them, and with the constant in canonical form.
    order = [0, 1, 5, 2, 6, 7, 4, 8, 3, 9, 10, 11, 12]
    number = {node: place for place, node in enumerate(order)}
    expected = []
    for op, a, b in (NODES[node] for node in order):
        if op in (Op.ADD, Op.SUB, Op.MUL):
            expected.append([op, number[a], number[b]])
        else:
            expected.append([op, number[a] if op == Op.NEG else a, 0])
    assert table.nodes.tolist() == expected
    assert table.constraints.tolist() == [number[9], number[12]]
    first, second = table.interactions
    assert (first.bus, first.count, first.message, first.weight) == (3, number[4], (number[0], number[5]), 1)
    assert (second.bus, second.count, second.message, second.weight) == (3, number[7], (number[0], number[2]), 0)
    assert [(bound.coefficients, bound.threshold) for bound in key.height_bounds] == [((2,), MODULUS)]


def test_the_digest_is_the_hash_of_the_rest() -> None:
    assert decode(small()).digest == computed_digest(small())


@pytest.mark.deep
@pytest.mark.parametrize("height", [14, 22])
def test_pinned_digests_are_the_hash_of_the_rest(height: int) -> None:
    assert decode(keys.encoding("cancun", height)).digest == computed_digest(keys.encoding("cancun", height))


#: Places in the integers of the small key, values to write there, and what is wrong then. The table begins at 16 with
#: three absent parts, its width, public values and flag; its nodes at 22, constraints at 64, interactions at 67.
DAMAGE = {
    "stacked height": (1, 11, "parameters are not"),
    "queries": (6, 192, "parameters are not"),
    "grinding": (7, 14, "parameters are not"),
    "proximity": (10, 1, "parameters are not"),
    "no tables": (15, 0, "no tables"),
    "too many tables": (15, 257, "number of tables"),
    "preprocessed data": (16, 1, "preprocessed data"),
    "preprocessed columns": (17, 1, "preprocessed columns"),
    "cached columns": (18, 1, "cached columns"),
    "width": (19, 1, "variable is not of the trace"),
    "too wide": (19, 60_001, "width"),
    "next row not opened": (21, 0, "does not open it"),
    "flag": (21, 2, "flag"),
    "number of nodes": (22, 1 << 30, "nodes"),
    "kind of node": (23, 9, "no known kind"),
    "preprocessed variable": (24, 0, "no known kind"),
    "challenge": (24, 3, "no known kind"),
    "part of the trace": (25, 1, "variable is not of the trace"),
    "row": (26, 2, "variable is not of the trace"),
    "column": (27, 2, "variable is not of the trace"),
    "public value": (53, 1, "public value is not there"),
    "constant": (38, MODULUS, "not canonical"),
    "left operand": (34, 2, "before its operand"),
    "right operand": (35, 12, "before its operand"),
    "only operand": (44, 5, "before its operand"),
    "claim of a product": (50, 1, "higher degree than it claims"),
    "claim of a difference": (57, 1, "higher degree than it claims"),
    "number of constraints": (64, 1 << 20, "constraints"),
    "constraint": (65, 13, "not there"),
    "number of interactions": (67, 4_001, "number of interactions"),
    "message": (69, 13, "a message is"),
    "count": (71, 13, "node 13 is not below 13"),
    "bus": (72, 1 << 16, "bus"),
    "weight": (73, 1 << 32, "weight"),
    "claim of the table": (80, 1, "degree 1 has a higher degree"),
    "degree": (80, 4, "degree 4"),
    "required": (81, 1, "required"),
    "unused variable": (83, 2, "unused variable"),
    "number of bounds": (91, 0, "height bounds are not"),
    "coefficient": (93, 1, "height bounds are not"),
    "threshold": (94, MODULUS + 1, "height bounds are not"),
    "digest": (95, MODULUS, "digest"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused(what: str) -> None:
    place, value, reason = DAMAGE[what]
    numbers = integers(small()[HEADER:])
    assert small()[:HEADER] + encoded(numbers) == small()
    numbers[place] = value
    with pytest.raises(Invalid, match=reason):
        decode(small()[:HEADER] + encoded(numbers))


@pytest.mark.parametrize("length", [0, 128])
def test_a_message_must_not_be_empty_or_too_long(length: int) -> None:
    numbers = integers(small()[HEADER:])
    numbers[68:71] = [length, *[0] * length]
    with pytest.raises(Invalid, match="a message is empty, too long"):
        decode(small()[:HEADER] + encoded(numbers))


def test_other_formats_are_refused() -> None:
    encoding = small()
    for end in range(len(encoding)):
        with pytest.raises(Invalid):
            decode(encoding[:end])
    for other, reason in [
        (b"ZKVKEY02" + encoding[8:], "not a verifying key"),
        (encoding[:8] + (15).to_bytes(4, "little") + encoding[12:], "parameters are not"),
        (encoding[:8] + b"\xff" * 4 + encoding[12:], "log stacked height"),
        (encoding + b"\0", "bytes after the key"),
        (encoding + b"\x80", "shortest form"),
        (encoding[:12] + b"\x84\x00" + encoding[13:], "shortest form"),
        (encoding[:12] + b"\x80\x80\x80\x80\x80\x01" + encoding[13:], "shortest form"),
        (encoding[:12] + bytes(MAX_BYTES + 1), "at most"),
    ]:
        with pytest.raises(Invalid, match=reason):
            decode(other)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(15, 102), st.one_of(st.integers(0, 15), st.integers(0, (1 << 35) - 1))),
        min_size=1,
        max_size=4,
    )
)
def test_random_damage_never_crashes(edits: list[tuple[int, int]]) -> None:
    numbers = integers(small()[HEADER:])
    for place, value in edits:
        numbers[place] = value
    try:
        key = decode(small()[:HEADER] + encoded(numbers))
    except Invalid:
        return
    # What is accepted can be evaluated.
    for table in key.tables:
        binary = np.isin(table.nodes[:, 0], (Op.ADD, Op.SUB, Op.MUL))
        unary = table.nodes[:, 0] == Op.NEG
        places = np.arange(len(table.nodes))
        assert (table.nodes[binary | unary, 1] < places[binary | unary]).all()
        assert (table.nodes[binary, 2] < places[binary]).all()
        assert (table.nodes[table.nodes[:, 0] == Op.LOCAL, 1] < table.width).all()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        decode(small()[:HEADER] + body)


def node_integers() -> list[int]:
    """Those of the pinned key of nodes."""
    return integers(trees.encoding()[len(NODE_MAGIC) :])


def of_node(numbers: list[int]) -> bytes:
    return NODE_MAGIC + encoded(numbers)


def test_the_key_of_nodes_is_the_pinned_one() -> None:
    """Its digest is that of what is decoded, and one table has columns with a commitment of their own."""
    encoding = trees.encoding()
    assert of_node(node_integers()) == encoding
    key = decode_node(encoding)
    assert engine_digest(key).hex() == trees.pinned().digest
    body = encoded(node_integers()[:-8])
    assert sponge((3).to_bytes(4, "little") + len(body).to_bytes(8, "little") + body) == key.digest
    params = zkevm_native.VerifyingKey.from_bytes(encoding, known=True).params
    assert params["whir"]["proximity"] == {"ListDecoding": {"m": key.parameters.whir.proximity.multiplicity}}
    assert [each["num_queries"] for each in params["whir"]["rounds"]] == list(key.parameters.whir.queries)
    assert params["logup"]["pow_bits"] == key.parameters.logup.pow_bits
    assert [number for number, table in enumerate(key.tables) if table.cached] == [trees.EXPRESSIONS_TABLE]


def test_columns_of_cached_parts_come_behind_the_others() -> None:
    table = decode_node(trees.encoding()).tables[trees.EXPRESSIONS_TABLE]
    used = table.nodes[np.isin(table.nodes[:, 0], (Op.LOCAL, Op.NEXT)), 1]
    assert set(used.tolist()) == set(range(table.width + sum(table.cached)))


def test_keys_of_nodes_and_of_segments_are_not_taken_for_each_other() -> None:
    for own, other in ((decode, trees.encoding()), (decode_node, small())):
        with pytest.raises(Invalid, match="not a verifying key"):
            own(other)
    # Nor is one with the parameters of the other kind, or cached columns where there are none.
    with pytest.raises(Invalid, match="not those that are prescribed"):
        decode(small()[:HEADER] + encoded(node_integers()))
    with pytest.raises(Invalid, match="not those that are prescribed"):
        decode_node(of_node(integers(small()[HEADER:])))
    numbers = integers(small()[HEADER:])
    at = numbers.index(2, numbers.index(MODULUS)) - 1  # the list before the width of the only table
    assert numbers[at - 2 : at + 2] == [0, 0, 0, 2]
    with pytest.raises(Invalid, match="cached columns"):
        decode(small()[:HEADER] + encoded([*numbers[:at], 1, 4, *numbers[at + 1 :]]))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.deep)])
def test_damaged_keys_of_nodes_raise_nothing_unexpected(seed: int) -> None:
    numbers, random = node_integers(), np.random.default_rng(seed)
    for _ in range(20):
        damaged = list(numbers)
        for place in random.integers(0, len(numbers), 3).tolist():
            damaged[place] = int(random.choice([0, 1, damaged[place] + 1, 1 << 20, (1 << 32) - 1]))
        with suppress(Invalid):
            decode_node(of_node(damaged))
