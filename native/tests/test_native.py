"""The binding against small circuits: what is accepted, and that everything else is refused."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import zkevm_native as zn

from verifier.engines import PythonKey

P = zn.MODULUS
Array = npt.NDArray[np.uint32]

LOCAL, NEXT, CONST, PUBLIC, FIRST, LAST, TRANSITION, ADD, SUB, MUL, NEG = range(11)


class Table:
    """Collects the nodes of one table of a circuit document."""

    def __init__(self, name: str, width: int, public_values: int = 0) -> None:
        self.name, self.width, self.public_values = name, width, public_values
        self.nodes: list[int] = []
        self.constraints: list[int] = []
        self.interactions: list[dict[str, Any]] = []

    def node(self, op: int, a: int = 0, b: int = 0) -> int:
        self.nodes += [op, a, b]
        return len(self.nodes) // 3 - 1

    def local(self, column: int) -> int:
        return self.node(LOCAL, column)

    def next(self, column: int) -> int:
        return self.node(NEXT, column)

    def const(self, value: int) -> int:
        return self.node(CONST, value % P)

    def zero(self, node: int) -> None:
        self.constraints.append(node)

    def send(self, bus: int, fields: list[int], count: int, weight: int = 1) -> None:
        self.interactions.append({"bus": bus, "count": count, "fields": fields, "weight": weight})

    def receive(self, bus: int, fields: list[int], count: int, weight: int = 1) -> None:
        self.send(bus, fields, self.node(NEG, count), weight)

    def dump(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "width": self.width,
            "public_values": self.public_values,
            "nodes": self.nodes,
            "constraints": self.constraints,
            "interactions": self.interactions,
        }


def circuit(*tables: Table) -> str:
    return json.dumps({"tables": [table.dump() for table in tables]})


def fibonacci_table(name: str = "fibonacci") -> Table:
    """Two columns; the public values are the first row and the last value."""
    table = Table(name, 2, 3)
    a, b, next_a, next_b = table.local(0), table.local(1), table.next(0), table.next(1)
    first, last, transition = table.node(FIRST), table.node(LAST), table.node(TRANSITION)
    for column, value in ((a, 0), (b, 1)):
        difference = table.node(SUB, column, table.node(PUBLIC, value))
        table.zero(table.node(MUL, first, difference))
    table.zero(table.node(MUL, transition, table.node(SUB, next_a, b)))
    total = table.node(ADD, a, b)
    table.zero(table.node(MUL, transition, table.node(SUB, next_b, total)))
    table.zero(table.node(MUL, last, table.node(SUB, b, table.node(PUBLIC, 2))))
    return table


def fibonacci_trace(log_height: int, a: int = 1, b: int = 1) -> Array:
    trace = np.empty((1 << log_height, 2), np.uint32)
    for row in trace:
        row[:] = a, b
        a, b = b, (a + b) % P
    return trace


def fibonacci_values(trace: Array) -> list[int]:
    return [int(trace[0, 0]), int(trace[0, 1]), int(trace[-1, 1])]


def lookup_tables() -> tuple[Table, Table]:
    """A user of one value a row, and a table that offers values with multiplicities."""
    user = Table("user", 1)
    user.send(7, [user.local(0)], user.const(1))
    offer = Table("offer", 2)
    offer.receive(7, [offer.local(0)], offer.local(1), weight=0)
    return user, offer


def column(*values: int) -> Array:
    return np.array(values, np.uint32).reshape(-1, 1)


HEIGHT = 11
REFUSED = (zn.ProofFormatError, zn.VerificationError)


@pytest.fixture(scope="module")
def key() -> zn.ProvingKey:
    return zn.keygen(circuit(fibonacci_table()), HEIGHT)


@pytest.fixture(scope="module")
def vk(key: zn.ProvingKey) -> zn.VerifyingKey:
    return key.verifying_key()


@pytest.fixture(scope="module")
def proof(key: zn.ProvingKey) -> bytes:
    trace = fibonacci_trace(6)
    return zn.prove(key, [trace], [fibonacci_values(trace)], 2)[0]


def attempt(
    key: zn.ProvingKey,
    traces: list[Array | None],
    public_values: list[list[int]] | None = None,
    threads: int = 2,
) -> zn.VerifiedProof:
    values = public_values or [[] for _ in traces]
    proof, _ = zn.prove(key, traces, values, threads)
    return zn.verify(key.verifying_key(), proof)


def refused(
    key: zn.ProvingKey,
    traces: list[Array | None],
    public_values: list[list[int]] | None = None,
) -> None:
    """A statement that does not hold: the prover may stumble, the verifier must not accept."""
    values = public_values or [[] for _ in traces]
    try:
        proof, _ = zn.prove(key, traces, values, 2)
    except zn.ProvingError:
        return
    with pytest.raises(zn.VerificationError):
        zn.verify(key.verifying_key(), proof)


# ---------------------------------------------------------------------------------------- constants


def test_constants() -> None:
    assert zn.MODULUS == 15 * 2**27 + 1
    assert zn.SECURITY_BITS == 100
    assert zn.VERSION.count(".") == 2


def test_every_error_is_an_engine_error() -> None:
    names = "Circuit Parameter KeyFormat Trace Proving ProofFormat Verification"
    for name in names.split():
        error = getattr(zn, f"{name}Error")
        assert issubclass(error, zn.EngineError)
        assert error is not zn.EngineError
    assert issubclass(zn.EngineError, Exception)


# --------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("height", [11, 16, 20, 24])
def test_parameters(height: int) -> None:
    found = zn.parameters(height)
    assert found["log_stacked_height"] == height == found["l_skip"] + found["n_stack"]
    assert found["max_constraint_degree"] == 3
    json.dumps(found)


@pytest.mark.parametrize("height", [-1, 0, 10, 25, 1 << 40, 1 << 80])
def test_parameters_out_of_range(height: int) -> None:
    with pytest.raises(zn.ParameterError):
        zn.parameters(height)
    with pytest.raises(zn.ParameterError):
        zn.keygen(circuit(fibonacci_table()), height)


@pytest.mark.parametrize("height", range(11, 25))
def test_security_of_every_height(height: int) -> None:
    found = zn.keygen(circuit(fibonacci_table()), height).verifying_key().security()
    assert found["total"] == min(found.values()) >= 100


def test_security_of_a_shape(vk: zn.VerifyingKey) -> None:
    found = vk.security([6])
    assert found["total"] == min(found.values()) >= vk.security()["total"]
    for wrong in ([], [6, 6], [None], [12], [-1]):
        with pytest.raises(zn.ParameterError):
            vk.security(wrong)


def test_security_with_interactions() -> None:
    vk = zn.keygen(circuit(*lookup_tables()), 16).verifying_key()
    assert vk.security([4, 3])["total"] >= vk.security()["total"] >= 100
    assert vk.security([None, 0])["total"] >= 100


# ------------------------------------------------------------------------------------ honest proofs


@pytest.mark.parametrize("log_height", [0, 1, 2, 3, 4, 5, 8, 11])
def test_fibonacci(key: zn.ProvingKey, log_height: int) -> None:
    trace = fibonacci_trace(log_height)
    values = fibonacci_values(trace)
    verified = attempt(key, [trace], [values])
    assert verified.public_values == [values]
    assert verified.log_heights == [log_height]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(key: zn.ProvingKey, threads: int) -> None:
    trace = fibonacci_trace(5)
    attempt(key, [trace], [fibonacci_values(trace)], threads)


def test_consumed_traces_are_freed(key: zn.ProvingKey, vk: zn.VerifyingKey) -> None:
    trace = fibonacci_trace(6)
    values = fibonacci_values(trace)
    kept = [trace]
    zn.prove(key, kept, [values], 1)
    assert kept[0] is trace
    freed = weakref.ref(trace)
    given = [trace]
    del trace, kept
    proof, _ = zn.prove(key, given, [values], 1, consume=True)
    assert given == []
    assert freed() is None
    assert zn.verify(vk, proof).public_values == [values]


def test_refused_traces_are_not_consumed(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(6)
    given = [trace]
    with pytest.raises(zn.TraceError):
        zn.prove(key, given, [[]], 1, consume=True)
    assert given == [trace]


@pytest.mark.parametrize("threads", [-1, 0, 1025, 1 << 40, 1 << 80])
def test_threads_out_of_range(key: zn.ProvingKey, threads: int) -> None:
    trace = fibonacci_trace(5)
    with pytest.raises(zn.ParameterError):
        zn.prove(key, [trace], [fibonacci_values(trace)], threads)


def test_stats(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(5)
    proof, stats = zn.prove(key, [trace], [fibonacci_values(trace)], 2)
    assert stats["cells"] == trace.size
    assert stats["interactions"] == 0
    assert stats["proof_bytes"] == len(proof)
    for seconds in (dict(stats["seconds"]), dict(stats["cpu_seconds"])):
        total = seconds.pop("total")
        assert 0 <= seconds.pop("rounds") <= seconds["constraints"]
        assert set(seconds) == {"load", "commit", "constraints", "stacking", "opening"}
        assert 0 < sum(seconds.values()) <= total


def test_larger_stacked_height() -> None:
    key = zn.keygen(circuit(fibonacci_table()), 16)
    trace = fibonacci_trace(12)
    assert attempt(key, [trace], [fibonacci_values(trace)]).log_heights == [12]


def test_key_attributes(key: zn.ProvingKey) -> None:
    assert key.tables == ["fibonacci"]
    assert key.log_stacked_height == HEIGHT == key.verifying_key().log_stacked_height
    assert key.verifying_key().params == zn.parameters(HEIGHT)


def test_parallel_callers(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(6)
    values = fibonacci_values(trace)
    found: list[list[int]] = []

    def work() -> None:
        found.extend(attempt(key, [trace], [values]).public_values)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [values] * 4


def test_after_fork(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(4)
    values = fibonacci_values(trace)
    attempt(key, [trace], [values])
    child = os.fork()
    if child == 0:
        try:
            attempt(key, [trace], [values])
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("the child is stuck")


# --------------------------------------------------------------------------------- false statements


@pytest.mark.parametrize("row", [0, 1, 31, 62, 63])
@pytest.mark.parametrize("at", [0, 1])
def test_wrong_cell(key: zn.ProvingKey, row: int, at: int) -> None:
    trace = fibonacci_trace(6)
    values = fibonacci_values(trace)
    trace[row, at] ^= 1
    refused(key, [trace], [values])


@pytest.mark.parametrize("index", range(3))
def test_wrong_public_value(key: zn.ProvingKey, index: int) -> None:
    trace = fibonacci_trace(6)
    values = fibonacci_values(trace)
    values[index] ^= 1
    refused(key, [trace], [values])


def test_public_value_replaced_in_the_proof(vk: zn.VerifyingKey, proof: bytes) -> None:
    values = struct.pack("<3I", *fibonacci_values(fibonacci_trace(6)))
    at = proof.index(values)
    for offset in (0, 4, 8):
        forged = bytearray(proof)
        forged[at + offset] ^= 1
        with pytest.raises(zn.VerificationError):
            zn.verify(vk, bytes(forged))


@pytest.mark.parametrize("log_height", [0, 1, 3, 4, 6])
def test_rotation_wraps_to_the_first_row(log_height: int) -> None:
    table = Table("cycle", 1)
    table.zero(table.node(SUB, table.next(0), table.local(0)))
    key = zn.keygen(circuit(table), HEIGHT)
    constant = np.full((1 << log_height, 1), 5, np.uint32)
    attempt(key, [constant])
    if log_height:
        constant[-1] = 6
        refused(key, [constant])


@pytest.mark.parametrize("log_height", [0, 1, 3, 4, 6])
@pytest.mark.parametrize("selector", [FIRST, LAST, TRANSITION])
def test_selectors(log_height: int, selector: int) -> None:
    """The column must equal the selector, on every row."""
    table = Table("selector", 1)
    table.zero(table.node(SUB, table.local(0), table.node(selector)))
    key = zn.keygen(circuit(table), HEIGHT)
    height = 1 << log_height
    honest = {
        FIRST: [int(row == 0) for row in range(height)],
        LAST: [int(row == height - 1) for row in range(height)],
        TRANSITION: [int(row != height - 1) for row in range(height)],
    }[selector]
    attempt(key, [column(*honest)])
    for row in {0, height // 2, height - 1}:
        wrong = list(honest)
        wrong[row] ^= 1
        refused(key, [column(*wrong)])


def test_every_operation() -> None:
    """(2a - b)(a + b) - c vanishes, with NEG and a public value mixed in."""
    table = Table("operations", 3, 1)
    a, b, c = (table.local(index) for index in range(3))
    product = table.node(
        MUL,
        table.node(SUB, table.node(MUL, table.const(2), a), b),
        table.node(ADD, a, b),
    )
    public = table.node(PUBLIC, 0)
    table.zero(table.node(ADD, product, table.node(NEG, table.node(ADD, c, public))))
    key = zn.keygen(circuit(table), HEIGHT)
    generator = np.random.default_rng(1)
    ab = generator.integers(0, P, (32, 2), dtype=np.int64)
    c_values = [((2 * int(x) - int(y)) * (int(x) + int(y)) - 9) % P for x, y in ab]
    trace = np.column_stack([ab, c_values]).astype(np.uint32)
    attempt(key, [trace], [[9]])
    refused(key, [trace], [[10]])
    trace[17, 2] ^= 1
    refused(key, [trace], [[9]])


# ------------------------------------------------------------------------------------- interactions


@pytest.fixture(scope="module")
def lookup() -> zn.ProvingKey:
    return zn.keygen(circuit(*lookup_tables()), HEIGHT)


def offers(*pairs: tuple[int, int]) -> Array:
    return np.array(pairs, np.uint32)


def test_lookup(lookup: zn.ProvingKey) -> None:
    user = column(3, 3, 1, 3, 1, 0, 0, 3)
    attempt(lookup, [user, offers((0, 2), (1, 2), (2, 0), (3, 4))])
    refused(lookup, [user, offers((0, 2), (1, 2), (2, 1), (3, 4))])
    refused(lookup, [user, offers((0, 2), (1, 2), (2, 0), (4, 4))])


def test_lookup_of_height_one(lookup: zn.ProvingKey) -> None:
    attempt(lookup, [column(3), offers((3, 1))])
    attempt(lookup, [column(3, 3, 3, 3), offers((3, 4))])
    refused(lookup, [column(3), offers((4, 1))])
    refused(lookup, [column(3), offers((3, 2))])


def test_lookup_stats(lookup: zn.ProvingKey) -> None:
    _, stats = zn.prove(lookup, [column(3, 3), offers((3, 2))], [[], []], 1)
    assert stats["interactions"] == 3
    assert stats["cells"] == 4


def test_absent_tables(lookup: zn.ProvingKey) -> None:
    idle = offers((0, 0), (1, 0))
    assert attempt(lookup, [None, idle]).log_heights == [None, 1]
    refused(lookup, [column(3), None])
    refused(lookup, [None, offers((3, 1))])
    with pytest.raises(zn.TraceError):
        zn.prove(lookup, [None, None], [[], []], 1)


def test_absent_tables_without_interactions() -> None:
    key = zn.keygen(circuit(fibonacci_table("a"), fibonacci_table("b")), HEIGHT)
    trace = fibonacci_trace(4)
    values = fibonacci_values(trace)
    verified = attempt(key, [None, trace], [[], values])
    assert verified.log_heights == [None, 4]
    assert verified.public_values == [[], values]
    with pytest.raises(zn.TraceError):
        zn.prove(key, [None, trace], [values, values], 1)


def test_messages_of_different_lengths_and_buses_differ() -> None:
    for bus, fields in ((1, 1), (0, 2)):
        table = Table("ends", 1)
        value, one = table.local(0), table.const(1)
        table.send(0, [value], one)
        table.receive(bus, [value] + [table.const(0)] * (fields - 1), one)
        key = zn.keygen(circuit(table), HEIGHT)
        refused(key, [column(1, 2)])


def test_extreme_buses() -> None:
    table = Table("ends", 1)
    value, one = table.local(0), table.const(1)
    for bus in (0, 65535):
        table.send(bus, [value], one)
        table.receive(bus, [value], one)
    attempt(zn.keygen(circuit(table), HEIGHT), [column(5, 6, 7, 8)])


def test_rotation_in_messages() -> None:
    """Every row sends itself and receives its successor; the wrap closes the cycle."""
    table = Table("cycle", 1)
    one = table.const(1)
    table.send(0, [table.local(0)], one)
    table.receive(0, [table.next(0)], one)
    key = zn.keygen(circuit(table), HEIGHT)
    for log_height in (0, 1, 3, 4, 6):
        attempt(key, [column(*range(1 << log_height))])


def test_longest_message() -> None:
    table = Table("long", 127)
    fields, one = [table.local(index) for index in range(127)], table.const(1)
    table.send(0, fields, one)
    table.receive(0, fields, one)
    key = zn.keygen(circuit(table), HEIGHT)
    attempt(key, [np.arange(127 * 4, dtype=np.uint32).reshape(4, 127)])


def test_mixed_heights() -> None:
    tables = [*lookup_tables(), fibonacci_table()]
    key = zn.keygen(circuit(*tables), 12)
    trace = fibonacci_trace(7)
    values = fibonacci_values(trace)
    user = np.zeros((256, 1), np.uint32)
    verified = attempt(key, [user, offers((0, 256)), trace], [[], [], values])
    assert verified.log_heights == [8, 0, 7]


# -------------------------------------------------------------------------------- devices


DEVICES: tuple[Literal["own"], Literal["stock"]] = ("own", "stock")


def both_devices(
    key: zn.ProvingKey, traces: list[Array | None], values: list[list[int]] | None = None, *, holds: bool = True
) -> None:
    """The stock device and our own make the same proof, which both verifiers accept if the traces hold.

    One thread finds the same proof of work again; several find any.
    """
    values = values or [[] for _ in traces]
    own, stock = (zn.prove(key, traces, values, 1, device=device)[0] for device in DEVICES)
    assert own == stock
    if holds:
        vk = key.verifying_key()
        heights = [None if trace is None else len(trace).bit_length() - 1 for trace in traces]
        assert zn.verify(vk, own).log_heights == heights
        assert list(PythonKey(vk.to_bytes()).verify(own).log_heights) == heights
        threaded, _ = zn.prove(key, traces, values, 2)
        assert zn.verify(vk, threaded).log_heights == heights


@pytest.mark.parametrize("log_height", [0, 1, 3, 4, 5, 8, 9, 11])
def test_devices_agree_without_messages(key: zn.ProvingKey, log_height: int) -> None:
    trace = fibonacci_trace(log_height)
    both_devices(key, [trace], [fibonacci_values(trace)])


@pytest.mark.parametrize("log_heights", [(0, 0), (3, 0), (0, 3), (4, 2), (5, 5), (9, 1), (10, 9), (12, 0), (2, 11)])
def test_devices_agree_on_lookups(log_heights: tuple[int, int]) -> None:
    """From one row to blocks of the GKR tree that are full, merged or shared."""
    key = zn.keygen(circuit(*lookup_tables()), 14)
    users, offered = (1 << log_height for log_height in log_heights)
    user = np.random.default_rng(users).integers(0, min(offered, 5), (users, 1), np.uint32)
    counts = np.bincount(user[:, 0], minlength=offered)
    both_devices(key, [user, np.stack([np.arange(offered), counts], axis=1).astype(np.uint32)])


@pytest.mark.parametrize("present", range(1, 8))
def test_devices_agree_on_absent_tables(present: int) -> None:
    """Any tables but the one that asks without the one that answers."""
    key = zn.keygen(circuit(*lookup_tables(), fibonacci_table(), fibonacci_table("again")), 12)
    lookups = [np.zeros((256, 1), np.uint32), offers((0, 256))] if present & 1 else [None, None]
    traces: list[Array | None] = [*lookups]
    values: list[list[int]] = [[], []]
    for bit, log_height in ((2, 3), (4, 7)):
        trace = fibonacci_trace(log_height) if present & bit else None
        traces.append(trace)
        values.append([] if trace is None else fibonacci_values(trace))
    both_devices(key, traces, values)


def tangled_table(generator: random.Random, name: str, width: int) -> Table:
    """Constraints of every degree and node, and messages each of which is sent and received, whatever the trace."""
    table = Table(name, width, 1)
    ones = [table.local(generator.randrange(width)), table.next(generator.randrange(width)), table.const(7)]
    ones += [table.node(kind) for kind in (FIRST, LAST, TRANSITION)] + [table.node(PUBLIC, 0)]
    ones += [table.local(column) for column in range(width)]

    def linear() -> int:
        return table.node(generator.choice([ADD, SUB]), generator.choice(ones), generator.choice(ones))

    def cubic() -> int:
        product = table.node(MUL, linear(), linear())
        return table.node(MUL, product, generator.choice([linear(), table.node(NEG, linear())]))

    for make in generator.choices([linear, cubic], k=generator.randrange(6)):
        table.zero(make())
    # A table has something to say.
    for bus in range(generator.randrange(0 if table.constraints else 1, 4)):
        fields, count = [generator.choice([linear, cubic])() for _ in range(generator.randrange(1, 5))], linear()
        table.send(bus, fields, count)
        table.receive(bus, fields, count)
    return table


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 12))])
def test_devices_agree_on_anything(seed: int) -> None:
    """Random circuits and traces. The constraints do not hold, so that no polynomial is zero by accident."""
    generator = random.Random(seed)
    tables = [tangled_table(generator, f"t{index}", generator.choice([1, 2, 15, 16, 17, 33])) for index in range(4)]
    key = zn.keygen(circuit(*tables), 15)
    numbers = np.random.default_rng(seed)
    traces: list[Array | None] = [
        numbers.integers(0, P, (1 << generator.choice([0, 2, 4, 5, 7, 9, 10]), table.width), np.uint32)
        for table in tables
    ]
    both_devices(key, traces, [[generator.randrange(P)] for _ in tables], holds=False)


def test_devices_agree_on_a_proof_that_is_false(lookup: zn.ProvingKey) -> None:
    for device in DEVICES:
        with pytest.raises(zn.ProvingError, match="non-zero root sum"):
            zn.prove(lookup, [column(1, 1), offers((1, 1))], [[], []], 1, device=device)


def test_no_such_device(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(3)
    with pytest.raises(zn.ParameterError, match='device is "gpu"'):
        zn.prove(key, [trace], [fibonacci_values(trace)], 1, device="gpu")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- malformed proofs


def test_flipped_bits(vk: zn.VerifyingKey, proof: bytes) -> None:
    generator = random.Random(2)
    places = [*range(200), *(generator.randrange(len(proof)) for _ in range(400))]
    for place in places:
        forged = bytearray(proof)
        forged[place] ^= 1 << generator.randrange(8)
        with pytest.raises(REFUSED):
            zn.verify(vk, bytes(forged))


def test_every_word_of_the_head_and_tail(vk: zn.VerifyingKey, proof: bytes) -> None:
    words = [*range(0, 2400, 4), *range(len(proof) - 2400, len(proof), 4)]
    for at in words:
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, P - 1, P):
            forged = bytearray(proof)
            forged[at : at + 4] = struct.pack("<I", value)
            if forged == proof:
                continue
            with pytest.raises(REFUSED):
                zn.verify(vk, bytes(forged))


def test_non_canonical_elements(vk: zn.VerifyingKey, proof: bytes) -> None:
    """A value plus the modulus is the same element and must still be refused."""
    changed = 0
    # Behind the version, the commitment, the number of tables and the byte that says which are present.
    head = 4 + 32 + 4 + 1
    for at in range(head, len(proof), 4 * 97):
        word = int.from_bytes(proof[at : at + 4], "little")
        if word + P < 1 << 32:
            forged = proof[:at] + struct.pack("<I", word + P) + proof[at + 4 :]
            with pytest.raises(zn.ProofFormatError):
                zn.verify(vk, forged)
            changed += 1
    assert changed > 100


def test_truncation_and_extension(vk: zn.VerifyingKey, proof: bytes) -> None:
    for length in (0, 1, 3, 4, 35, 36, 39, 40, 41, 100, 1000, len(proof) - 4, len(proof) - 1):
        with pytest.raises(zn.ProofFormatError):
            zn.verify(vk, proof[:length])
    for tail in (b"\0", b"\0\0\0\0", b"x" * 1000, proof):
        with pytest.raises(zn.ProofFormatError):
            zn.verify(vk, proof + tail)
    with pytest.raises(zn.ProofFormatError):
        zn.verify(vk, b"\0" + proof)


def test_random_bytes(vk: zn.VerifyingKey, proof: bytes) -> None:
    generator = random.Random(3)
    for length in (1, 10, 100, 1000, len(proof)):
        for _ in range(20):
            with pytest.raises(zn.ProofFormatError):
                zn.verify(vk, generator.randbytes(length))
    for value in (0, 255):
        with pytest.raises(zn.ProofFormatError):
            zn.verify(vk, bytes([value]) * len(proof))


def test_large_inputs_are_cheap(vk: zn.VerifyingKey, proof: bytes) -> None:
    junk = proof + bytes(100_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with pytest.raises(zn.ProofFormatError):
        zn.verify(vk, junk)
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_proof_for_another_key(proof: bytes) -> None:
    other = fibonacci_table()
    other.zero(other.node(SUB, other.local(0), other.local(0)))
    vk = zn.keygen(circuit(other), HEIGHT).verifying_key()
    with pytest.raises(REFUSED):
        zn.verify(vk, proof)
    with pytest.raises(REFUSED):
        zn.verify(zn.keygen(circuit(fibonacci_table()), 12).verifying_key(), proof)


def test_arguments_of_the_wrong_type(vk: zn.VerifyingKey, key: zn.ProvingKey) -> None:
    untyped: Any = zn
    with pytest.raises(TypeError):
        untyped.verify(vk, "proof")
    with pytest.raises(TypeError):
        untyped.verify(key, b"")
    with pytest.raises(TypeError):
        untyped.VerifyingKey.from_bytes("key")


# ----------------------------------------------------------------------------------- malformed keys


def test_key_round_trip(vk: zn.VerifyingKey, proof: bytes) -> None:
    data = vk.to_bytes()
    again = zn.VerifyingKey.from_bytes(data)
    assert again.to_bytes() == data
    assert again.digest == vk.digest
    assert len(vk.digest) == 32
    assert again.params == vk.params
    assert zn.verify(again, proof).log_heights == [6]


def test_a_proving_key_of_a_verifying_key(lookup: zn.ProvingKey) -> None:
    pinned = zn.VerifyingKey.from_bytes(lookup.verifying_key().to_bytes(), known=True)
    again = zn.ProvingKey.of(pinned, lookup.tables)
    assert again.tables == lookup.tables
    assert again.log_stacked_height == lookup.log_stacked_height
    assert again.verifying_key().to_bytes() == lookup.verifying_key().to_bytes()
    attempt(again, [column(0, 0, 1, 1, 3, 3, 3, 3), offers((0, 2), (1, 2), (2, 0), (3, 4))])
    with pytest.raises(zn.CircuitError, match="1 names for 2 tables"):
        zn.ProvingKey.of(pinned, lookup.tables[:1])


def test_the_digest_of_a_known_key_is_taken_as_it_is(vk: zn.VerifyingKey) -> None:
    """But its form is checked."""
    data = vk.to_bytes()
    forged = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(zn.KeyFormatError):
        zn.VerifyingKey.from_bytes(forged)
    assert zn.VerifyingKey.from_bytes(forged, known=True).digest != vk.digest
    for damaged in (b"", data[:11], data[:-1], data[:8] + b"\xff" + data[9:]):
        with pytest.raises(zn.KeyFormatError):
            zn.VerifyingKey.from_bytes(damaged, known=True)


def test_key_generation_is_deterministic(vk: zn.VerifyingKey) -> None:
    again = zn.keygen(circuit(fibonacci_table()), HEIGHT).verifying_key()
    assert again.to_bytes() == vk.to_bytes()
    assert zn.keygen(circuit(fibonacci_table()), 12).verifying_key().digest != vk.digest


def test_key_tampering(vk: zn.VerifyingKey) -> None:
    data = vk.to_bytes()
    for at in range(len(data)):
        for bit in range(8):
            forged = bytearray(data)
            forged[at] ^= 1 << bit
            with pytest.raises(zn.KeyFormatError):
                zn.VerifyingKey.from_bytes(bytes(forged))


def test_key_tampering_with_interactions(lookup: zn.ProvingKey) -> None:
    data = lookup.verifying_key().to_bytes()
    assert zn.VerifyingKey.from_bytes(data).to_bytes() == data
    for at in range(len(data)):
        for value in (0, 1, 0x7F, 0xFF):
            if data[at] != value:
                forged = data[:at] + bytes([value]) + data[at + 1 :]
                with pytest.raises(zn.KeyFormatError):
                    zn.VerifyingKey.from_bytes(forged)


def test_key_truncation_and_extension(vk: zn.VerifyingKey) -> None:
    data = vk.to_bytes()
    for length in range(len(data)):
        with pytest.raises(zn.KeyFormatError):
            zn.VerifyingKey.from_bytes(data[:length])
    for tail in (b"\0", data):
        with pytest.raises(zn.KeyFormatError):
            zn.VerifyingKey.from_bytes(data + tail)


def test_key_bombs_are_cheap(vk: zn.VerifyingKey) -> None:
    """Lists of one-byte elements whose decoded form would be forty times as large."""
    data = vk.to_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(12, len(data), 3):
        with pytest.raises(zn.KeyFormatError):
            zn.VerifyingKey.from_bytes(data[:at] + b"\xff\xff\xff\x7f" + b"\1" * 5_000_000)
    with pytest.raises(zn.KeyFormatError):
        zn.VerifyingKey.from_bytes(bytes((256 << 20) + 1))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000


# ------------------------------------------------------------------------------- malformed circuits


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["tables"][0].update(fields)


def message(**fields: Any) -> Callable[[dict[str, Any]], None]:
    base = {"bus": 0, "count": 0, "fields": [0], "weight": 1}
    return changed(interactions=[base | fields])


BROKEN: dict[str, Callable[[dict[str, Any]], None]] = {
    "no tables": lambda document: document.update(tables=[]),
    "tables missing": lambda document: document.pop("tables"),
    "extra entry": lambda document: document.update(more=1),
    "two of one name": lambda document: document["tables"].append(document["tables"][0]),
    "too many tables": lambda document: document.update(
        tables=[document["tables"][0] | {"name": str(index)} for index in range(257)]
    ),
    "too many columns": lambda document: document.update(
        tables=[document["tables"][0] | {"name": name, "width": 30001} for name in "ab"]
    ),
    "entry missing": lambda document: document["tables"][0].pop("nodes"),
    "extra table entry": changed(more=1),
    "empty name": changed(name=""),
    "long name": changed(name="x" * 257),
    "name of another type": changed(name=3),
    "width zero": changed(width=0),
    "width too large": changed(width=60001),
    "width negative": changed(width=-1),
    "width beyond a word": changed(width=1 << 70),
    "width fractional": changed(width=1.5),
    "too many public values": changed(public_values=65537),
    "public value missing": changed(public_values=2),
    "nothing to prove": changed(constraints=[]),
    "nodes not in threes": changed(nodes=[0, 0]),
    "unknown operation": changed(nodes=[11, 0, 0]),
    "negative operation": changed(nodes=[-1, 0, 0]),
    "column out of range": changed(nodes=[0, 2, 0]),
    "next column out of range": changed(nodes=[1, 2, 0]),
    "constant not canonical": changed(nodes=[2, P, 0]),
    "constant beyond a word": changed(nodes=[2, 1 << 32, 0]),
    "public value out of range": changed(nodes=[3, 3, 0]),
    "unused slot": changed(nodes=[0, 0, 1]),
    "unused slot of a selector": changed(nodes=[4, 1, 0]),
    "unused slot of a negation": changed(nodes=[0, 0, 0, 10, 0, 1]),
    "operand is itself": changed(nodes=[7, 0, 0]),
    "operand is later": changed(nodes=[0, 0, 0, 9, 0, 2, 0, 1, 0]),
    "constraint out of range": changed(constraints=[10_000]),
    "constraint negative": changed(constraints=[-1]),
    "too many constraints": changed(constraints=[0] * 5001),
    "degree four": changed(nodes=[0, 0, 0, 9, 0, 0, 9, 1, 1], constraints=[2]),
    "selector counts as degree": changed(nodes=[6, 0, 0, 0, 0, 0, 9, 1, 1, 9, 2, 1, 9, 0, 3], constraints=[4]),
    "bus out of range": message(bus=65536),
    "bus negative": message(bus=-1),
    "empty message": message(fields=[]),
    "message too long": message(fields=[0] * 128),
    "field out of range": message(fields=[10_000]),
    "count out of range": message(count=10_000),
    "weight negative": message(weight=-1),
    "weight too large": message(weight=P),
    "message entry missing": changed(interactions=[{"bus": 0, "count": 0, "fields": [0]}]),
    "too many interactions": changed(interactions=[{"bus": 0, "count": 0, "fields": [0], "weight": 0}] * 4001),
    "weights too large together": changed(
        interactions=[{"bus": 0, "count": 0, "fields": [0], "weight": P // 2 + 1}] * 2
    ),
    "degree four in a message": changed(
        nodes=[0, 0, 0, 9, 0, 0, 9, 1, 1],
        constraints=[],
        interactions=[{"bus": 0, "count": 0, "fields": [2], "weight": 1}],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_circuit(name: str) -> None:
    document = json.loads(circuit(fibonacci_table()))
    BROKEN[name](document)
    with pytest.raises(zn.CircuitError):
        zn.keygen(json.dumps(document), HEIGHT)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000, "{}", '{"tables": 3}'])
def test_not_a_circuit(text: str) -> None:
    with pytest.raises(zn.CircuitError):
        zn.keygen(text, HEIGHT)


def test_circuit_errors_name_the_table() -> None:
    document = json.loads(circuit(fibonacci_table("good"), fibonacci_table("bad")))
    document["tables"][1]["constraints"] = [10_000]
    with pytest.raises(zn.CircuitError, match='"bad"'):
        zn.keygen(json.dumps(document), HEIGHT)


def chain(length: int, op: int) -> Table:
    table = Table("chain", 1)
    node = table.local(0)
    for _ in range(length):
        node = table.node(op, node, node)
    table.zero(table.node(SUB, node, node))
    return table


def test_deep_expressions() -> None:
    """Doubling 40000 times: deep, and astronomically large as a tree, yet fine as a graph."""
    key = zn.keygen(circuit(chain(40_000, ADD)), HEIGHT)
    data = key.verifying_key().to_bytes()
    zn.VerifyingKey.from_bytes(data)
    attempt(key, [column(1, 2, 3, 4)])
    with pytest.raises(zn.CircuitError, match="deep"):
        zn.keygen(circuit(chain(60_000, ADD)), HEIGHT)


def test_deep_messages() -> None:
    table = Table("chain", 1)
    node, one = table.local(0), table.const(1)
    for _ in range(40_000):
        node = table.node(ADD, node, one)
    table.send(0, [node], one)
    table.receive(0, [node], one)
    attempt(zn.keygen(circuit(table), HEIGHT), [column(1, 2)])


def test_messages_that_explode_as_trees() -> None:
    table = chain(40, ADD)
    table.send(0, [len(table.nodes) // 3 - 2], table.const(1))
    with pytest.raises(zn.CircuitError, match="trees"):
        zn.keygen(circuit(table), HEIGHT)


def test_constant_constraints() -> None:
    """Zero holds, one does not, and neither crashes."""
    for value in (0, 1):
        table = Table("constant", 1)
        table.zero(table.const(value))
        with pytest.raises(zn.CircuitError, match="depends on a column"):
            zn.keygen(circuit(table), HEIGHT)
        table.zero(table.local(0))
        key = zn.keygen(circuit(table), HEIGHT)
        if value:
            refused(key, [column(0, 0)])
        else:
            attempt(key, [column(0, 0)])


def test_constant_messages() -> None:
    table = Table("constant", 1)
    one = table.const(1)
    table.send(0, [one], one)
    table.receive(0, [one], one)
    with pytest.raises(zn.CircuitError, match="depends on a column"):
        zn.keygen(circuit(table), HEIGHT)
    table.zero(table.local(0))
    attempt(zn.keygen(circuit(table), HEIGHT), [column(0, 0)])


def test_trivial_tables() -> None:
    """Constraints that the engine simplifies away, and tables with nothing but a selector."""
    table = Table("simplified", 1)
    table.zero(table.node(MUL, table.const(0), table.local(0)))
    attempt(zn.keygen(circuit(table), HEIGHT), [column(1, 2)])
    table = Table("selector", 1)
    last, transition = table.node(LAST), table.node(TRANSITION)
    table.zero(table.node(SUB, table.node(ADD, last, transition), table.const(1)))
    attempt(zn.keygen(circuit(table), HEIGHT), [column(1, 2)])


# --------------------------------------------------------------------------------- malformed traces


def bad_traces() -> dict[str, Any]:
    good = fibonacci_trace(4)
    unaligned = np.frombuffer(b"\0" + good.tobytes(), np.uint8)[1:].view(np.uint32).reshape(16, 2)
    high = good.copy()
    high[3, 1] = P
    return {
        "list": good.tolist(),
        "bytes": good.tobytes(),
        "int64": good.astype(np.int64),
        "int32": good.astype(np.int32),
        "uint64": good.astype(np.uint64),
        "float32": good.astype(np.float32),
        "big endian": good.astype(">u4"),
        "one dimension": good.reshape(-1),
        "three dimensions": good.reshape(4, 4, 2),
        "fortran order": np.asfortranarray(good),
        "transposed": np.ascontiguousarray(good.T).T,
        "every other row": fibonacci_trace(5)[::2],
        "backwards": good[::-1],
        "unaligned": unaligned,
        "wider": np.zeros((16, 3), np.uint32),
        "narrower": np.zeros((16, 1), np.uint32),
        "no columns": np.zeros((16, 0), np.uint32),
        "no rows": good[:0],
        "fifteen rows": good[:15],
        "too high": np.zeros((1 << (HEIGHT + 1), 2), np.uint32),
        "not canonical": high,
        "largest word": np.full((16, 2), 0xFFFFFFFF, np.uint32),
    }


@pytest.mark.parametrize("name", bad_traces())
def test_bad_trace(key: zn.ProvingKey, name: str) -> None:
    values = fibonacci_values(fibonacci_trace(4))
    with pytest.raises(zn.TraceError, match='"fibonacci"'):
        zn.prove(key, [bad_traces()[name]], [values], 2)


def test_bad_cell_is_named(key: zn.ProvingKey) -> None:
    trace = bad_traces()["not canonical"]
    with pytest.raises(zn.TraceError, match=f'"fibonacci": row 3, column 1 holds {P}'):
        zn.prove(key, [trace], [[1, 1, 987]], 2)


def test_bad_lists(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(4)
    values = fibonacci_values(trace)
    cases: list[tuple[Any, Any]] = [
        ([], []),
        ([trace, trace], [values]),
        ([trace, trace], [values, values]),
        ([trace], []),
        ([trace], [values[:2]]),
        ([trace], [[*values, 1]]),
        ([trace], [[P, 1, 987]]),
        ([trace], [[-1, 1, 987]]),
        ([trace], [[1 << 40, 1, 987]]),
        ([trace], [["1", 1, 987]]),
        ([trace], [None]),
        ([None], [values]),
        ([None], [[]]),
    ]
    for traces, public in cases:
        with pytest.raises(zn.TraceError):
            zn.prove(key, traces, public, 2)


def test_views_are_accepted(key: zn.ProvingKey) -> None:
    trace = fibonacci_trace(5)
    frozen = trace[:16]
    frozen.flags.writeable = False
    attempt(key, [frozen], [fibonacci_values(frozen)])
    shared = np.frombuffer(trace.tobytes(), np.uint32).reshape(32, 2)
    attempt(key, [shared], [fibonacci_values(shared)])


def test_tables_too_high_for_their_interactions() -> None:
    user, offer = lookup_tables()
    user.interactions[0]["weight"] = P // 64
    key = zn.keygen(circuit(user, offer), HEIGHT)
    attempt(key, [column(*[3] * 32), offers((3, 32))])
    with pytest.raises(zn.TraceError, match="too high"):
        zn.prove(key, [column(*[3] * 128), offers((3, 128))], [[], []], 2)


def test_tables_too_large_together() -> None:
    table = Table("wide", 4096)
    table.zero(table.node(SUB, table.local(0), table.local(0)))
    table.zero(table.node(MUL, table.local(0), table.local(4095)))
    key = zn.keygen(circuit(table), HEIGHT)
    attempt(key, [np.zeros((16, 4096), np.uint32)])
    with pytest.raises(zn.TraceError, match="stacked columns"):
        zn.prove(key, [np.zeros((2048, 4096), np.uint32)], [[]], 2)


# ---------------------------------------------------------------------------------------- Poseidon2


def reference_permute(state: list[int]) -> list[int]:
    """The permutation written out from its constants."""
    constants = zn.poseidon2_constants()

    def external(x: list[int]) -> list[int]:
        block = ((2, 3, 1, 1), (1, 2, 3, 1), (1, 1, 2, 3), (3, 1, 1, 2))
        mixed = [
            sum(block[row][index] * x[base + index] for index in range(4))
            for base in range(0, 16, 4)
            for row in range(4)
        ]
        sums = [sum(mixed[index::4]) for index in range(4)]
        return [(value + sums[index % 4]) % P for index, value in enumerate(mixed)]

    def full_round(x: list[int], rounds: list[int]) -> list[int]:
        return external([pow(a + b, 7, P) for a, b in zip(x, rounds, strict=True)])

    state = external(state)
    for rounds in constants["external_initial"]:
        state = full_round(state, rounds)
    for constant in constants["internal"]:
        state = [pow(state[0] + constant, 7, P), *state[1:]]
        total = sum(state)
        diagonal = constants["internal_diagonal"]
        state = [(total + v * a) % P for v, a in zip(diagonal, state, strict=True)]
    for rounds in constants["external_final"]:
        state = full_round(state, rounds)
    return state


def test_poseidon2_constants() -> None:
    found = zn.poseidon2_constants()
    assert [len(row) for row in found["external_initial"]] == [16] * 4
    assert [len(row) for row in found["external_final"]] == [16] * 4
    assert len(found["internal"]) == 13
    # First constants of the published instance of width 16 over this field.
    assert found["external_initial"][0][:2] == [0x69CBB6AF, 0x46AD93F9]
    assert found["internal"][0] == 0x5A8053C0
    inverse = pow(2, -1, P)
    assert found["internal_diagonal"][:5] == [P - 2, 1, 2, inverse, 3]


def test_poseidon2_known_answer() -> None:
    generator = np.random.default_rng(4)
    states = generator.integers(0, P, (20, 16), dtype=np.uint32)
    states[0], states[1] = 0, P - 1
    found = zn.poseidon2_permute(states)
    assert found.dtype == np.uint32
    assert found.shape == states.shape
    assert found.tolist() == [reference_permute(row) for row in states.tolist()]
    assert zn.poseidon2_permute(states[:0]).shape == (0, 16)


def test_poseidon2_bad_states() -> None:
    for wrong in (
        np.zeros((2, 15), np.uint32),
        np.zeros(16, np.uint32),
        np.zeros((1, 16), np.int64),
        np.full((1, 16), P, np.uint32),
        np.asfortranarray(np.zeros((2, 16), np.uint32)),
        [[0] * 16],
    ):
        with pytest.raises(zn.ParameterError):
            zn.poseidon2_permute(wrong)  # type: ignore[arg-type]


def test_poseidon2_chain_is_a_running_compression() -> None:
    generator = np.random.default_rng(5)
    start = generator.integers(0, P, (1, 8), dtype=np.uint32)
    blocks = generator.integers(0, P, (5, 8), dtype=np.uint32)
    found = zn.poseidon2_chain(start, blocks)
    state = start[0].tolist()
    for block, after in zip(blocks.tolist(), found.tolist(), strict=True):
        permuted = reference_permute(state + block)
        state = [(a + b) % P for a, b in zip(permuted[:8], state, strict=True)]
        assert after == state
    assert zn.poseidon2_chain(start, blocks[:0]).shape == (0, 8)
    for wrong_start, wrong_blocks in (
        (start[:0], blocks),
        (start, np.full((1, 8), P, np.uint32)),
        (np.full((1, 8), P, np.uint32), blocks),
        (start, np.zeros((1, 16), np.uint32)),
        (start, blocks.tolist()),
    ):
        with pytest.raises(zn.ParameterError):
            zn.poseidon2_chain(wrong_start, wrong_blocks)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------- baseline


def evaluated(nodes: list[tuple[int, int, int]], wanted: list[int], rows: int = 3, **changed: Any) -> list[list[int]]:
    """Values on rows (1, 2), (3, 4), ... whose successors are the next ones, with the public value 7."""
    cells = np.arange(1, 2 * rows + 3, dtype=np.uint32).reshape(-1, 2)
    ends = np.zeros((2, rows), dtype=np.uint32)
    ends[0, 0] = ends[1, -1] = 1
    arrays = {"local": cells[:-1], "next": cells[1:], "ends": ends, "public": np.array([[7]], dtype=np.uint32)}
    values = zn.Evaluator(np.array(nodes, dtype=np.uint32), wanted).run(*(arrays | changed).values())
    assert values.dtype == np.uint32
    found: list[list[int]] = values.tolist()
    return found


LEAVES = [(0, 0, 0), (1, 1, 0), (2, 5, 0), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 0)]


def test_evaluated_leaves() -> None:
    found = evaluated(LEAVES, [0, 1, 2, 3, 4, 5, 6])
    assert found == [[1, 3, 5], [4, 6, 8], [5, 5, 5], [7, 7, 7], [1, 0, 0], [0, 0, 1], [1, 1, 0]]


def test_evaluated_operations() -> None:
    nodes = [*LEAVES, (7, 0, 1), (8, 0, 1), (9, 7, 8), (10, 9, 0), (9, 0, 0)]
    found = evaluated(nodes, [7, 8, 9, 10, 9, 11])
    minus_three = zn.MODULUS - 3
    products = [(-3 * total) % zn.MODULUS for total in (5, 9, 13)]
    assert found == [[5, 9, 13], [minus_three] * 3, products, [15, 27, 39], products, [1, 9, 25]]
    own = np.array([[1], [2], [3]], dtype=np.uint32)
    assert evaluated([*LEAVES, (9, 3, 0)], [7], public=own) == [[1, 6, 15]]
    assert evaluated(LEAVES, [0], rows=1) == [[1]]
    assert evaluated(LEAVES, []) == []


@pytest.mark.parametrize("rows", [15, 16, 17, 33])
def test_evaluated_blocks(rows: int) -> None:
    assert evaluated([*LEAVES, (9, 0, 1)], [7], rows) == [[(1 + 2 * i) * (4 + 2 * i) for i in range(rows)]]


@pytest.mark.parametrize(
    ("nodes", "wanted", "reason"),
    [
        ([(7, 0, 0)], [0], "node 0 is made of node 0"),
        ([(0, 0, 0), (9, 0, 2), (0, 1, 0)], [1], "node 1 is made of node 2"),
        ([(2, 0x78000001, 0)], [0], "operation 2 of 2013265921"),
        ([(11, 0, 0)], [0], "operation 11"),
        ([(0, 0, 0)], [1], "node 1 is wanted, there are 1"),
        ([(0, 2, 0)], [0], "2 columns and 1 public values, of which 3 and 0 are read"),
        ([(3, 1, 0)], [0], "of which 0 and 2 are read"),
    ],
)
def test_nothing_to_evaluate(nodes: list[tuple[int, int, int]], wanted: list[int], reason: str) -> None:
    with pytest.raises(zn.ParameterError, match=reason):
        evaluated(nodes, wanted)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("local", np.zeros((2, 2), dtype=np.uint32), "rows of the shape"),
        ("next", np.zeros((3, 1), dtype=np.uint32), "rows of the shape"),
        ("ends", np.zeros((3, 2), dtype=np.uint32), "rows of the shape"),
        ("public", np.zeros((2, 1), dtype=np.uint32), "rows of the shape"),
        ("local", np.zeros((3, 4), dtype=np.uint32)[:, :2], "local is not C-contiguous"),
        ("next", np.zeros((3, 2), dtype=np.int64), "next is not a two-dimensional numpy array of uint32"),
    ],
)
def test_rows_that_are_none(name: str, array: Any, reason: str) -> None:
    with pytest.raises(zn.ParameterError, match=reason):
        evaluated(LEAVES, [0], **{name: array})


def test_keccak_baseline() -> None:
    found = zn.keccak_baseline(2, 14, 2, seed=5)
    assert (found["height"], found["width"]) == (64, 2633)
    assert found["cells"] == 64 * 2633
    assert found["proof_bytes"] > 0
    assert {"fill", "prove", "verify"} <= set(found["seconds"])


def test_keccak_baseline_out_of_range() -> None:
    for permutations, height, threads in (
        (0, 14, 1),
        (1 << 40, 14, 1),
        (1 << 63, 14, 1),
        (100, 11, 1),
        (1, 10, 1),
        (1, 14, 0),
    ):
        with pytest.raises(zn.ParameterError):
            zn.keccak_baseline(permutations, height, threads)


# ------------------------------------------------------------------------------------------ process


def test_failures_print_nothing() -> None:
    """Panics of the engine are reported as exceptions only."""
    script = (
        "import zkevm_native as zn\n"
        "for call in (lambda: zn.keygen('{', 11), lambda: zn.VerifyingKey.from_bytes(b'x')):\n"
        "    try: call()\n"
        "    except zn.EngineError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_operation_numbers() -> None:
    """The numbering is part of the interface."""
    assert tuple(range(7)) == (LOCAL, NEXT, CONST, PUBLIC, FIRST, LAST, TRANSITION)
    assert (ADD, SUB, MUL, NEG) == (7, 8, 9, 10)
