"""The plan of the segments, their public values, and the verdict on a single segment proof."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import zkevm_native

from circuits.statement import EFFECTS_START, TRANSACTIONS_START
from tests.verifier.chain import CHAIN_ID, Chain
from verifier.container import ProofFile, SegmentRecord
from verifier.errors import Invalid
from verifier.headers import decode_header
from verifier.keys import PinnedKey
from verifier.segments import (
    access_root,
    check_plan,
    effects_chain,
    expected_public_values,
    transactions_chain,
    verify_segment,
)
from verifier.state import check_keys
from verifier.transactions import decode_transaction


def segment(first: int, end: int, access_out: int = 0, proof: bytes = b"") -> SegmentRecord:
    return SegmentRecord(first, end, 17, (access_out,) * 8, proof)


class TestPlan:
    @pytest.mark.parametrize(("cuts", "transactions"), [([], 0), ([(0, 5)], 5), ([(0, 2), (2, 3), (3, 9)], 9)])
    def test_covering_plans_pass(self, cuts: list[tuple[int, int]], transactions: int) -> None:
        check_plan([segment(*cut) for cut in cuts], transactions)

    @pytest.mark.parametrize(
        ("cuts", "reason"),
        [
            ([], "end at transaction 0 instead of 5"),
            ([(0, 4)], "end at transaction 4"),
            ([(0, 6)], "end at transaction 6"),
            ([(1, 5)], "segment 0 starts at transaction 1"),
            ([(0, 2), (3, 5)], "segment 1 starts at transaction 3"),
            ([(0, 3), (2, 5)], "segment 1 starts at transaction 2"),
            ([(2, 5), (0, 2)], "segment 0 starts"),
            ([(0, 5), (0, 5)], "segment 1 starts"),
            ([(0, 0), (0, 5)], "segment 0 has no transactions"),
            ([(0, 5), (5, 5)], "segment 1 has no transactions"),
            ([(0, 7), (7, 5)], "segment 1 has no transactions"),
        ],
    )
    def test_others_are_refused(self, cuts: list[tuple[int, int]], reason: str) -> None:
        with pytest.raises(Invalid, match=reason):
            check_plan([segment(*cut) for cut in cuts], 5)


class TestPublicValues:
    transactions = np.arange(1, 49, dtype=np.uint32).reshape(6, 8)
    effects = np.arange(101, 149, dtype=np.uint32).reshape(6, 8)

    def expected(self, segments: list[SegmentRecord], last: int) -> list[list[int]]:
        first = np.full(8, 7, dtype=np.uint32)
        return expected_public_values(
            segments, 9, self.transactions, self.effects, first, np.full(8, last, dtype=np.uint32)
        )

    def test_segments_are_chained(self) -> None:
        one, two = self.expected([segment(0, 2, 11), segment(2, 5, 12)], last=12)
        assert one[1:4] == [0, 2, 4]
        assert two[1:4] == [2, 5, 4]
        assert one[4:12] == self.transactions[0].tolist()
        assert one[12:20] == two[4:12] == self.transactions[2].tolist()
        assert two[12:20] == self.transactions[5].tolist()
        assert one[20:28] == self.effects[0].tolist()
        assert one[28:36] == two[20:28] == self.effects[2].tolist()
        assert two[28:36] == self.effects[5].tolist()
        assert one[36:44] == [7] * 8
        assert one[44:52] == two[36:44] == [11] * 8
        assert two[44:] == [12] * 8

    def test_the_last_access_root_is_compared(self) -> None:
        with pytest.raises(Invalid, match="after the last segment"):
            self.expected([segment(0, 2, 11), segment(2, 5, 12)], last=13)


class TestCommitments:
    def test_without_transactions(self, chain: Chain) -> None:
        assert transactions_chain(chain.headers, [[], [], []], CHAIN_ID).tolist() == [TRANSACTIONS_START.tolist()]
        empty = Chain()
        leaves = check_keys([], [], [])
        assert effects_chain(empty.columns(), leaves).tolist() == [EFFECTS_START.tolist()]

    def test_every_field_counts(self, chain: Chain) -> None:
        blocks = [[decode_transaction(raw, CHAIN_ID) for raw in body] for body in chain.bodies]
        headers = chain.headers
        base = transactions_chain(headers, blocks, CHAIN_ID)
        assert base.shape == (6, 8)
        fields = (
            "sender",
            "to",
            "nonce",
            "gas_limit",
            "value",
            "max_fee",
            "max_priority",
            "zero_bytes",
            "nonzero_bytes",
        )
        seen = {tuple(base[5].tolist())}
        for field in (*fields, "access_addresses", "access_keys"):
            old = getattr(blocks[0][1], field)
            new = old[::-1] if isinstance(old, bytes) else old + 1
            new = bytes(20) if new == old else new
            other = [[blocks[0][0], replace(blocks[0][1], **{field: new}), blocks[0][2]], *blocks[1:]]
            changed = transactions_chain(headers, other, CHAIN_ID)
            assert (changed[:2] == base[:2]).all()
            seen.add(tuple(changed[5].tolist()))
        for field in ("coinbase", "base_fee", "gas_limit", "number", "timestamp", "prev_randao"):
            old = getattr(headers[2], field)
            new = bytes([old[0] ^ 1]) + old[1:] if isinstance(old, bytes) else old + 1
            changed = transactions_chain([*headers[:2], replace(headers[2], **{field: new})], blocks, CHAIN_ID)
            assert (changed[:4] == base[:4]).all()
            seen.add(tuple(changed[5].tolist()))
        seen.add(tuple(transactions_chain(headers, blocks, CHAIN_ID + 1)[5].tolist()))
        assert len(seen) == 1 + 11 + 6 + 1

    def test_every_effect_counts(self, file: ProofFile) -> None:
        blocks = [[decode_transaction(raw, CHAIN_ID) for raw in block.transactions] for block in file.blocks]
        headers = [decode_header(block.header) for block in file.blocks]
        coinbases = [h.coinbase for h, block in zip(headers, blocks, strict=True) for _ in block]
        leaves = check_keys(file.state_keys, [t for block in blocks for t in block], coinbases)
        base = effects_chain(file.effects, leaves)
        assert base.shape == (6, 8)
        for name in type(file.effects).__slots__:
            column = getattr(file.effects, name)
            for index in np.ndindex(column.shape[1:]):
                other = column.copy()
                other[(2, *index)] ^= 1
                changed = effects_chain(replace(file.effects, **{name: other}), leaves)
                assert (changed[:3] == base[:3]).all()
                assert (changed[5] != base[5]).any()
        for name in type(leaves).__slots__:
            column = getattr(leaves, name)
            for index in np.ndindex(column.shape[1:]):
                other = column.copy()
                other[(2, *index)] ^= 1
                assert (effects_chain(file.effects, replace(leaves, **{name: other}))[5] != base[5]).any()

    def test_access_root_depends_on_keys_and_values(self) -> None:
        keys = [(1, b"\1" * 20), (2, b"\1" * 20), (3, b"\2" * 20)]
        values = np.arange(48, dtype=np.uint16).reshape(3, 16)
        roots = {tuple(access_root(keys, values).tolist())}
        for i in range(3):
            other = values.copy()
            other[i, 15 - i] ^= 1
            roots.add(tuple(access_root(keys, other).tolist()))
            moved = [(k, b"\3" * 20) if j == i else (k, a) for j, (k, a) in enumerate(keys)]
            roots.add(tuple(access_root(moved, values).tolist()))
        assert len(roots) == 7


def fibonacci(log_stacked_height: int, start: int) -> tuple[PinnedKey, bytes]:
    """A key for a circuit of two tables, and a proof with the public values [start, 8th term of the sequence]."""
    local, following, public, is_first, is_last, is_transition, add, sub, mul = 0, 1, 3, 4, 5, 6, 7, 8, 9
    nodes = [
        *(local, 0, 0, local, 1, 0, following, 0, 0, following, 1, 0, public, 0, 0, public, 1, 0),  # 0 to 5
        *(is_first, 0, 0, is_last, 0, 0, is_transition, 0, 0),  # 6 to 8
        *(sub, 0, 4, mul, 6, 9, sub, 1, 4, mul, 6, 11),  # 9 to 12: both terms start as the first public value
        *(sub, 2, 1, mul, 8, 13, add, 0, 1, sub, 3, 15, mul, 8, 16),  # 13 to 17: the next two terms
        *(sub, 1, 5, mul, 7, 18),  # 18 and 19: the last term is the second public value
    ]
    segment_table = {
        "name": "segment",
        "width": 2,
        "public_values": 2,
        "nodes": nodes,
        "constraints": [10, 12, 14, 17, 19],
        "interactions": [],
    }
    # One bus, so that the proof has interactions as those of real circuits do.
    other = {
        "name": "other",
        "width": 1,
        "public_values": 0,
        "nodes": [0, 0, 0, 2, 1, 0, 10, 1, 0],
        "constraints": [],
        "interactions": [
            {"bus": 0, "count": 1, "fields": [0], "weight": 0},
            {"bus": 0, "count": 2, "fields": [0], "weight": 0},
        ],
    }
    key = zkevm_native.keygen(json.dumps({"tables": [segment_table, other]}), log_stacked_height)
    rows = [(start, start)]
    for _ in range(7):
        a, b = rows[-1]
        rows.append((b, (a + b) % zkevm_native.MODULUS))
    traces = [np.array(rows, dtype=np.uint32), np.arange(8, dtype=np.uint32).reshape(8, 1)]
    proof, _ = zkevm_native.prove(key, traces, [[start, rows[-1][1]], []], 1)
    return PinnedKey(key.verifying_key(), ("segment", "other")), proof


@pytest.fixture(scope="module")
def proved() -> tuple[PinnedKey, bytes]:
    return fibonacci(14, 1)


class TestVerifySegment:
    def test_an_honest_proof_passes(self, proved: tuple[PinnedKey, bytes]) -> None:
        key, proof = proved
        assert verify_segment(segment(0, 1, proof=proof), [1, 34], key) >= 100
        assert verify_segment(segment(0, 1, proof=memoryview(proof)), [1, 34], key) >= 100

    @pytest.mark.parametrize("expected", [[1, 35], [2, 34], [1], [], [1, 34, 0], [34, 1]])
    def test_other_public_values_are_refused(self, proved: tuple[PinnedKey, bytes], expected: list[int]) -> None:
        key, proof = proved
        with pytest.raises(Invalid, match="other public values"):
            verify_segment(segment(0, 1, proof=proof), expected, key)

    def test_public_values_belong_to_the_segment_table(self, proved: tuple[PinnedKey, bytes]) -> None:
        key, proof = proved
        with pytest.raises(Invalid, match="other public values"):
            verify_segment(segment(0, 1, proof=proof), [1, 34], replace(key, tables=("other", "segment")))

    def test_another_key_is_refused(self, proved: tuple[PinnedKey, bytes]) -> None:
        key, _ = fibonacci(15, 1)
        with pytest.raises(Invalid, match="engine refuses"):
            verify_segment(segment(0, 1, proof=proved[1]), [1, 34], key)

    @pytest.mark.parametrize("damage", [lambda p: b"", lambda p: p[:-1], lambda p: p + b"\0", lambda p: bytes(len(p))])
    def test_damaged_proofs_are_refused(
        self, proved: tuple[PinnedKey, bytes], damage: Callable[[bytes], bytes]
    ) -> None:
        key, proof = proved
        with pytest.raises(Invalid, match="engine refuses"):
            verify_segment(segment(0, 1, proof=damage(proof)), [1, 34], key)
