"""Addresses of contracts that are created: hashes of the one right encoding."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import rlp
import zkevm_native
from eth._utils.address import generate_contract_address, generate_safe_contract_address
from eth_utils.crypto import keccak
from eth_utils.encoding import int_to_big_endian

from circuits.air.bus import Bus
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.air.mutation import MutationReport, mutate
from circuits.batch.execution import Execution
from circuits.component import Acting, Answering, Component
from circuits.frames import call_gas
from circuits.frames.buses import CALL_GAS, CREATE2_ADDRESS, CREATE_ADDRESS
from circuits.frames.create_address import COMPONENTS, create2_inputs, create_inputs
from circuits.instructions.keccak import COMPONENTS as KECCAK_COMPONENTS
from circuits.limbs import addresses_from_bytes, u64_from_ints, words_from_bytes
from executor.trace import Data, Hashes, HashPurpose
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from tests.circuits.family import check_family, closed, fill_family
from tests.circuits.lying import FUNCTIONS, places
from tests.circuits.worlds import asking

CREATE, CREATE2 = COMPONENTS
SPONGE = tuple(c for c in KECCAK_COMPONENTS if c.table.name in ("keccak", "keccak_f"))

NONCES = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 1 << 32, (1 << 56) - 1, 1 << 56, (1 << 64) - 2)
#: With zeros at the beginning, in the middle and at the end.
WORDS = (bytes(32), b"\0" + b"\xff" * 30 + b"\0", b"\1" + bytes(30) + b"\2", bytes(range(32)), b"\xff" * 32)
SENDERS = (bytes(20), b"\0" * 19 + b"\1", b"\1" + b"\0" * 19, bytes(range(0xE0, 0xF4)), b"\xff" * 20)

Claim = tuple[list[int], bytes]


def created(sender: bytes, nonce: int, content: bytes | None = None) -> Claim:
    """The query for an address and what is hashed for it; `content`: something else that is hashed."""
    content = rlp.encode([sender, nonce]) if content is None else content
    fields = (addresses_from_bytes([sender]), u64_from_ints([nonce]), addresses_from_bytes([keccak(content)[12:]]))
    return np.concatenate(fields, axis=1)[0].tolist(), content


def created2(sender: bytes, salt: bytes, initcode_hash: bytes, content: bytes | None = None) -> Claim:
    """The same by CREATE2."""
    content = b"\xff" + sender + salt + initcode_hash if content is None else content
    address = addresses_from_bytes([keccak(content)[12:]])
    fields = (addresses_from_bytes([sender]), words_from_bytes([salt]), words_from_bytes([initcode_hash]), address)
    return np.concatenate(fields, axis=1)[0].tolist(), content


def claims() -> list[Claim]:
    draw = random.Random(1)
    pairs = [(sender, nonce) for sender in SENDERS for nonce in NONCES]
    pairs += [(draw.randbytes(20), draw.getrandbits(draw.randrange(1, 65))) for _ in range(30)]
    return [created(*pair) for pair in pairs]


def claims2() -> list[Claim]:
    draw = random.Random(2)
    found = [(sender, salt, code) for sender in SENDERS[:2] for salt in WORDS for code in WORDS[2:]]
    found += [(draw.randbytes(20), draw.randbytes(32), draw.randbytes(32)) for _ in range(20)]
    return [created2(*parts) for parts in found]


@cache
def _plain() -> Execution:
    building = Builder().alloc(CONTRACT, code="0x00")
    return execution_of(building.block(call_contract(building)).execute())


def hashing(contents: Sequence[bytes]) -> Execution:
    """An execution whose only step hashes all of these."""
    execution, count = copy(_plain()), len(contents)
    sizes = np.array([len(content) for content in contents], dtype=np.uint32)
    hashes = Hashes(
        step=np.full(count, execution.step[0], dtype=np.uint32),
        frame=np.zeros(count, dtype=np.uint32),
        purpose=np.full(count, HashPurpose.CREATE_ADDRESS, dtype=np.uint8),
        input_start=(np.cumsum(sizes) - sizes).astype(np.uint64),
        input_size=sizes,
        digest=words_from_bytes([keccak(content) for content in contents]),
    )
    data = Data(np.frombuffer(b"".join(contents), dtype=np.uint8))
    execution.trace = replace(execution.trace, hashes=hashes, data=data)
    return execution


def findings(bus: Bus, claimed: Sequence[Claim], hashed: Sequence[bytes] | None = None) -> set[str]:
    """What objects to queries; by default what they claim is hashed is."""
    execution = hashing([content for _, content in claimed] if hashed is None else hashed)
    return places(
        check_family((asking(bus, [message for message, _ in claimed]), *COMPONENTS, *SPONGE, *FUNCTIONS), execution)
    )


def test_inputs_are_those_of_py_evm() -> None:
    draw = random.Random(3)
    for nonce in NONCES:
        sender = draw.randbytes(20)
        content = create_inputs(addresses_from_bytes([sender]), u64_from_ints([nonce]))
        assert [keccak(c)[12:] for c in content] == [generate_contract_address(sender, nonce)]
    for salt in WORDS:
        sender, initcode = draw.randbytes(20), draw.randbytes(50)
        words = [words_from_bytes([word]) for word in (salt, keccak(initcode))]
        address = generate_safe_contract_address(sender, int.from_bytes(salt, "big"), initcode)
        assert [keccak(c)[12:] for c in create2_inputs(addresses_from_bytes([sender]), *words)] == [address]


def test_honest() -> None:
    asked = claims()
    assert findings(CREATE_ADDRESS, [*asked, *asked[:7]]) == set()


def test_honest_create2() -> None:
    asked = claims2()
    assert findings(CREATE2_ADDRESS, [*asked, *asked[:7]]) == set()


def test_other_hashes_do_no_harm() -> None:
    asked = claims()[:3]
    assert findings(CREATE_ADDRESS, asked, [b"", b"other", *(content for _, content in asked), b"x" * 300]) == set()


def test_nothing_is_created() -> None:
    for component, width in ((CREATE, 24), (CREATE2, 52)):
        assert isinstance(component, Answering)
        assert component.answer(hashing([b"x"]), np.zeros((0, width), np.uint32)) is None


def test_what_is_not_hashed_has_no_answer() -> None:
    asked = claims()[:3]
    assert findings(CREATE_ADDRESS, asked, [content for _, content in asked[:2]]) == {"create_address"}
    assert findings(CREATE2_ADDRESS, claims2()[:2], [b"other"]) == {"create2_address"}


def mutated(component: Component, bus: Bus, claimed: Sequence[Claim]) -> MutationReport:
    """The mutation harness on one table beside the sponge."""
    components = (asking(bus, [message for message, _ in claimed]), component, *SPONGE, *FUNCTIONS)
    tables = [c.table for c in components]
    traces = fill_family(components, hashing([content for _, content in claimed]))
    circuit, filled = closed(tables, traces)
    return mutate(circuit, filled, [[] for _ in filled], rows_per_table=12, tables={component.table.name})


def test_mutations() -> None:
    asked = [created(SENDERS[3], nonce) for nonce in (0, 1, 0x7F, 0x80, 0x100, 0x1234, 1 << 32, 1 << 56, (1 << 64) - 2)]
    report = mutated(CREATE, CREATE_ADDRESS, [*asked, asked[0]])
    assert report.survivors == [], str(report)
    assert report.tried["cell"] > 1000


def test_mutations_of_create2() -> None:
    report = mutated(CREATE2, CREATE2_ADDRESS, [*claims2()[:3], claims2()[-1], claims2()[0]])
    assert report.survivors == [], str(report)
    assert report.tried["cell"] > 1000


@pytest.mark.parametrize("bus", [CREATE_ADDRESS, CREATE2_ADDRESS])
def test_false_queries(bus: Bus) -> None:
    """Another address, one whose limbs are shifted, another sender, and a number that is no limb."""
    honest = (claims() if bus is CREATE_ADDRESS else claims2())[-1]
    message, content = honest
    for false in (
        [*message[:-1], message[-1] ^ 1],
        [*message[:-10], *message[-9:], message[-10]],
        [message[0] ^ 1, *message[1:]],
        [message[0] + (1 << 16), *message[1:]],
        [*message[:10], message[10] ^ 1, *message[11:]],
    ):
        assert findings(bus, [honest, (false, content)]) == {bus.name}


# Lies: the table's own row is forged, it states what is asked, and the sponge hashes what the liar likes.


def lied(component: Component, bus: Bus, honest: Claim, false: Claim, change: Callable[[Any], None]) -> set[str]:
    """What objects when the honest row is changed so that it names the input of `false` and states its query."""
    execution = hashing([honest[1], false[1]])
    assert isinstance(component, Answering)
    matrix = component.answer(execution, np.array([honest[0]], dtype=np.uint32))
    rows: Any = TraceView(component.table.layout, matrix)
    digest = words_from_bytes([keccak(false[1])])[0]
    rows.digest.id = 1 if false[1] != honest[1] else 0
    rows.digest.address, rows.digest.dropped = digest[:10], digest[10:]
    change(rows)
    components = (asking(bus, [false[0]]), Acting(component.table, lambda _: matrix), *SPONGE, *FUNCTIONS)
    return places(check_family(components, execution))


def encoded(sender: bytes, nonce: bytes, *, prefix: int | None = None, behind: bytes = b"") -> bytes:
    """A list of an address and of bytes that encode something."""
    payload = b"\x94" + sender + nonce
    return bytes([0xC0 + len(payload) if prefix is None else prefix]) + payload + behind


def lie(honest_nonce: int, nonce: int, content: bytes, change: Callable[[Any], None]) -> set[str]:
    sender = SENDERS[3]
    false = created(sender, nonce, content)
    return lied(CREATE, CREATE_ADDRESS, created(sender, honest_nonce), false, change)


def _flags(zero: int = 0, single: int = 0, size: int = 0) -> Callable[[Any], None]:
    def change(rows: Any) -> None:
        rows.zero, rows.single = zero, single
        rows.size = 0
        if size:
            rows.size[0, size - 1] = 1
        if zero or size == 1:
            rows.inverse = 0

    return change


def test_a_prefix_before_a_byte_below_128() -> None:
    for nonce in (5, 0x7F):
        content = encoded(SENDERS[3], bytes([0x81, nonce]))
        assert lie(nonce, nonce, content, _flags(size=1)) == {"bitwise_bytes"}


def test_no_prefix_before_a_byte_from_128_on() -> None:
    """0x80 alone is the encoding of 0."""
    content = encoded(SENDERS[3], b"\x80")
    assert content == create_inputs(addresses_from_bytes([SENDERS[3]]), u64_from_ints([0]))[0]

    def single(rows: Any) -> None:
        _flags(single=1)(rows)
        rows.inverse = pow(0x80, -1, MODULUS)

    assert lie(0x80, 0x80, content, single) == {"bitwise_bytes"}


def test_zero_as_a_byte() -> None:
    assert lie(0, 0, encoded(SENDERS[3], b"\0"), _flags(single=1)) == {"the highest byte is not zero"}
    assert lie(0, 0, encoded(SENDERS[3], b"\x81\0"), _flags(size=1)) == {"bitwise_bytes"}


def test_leading_zeros() -> None:
    for nonce, size in ((0, 2), (5, 2), (0x80, 2), (0x1234, 3), (0x1234, 8), (1 << 32, 8)):
        content = encoded(SENDERS[3], bytes([0x80 + size]) + nonce.to_bytes(size, "big"))
        assert lie(nonce, nonce, content, _flags(size=size)) == {"the highest byte is not zero"}


def test_bytes_that_are_left_out() -> None:
    content = encoded(SENDERS[3], b"\x34")
    assert lie(0x1234, 0x1234, content, _flags(single=1)) >= {"byte 1 of the nonce is above its size"}
    content = encoded(SENDERS[3], b"\x82\x34\x56")
    assert lie(0x123456, 0x123456, content, _flags(size=2)) >= {"byte 2 of the nonce is above its size"}
    assert lie(5, 5, encoded(SENDERS[3], b"\x80"), _flags(zero=1)) == {"nonce 0"}


def test_two_sizes_and_none() -> None:
    content = encoded(SENDERS[3], b"\x80")
    assert "size of the nonce: exactly one flag" in lie(0, 0, content, _flags(zero=1, size=1))
    assert "size of the nonce: exactly one flag" in lie(0, 0, content, _flags())


def test_other_lengths_and_prefixes() -> None:
    sender, nothing = SENDERS[3], lambda rows: None
    right = int_to_big_endian(0x1234)
    longer = encoded(sender, b"\x82" + right, behind=b"\0")
    assert lie(0x1234, 0x1234, longer, nothing) == {"hash_out"}
    for prefix in (0xD5, 0xD9, 0xF8):
        assert lie(0x1234, 0x1234, encoded(sender, b"\x82" + right, prefix=prefix), nothing) == {"hash_word"}
    assert lie(0x1234, 0x1234, encoded(sender, b"\x82\x34\x12"), nothing) == {"hash_word"}
    assert lie(0x1234, 0x1234, encoded(SENDERS[4], b"\x82" + right), nothing) == {"hash_word"}


def test_bytes_of_the_nonce_that_are_none() -> None:
    """The limb 0x0100 is 1, 0 in bytes, not 0, 256."""

    def change(rows: Any) -> None:
        rows.nonce[0, :2] = 256, 0
        _flags(single=1)(rows)
        rows.inverse = pow(256, -1, MODULUS)

    found = lied(CREATE, CREATE_ADDRESS, created(SENDERS[3], 0x100), created(SENDERS[3], 0x100), change)
    assert "bitwise_bytes" in found


def test_other_bytes_of_the_hash() -> None:
    for component, bus, honest in (
        (CREATE, CREATE_ADDRESS, created(SENDERS[3], 9)),
        (CREATE2, CREATE2_ADDRESS, created2(SENDERS[3], WORDS[3], WORDS[2])),
    ):
        digest = words_from_bytes([keccak(honest[1])])[0].tolist()
        false = ([*honest[0][:-10], *digest[6:]], honest[1])

        def change(rows: Any, digest: list[int] = digest) -> None:
            rows.digest.address, rows.digest.dropped = digest[6:], digest[:6]

        assert lied(component, bus, honest, false, change) == {"hash_out"}


PARTS = (SENDERS[3], WORDS[3], bytes.fromhex("5a" * 31 + "77"))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xfe" + PARTS[0] + PARTS[1] + PARTS[2], "hash_word"),
        (b"\xff" + PARTS[0] + PARTS[2] + PARTS[1], "hash_word"),
        (b"\xff" + PARTS[0][::-1] + PARTS[1] + PARTS[2], "hash_word"),
        (PARTS[0] + PARTS[1] + PARTS[2] + b"\xff", "hash_word"),
        (b"\xff" + PARTS[0] + PARTS[1] + PARTS[2] + b"\0", "hash_out"),
        (b"\xff" + PARTS[0] + PARTS[1] + PARTS[2] + b"\1", "hash_word"),
        (b"\xff" + PARTS[0] + PARTS[1] + PARTS[2][:-1], "hash_word"),
    ],
)
def test_other_inputs_of_create2(content: bytes, place: str) -> None:
    false = created2(*PARTS, content)
    assert place in lied(CREATE2, CREATE2_ADDRESS, created2(*PARTS), false, lambda rows: None)


def test_high_bytes_that_are_none() -> None:
    """Without their range there is another input whose limbs satisfy all equations of the field: it begins with 0xfe.

    The first high byte is -1; then any value of the third one follows from two limbs of the input.
    """
    message, content = created2(*PARTS)
    limbs = [limb for field in (message[:10], message[10:26], message[26:42]) for limb in reversed(field)]
    third = limbs[2] >> 8
    both = (256 * limbs[1] + 65_536 * (256 * limbs[0] + 65_536) + third) % MODULUS
    # t_1 = 256 (s_0 - 256 h_0) + h_1, and t_2 = 256 (s_1 - 256 h_1) + h_2.
    first, second = divmod(both, 65_536)
    high = (first - 256 * limbs[0] - 65_536) % MODULUS
    assert (256 * limbs[1] - 65_536 * high + third - second) % MODULUS == 0
    other = b"\xfe\xff" + first.to_bytes(2, "big") + second.to_bytes(2, "big") + content[6:]
    false = created2(*PARTS, other)

    def change(rows: Any) -> None:
        rows.high[0, :2] = MODULUS - 1, high

    assert lied(CREATE2, CREATE2_ADDRESS, (message, content), false, change) == {"bitwise_bytes"}


@pytest.mark.deep
def test_the_engine_proves_all_of_them() -> None:
    """Tables of which one has interactions only, beside those whose answers they take."""
    asked, asked2 = claims()[:3], claims2()[:3]
    gas = [[*u64_from_ints([64])[0].tolist(), *words_from_bytes([WORDS[4]])[0].tolist(), 63, 0, 0, 0]]
    components = (
        asking(CREATE_ADDRESS, [message for message, _ in asked]),
        asking(CREATE2_ADDRESS, [message for message, _ in asked2]),
        asking(CALL_GAS, gas),
        *call_gas.COMPONENTS,
        *COMPONENTS,
        *SPONGE,
        *FUNCTIONS,
    )
    traces = fill_family(components, hashing([content for _, content in (*asked, *asked2)]))
    circuit, filled = closed([c.table for c in components], traces)
    assert len(circuit.tables) == len(components)
    key = zkevm_native.keygen(circuit.export(), 16)
    proof, _ = zkevm_native.prove(key, filled, [[] for _ in filled], 1)
    zkevm_native.verify(key.verifying_key(), proof)
