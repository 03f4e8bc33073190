"""A proof of a wrong statement is rejected: every part changed in turn, by an attacker who makes the rest fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import rlp
import zkevm_native

from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.limbs import words_from_ints, words_to_ints
from circuits.memory.memory_tables import ALL_WORDS
from circuits.segment import FilledSegment, circuit_named, fill_acting, public_values, segment_circuit
from executor.forks import CANCUN
from prover.planner import SegmentPlan
from prover.segment import proving_key
from scripts.batches.chain import STORAGE, encode_header, headers_before, refit_receipts, reheader
from scripts.batches.programs import PROGRAMS
from scripts.forging.segments import forge, forge_matrices
from tests.end_to_end.batches import rejecting_check
from tests.verifier.proving import OPERATIONS, Proved, prove_here
from tests.verifier.test_verify import restated
from verifier.container import ProofFile, ReceiptRecord, Writes, encode_proof
from verifier.headers import decode_header
from verifier.statement import BatchStatement, lists_commitment
from verifier.tries import ordered_root
from verifier.verify import CHECKS, verify


def test_the_honest_proof_is_accepted(proved: Proved) -> None:
    report = verify(proved.content)
    assert report.transactions == 6
    assert report.segments == len(proved.jobs) == 4
    assert all(job.plan.operations <= OPERATIONS for job in proved.jobs)
    assert report.blocks == 3
    assert report.security_bits is not None
    assert report.security_bits >= 100
    assert [c.name for c in report.checks] == [c.name for c in CHECKS]
    assert report.statement == proved.file.statement


def test_the_batch_does_what_the_lies_below_are_about(proved: Proved) -> None:
    receipts = proved.file.receipts
    assert [receipt.status for receipt in receipts] == [1, 0, 1, 1, 1, 1]
    assert [len(receipt.logs) for receipt in receipts] == [1, 0, 0, 2, 2, 1]
    assert {key[0] for key in proved.file.state_keys} == {1, 2, 3, 4, 5}
    assert sum(len(block.withdrawals) for block in proved.file.blocks) == 3


def test_contracts_of_a_compiler(erc20: Proved) -> None:
    report = verify(erc20.content)
    assert (report.transactions, report.segments) == (3, 2)
    assert all(receipt.logs for receipt in erc20.file.receipts)


@pytest.mark.parametrize("name", [f.name for f in fields(BatchStatement)])
def test_each_field_of_the_statement(proved: Proved, name: str) -> None:
    value = getattr(proved.file.statement, name)
    changed = value + 1 if isinstance(value, int) else "prague" if name == "fork" else bytes([value[0] ^ 1]) + value[1:]
    assert rejecting_check(replace(proved.file, statement=replace(proved.file.statement, **{name: changed})))


def _with_segments(file: ProofFile, change: Callable[[list], list]) -> ProofFile:
    return replace(file, segments=tuple(change(list(file.segments))))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[1:],
        lambda s: s[:-1],
        lambda s: [s[0], *s[2:]],
        lambda s: [s[0], *s],
        lambda s: [*s, s[-1]],
        lambda s: [s[1], s[0], *s[2:]],
        lambda s: s[::-1],
        lambda s: [],
    ],
    ids=["first dropped", "last dropped", "middle dropped", "repeated", "last repeated", "swapped", "reversed", "none"],
)
def test_segments_out_of_place(proved: Proved, change: Callable[[list], list]) -> None:
    assert rejecting_check(_with_segments(proved.file, change)) == "segments"


def test_proofs_of_other_segments_in_place(proved: Proved) -> None:
    """Records with the right bounds that carry each other's proofs."""
    first, second, *rest = proved.file.segments
    swapped = [replace(first, proof=second.proof), replace(second, proof=first.proof), *rest]
    assert rejecting_check(replace(proved.file, segments=tuple(swapped))) == "proofs"


def test_a_segment_of_another_batch(proved: Proved, other: Proved) -> None:
    for number, segment in enumerate(proved.file.segments):
        foreign = other.file.segments[number]
        segments = list(proved.file.segments)
        segments[number] = replace(segment, proof=foreign.proof)
        assert rejecting_check(replace(proved.file, segments=tuple(segments))) == "leaves"
    assert rejecting_check(replace(proved.file, segments=other.file.segments)) == "leaves"


def _with_transaction(file: ProofFile, block: int, number: int, raw: bytes) -> ProofFile:
    """Another transaction, with roots, hashes and statement made to fit."""
    transactions = list(file.blocks[block].transactions)
    transactions[number] = raw
    blocks = list(file.blocks)
    blocks[block] = replace(blocks[block], transactions=tuple(transactions))
    changed = reheader(replace(file, blocks=tuple(blocks)), block, transactions_root=ordered_root(transactions))
    commitment = lists_commitment([b.transactions for b in changed.blocks])
    return replace(changed, statement=replace(changed.statement, transactions_commitment=commitment))


def _first_of_type(file: ProofFile, kind: int) -> tuple[int, int, bytes]:
    for block, record in enumerate(file.blocks):
        for number, raw in enumerate(record.transactions):
            if (raw[0] if raw[0] < 0x80 else 0) == kind:
                return block, number, raw
    raise LookupError(f"no transaction of type {kind}")


#: Positions of value, signature parity and s in the payload of a dynamic-fee transaction (EIP-1559).
_VALUE, _PARITY, _R, _S = 6, 9, 10, 11


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("kind", [2, 3])
def test_a_changed_transaction(proved: Proved, kind: int, position: int) -> None:
    """Any signed field changed: another sender is recovered, or none."""
    block, number, raw = _first_of_type(proved.file, kind)
    items = rlp.decode(raw[1:])
    items[position] = items[position][:-1] + bytes([(items[position][-1] if items[position] else 0) ^ 3])
    assert rejecting_check(_with_transaction(proved.file, block, number, bytes([kind]) + rlp.encode(items)))


def test_a_changed_blob_hash(proved: Proved) -> None:
    block, number, raw = _first_of_type(proved.file, 3)
    items = rlp.decode(raw[1:])
    items[10][1] = items[10][1][:-1] + b"\x00"
    assert rejecting_check(_with_transaction(proved.file, block, number, b"\x03" + rlp.encode(items)))


@pytest.mark.parametrize("r_s", [(b"", b""), (b"\x01", b"\x01")], ids=["no signature", "made-up signature"])
def test_an_unsigned_transaction(proved: Proved, r_s: tuple[bytes, bytes]) -> None:
    block, number, raw = _first_of_type(proved.file, 2)
    items = rlp.decode(raw[1:])
    items[_R], items[_S] = r_s
    assert rejecting_check(_with_transaction(proved.file, block, number, b"\x02" + rlp.encode(items)))


def test_a_malleable_signature(proved: Proved) -> None:
    """The other signature of the same message by the same key (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    block, number, raw = _first_of_type(proved.file, 2)
    items = rlp.decode(raw[1:])
    items[_S] = (order - int.from_bytes(items[_S], "big")).to_bytes(32, "big")
    items[_PARITY] = b"" if items[_PARITY] else b"\x01"
    assert rejecting_check(_with_transaction(proved.file, block, number, b"\x02" + rlp.encode(items))) == "transactions"


def test_transactions_in_another_order(proved: Proved) -> None:
    file = proved.file
    block = next(i for i, record in enumerate(file.blocks) if len(record.transactions) > 1)
    first, second = file.blocks[block].transactions[:2]
    swapped = _with_transaction(_with_transaction(file, block, 0, second), block, 1, first)
    assert rejecting_check(swapped)


def test_a_forged_balance_in_the_witness(proved: Proved) -> None:
    """One bit of any state node changed: no node of the trie has this hash any more."""
    for index in range(len(proved.file.state_nodes)):
        nodes = list(proved.file.state_nodes)
        nodes[index] = nodes[index][:-1] + bytes([nodes[index][-1] ^ 1])
        assert rejecting_check(replace(proved.file, state_nodes=tuple(nodes))) == "witness"


def _change_write(file: ProofFile, segment: int, kind: int, amount: int) -> ProofFile:
    """The last value that a segment writes to a leaf of a kind changed, and everything else made to fit."""
    record = file.segments[segment]
    rows = [row for row, leaf in enumerate(record.writes.leaf.tolist()) if file.state_keys[leaf][0] == kind]
    value = record.writes.value.copy()
    value[rows[-1]] = words_from_ints([words_to_ints(value[rows[-1]][None])[0] + amount])[0]
    segments = list(file.segments)
    segments[segment] = replace(record, writes=replace(record.writes, value=value))
    return restated(replace(file, segments=tuple(segments)))


@pytest.mark.parametrize("kind", [1, 2], ids=["balance", "slot"])
@pytest.mark.parametrize("segment", [0, 1, 3])
def test_minted_values(proved: Proved, segment: int, kind: int) -> None:
    """A wei or a token out of nothing; all that the verifier checks by itself fits, only the circuit knows better."""
    assert verify(encode_proof(_change_write(proved.file, segment, kind, 0)))
    assert rejecting_check(_change_write(proved.file, segment, kind, 1)) == "commitments"


def test_a_write_left_out(proved: Proved) -> None:
    record = proved.file.segments[-1]
    for row in range(len(record.writes)):
        rest = np.delete(np.arange(len(record.writes)), row)
        writes = Writes(*(getattr(record.writes, name)[rest] for name in Writes.__slots__))
        file = replace(proved.file, segments=(*proved.file.segments[:-1], replace(record, writes=writes)))
        assert rejecting_check(restated(file)) in ("headers", "commitments")


def _with_receipt(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    receipts = list(file.receipts)
    receipts[number] = replace(receipts[number], **changes)
    return refit_receipts(file, receipts)


def test_a_failure_in_the_place_of_a_success(proved: Proved) -> None:
    """The receipt says that a transaction failed; roots, hashes, blooms and statement fit."""
    assert verify(encode_proof(_with_receipt(proved.file, 0)))
    assert rejecting_check(_with_receipt(proved.file, 0, status=0)) == "commitments"
    assert rejecting_check(_with_receipt(proved.file, 0, status=0, logs=())) == "commitments"
    assert rejecting_check(_with_receipt(proved.file, 1, status=1)) == "commitments"


def test_other_logs(proved: Proved) -> None:
    file = proved.file
    (log,) = file.receipts[0].logs
    first, second = file.receipts[3].logs
    for number, logs in (
        (0, ()),
        (0, (log, log)),
        (0, (replace(log, topics=(log.topics[0], log.topics[2], log.topics[1])),)),
        (0, (replace(log, topics=log.topics[:2]),)),
        (0, (replace(log, data=log.data[:-1] + bytes([log.data[-1] ^ 1])),)),
        (0, (replace(log, data=log.data[:-1]),)),
        (0, (replace(log, address=first.address),)),
        (1, (log,)),
        (3, (second, first)),
        (3, (replace(first, topics=(bytes(32),)), second)),
    ):
        assert rejecting_check(_with_receipt(file, number, logs=logs)) == "commitments", (number, logs)


def test_a_log_of_another_transaction(proved: Proved) -> None:
    """The last one of a transaction as the first one of the next: the order of all logs stays."""
    receipts: list[ReceiptRecord] = list(proved.file.receipts)
    moved = receipts[3].logs[-1:]
    receipts[3] = replace(receipts[3], logs=receipts[3].logs[:-1])
    receipts[4] = replace(receipts[4], logs=moved + receipts[4].logs)
    assert rejecting_check(refit_receipts(proved.file, receipts)) == "commitments"


def test_gas_that_was_not_used(proved: Proved) -> None:
    last = len(proved.file.receipts) - 1
    gas = proved.file.receipts[last].gas_used
    for change in (1, -1):
        assert rejecting_check(_with_receipt(proved.file, last, gas_used=gas + change)) == "commitments"


def _with_withdrawals(file: ProofFile, block: int, withdrawals: tuple[bytes, ...]) -> ProofFile:
    blocks = list(file.blocks)
    blocks[block] = replace(blocks[block], withdrawals=withdrawals)
    return reheader(replace(file, blocks=tuple(blocks)), block, withdrawals_root=ordered_root(withdrawals))


def test_other_withdrawals(proved: Proved) -> None:
    first, second = proved.file.blocks[2].withdrawals
    items = rlp.decode(first)
    richer = rlp.encode([*items[:3], b"\x03"])
    for withdrawals in ((second, first), (richer, second), (first,), (first, second, second), ()):
        assert rejecting_check(_with_withdrawals(proved.file, 2, withdrawals)) in ("segments", "leaves")
    # Nobody can tell who proposed a withdrawal but by the root, which says so.
    renamed = rlp.encode([items[0], b"\x09", *items[2:]])
    assert verify(encode_proof(_with_withdrawals(proved.file, 2, (renamed, second))))


@pytest.mark.parametrize(
    "changes",
    [
        {"parent_beacon_root": bytes(32)},
        {"prev_randao": b"\x42" * 32},
        {"coinbase": b"\x42" * 20},
        {"timestamp": 2**40},
    ],
    ids=["beacon root", "randao", "coinbase", "timestamp"],
)
def test_another_block_context(proved: Proved, changes: dict[str, Any]) -> None:
    assert rejecting_check(reheader(proved.file, -1, **changes)) == "leaves"


def test_another_ancestor(proved: Proved) -> None:
    """A header that no circuit sees but by its hash, which BLOCKHASH has returned."""
    assert rejecting_check(reheader(proved.file, 1, extra_data=b"another")) == "commitments"


def test_other_leaves(proved: Proved) -> None:
    """One leaf less, of what is read only: nothing but the access root tells."""
    file = proved.file
    written = {int(leaf) for segment in file.segments for leaf in segment.writes.leaf}
    for number, (kind, _, _) in enumerate(file.state_keys):
        if number in written:
            continue
        keys = file.state_keys[:number] + file.state_keys[number + 1 :]
        codes = list(file.codes)
        if kind == 4:
            codes.pop(sum(key[0] == 4 for key in file.state_keys[:number]))
        segments = []
        for segment in file.segments:
            leaf = segment.writes.leaf
            moved = replace(segment.writes, leaf=np.where(leaf > number, leaf - 1, leaf).astype(np.uint32))
            segments.append(replace(segment, writes=moved))
        lie = replace(file, state_keys=keys, codes=tuple(codes), segments=tuple(segments))
        assert rejecting_check(lie) in ("codes", "commitments"), number


def test_a_wrong_root_between_the_blocks(proved: Proved) -> None:
    """The state root of a block that is not the last one, hashes and statement made to fit."""
    assert rejecting_check(reheader(proved.file, 0, state_root=bytes(32))) == "state roots"


def _forged(proved: Proved, segment: int, forgery: Callable[[dict[str, Any]], None]) -> str | None:
    """The check that refuses the proof of a segment whose tables are forged; None: the engine refuses to make one."""
    plan = proved.jobs[segment].plan
    execution = Execution(proved.batch, plan.first, plan.end)
    filled = forge(execution, forgery)
    try:
        proof = _proof(plan, filled)
    except zkevm_native.EngineError:
        return None
    segments = list(proved.file.segments)
    segments[segment] = replace(segments[segment], proof=proof)
    return rejecting_check(replace(proved.file, segments=tuple(segments)))


def _proof(plan: SegmentPlan, filled: FilledSegment) -> bytes:
    own = filled.within(circuit_named(plan.keys))
    proof, _ = zkevm_native.prove(proving_key(plan.keys, plan.log_stacked_height), own.traces, own.public_lists, 2)
    return proof


def test_an_honest_proof_made_like_the_forged_ones(proved: Proved) -> None:
    plan = proved.jobs[0].plan
    execution = Execution(proved.batch, plan.first, plan.end)
    filled: FilledSegment = forge(execution, lambda tables: None)
    stated = {"segment": public_values(execution).to_list(), "frame": [0, 0], "memory": list(ALL_WORDS)}
    assert filled.public_lists == [stated.get(table.name, []) for table in segment_circuit(CANCUN).tables]
    assert set(fill_acting(execution)) == set(forge_matrices(execution))
    segments = (replace(proved.file.segments[0], proof=_proof(plan, filled)), *proved.file.segments[1:])
    assert verify(encode_proof(replace(proved.file, segments=segments)))


@pytest.mark.parametrize(
    ("table", "column"),
    [("account_leaf", "balance_before"), ("storage_leaf", "after"), ("account", "balance_after"), ("storage", "last")],
)
def test_a_proof_made_from_forged_tables(proved: Proved, table: str, column: str) -> None:
    """A prover that fills the tables with a wei or a token out of nothing and proves them all the same."""

    def mint(tables: dict[str, Any]) -> None:
        getattr(tables[table], column)[0, 0] += 1

    assert _forged(proved, 0, mint) in (None, "proofs", "commitments")


def test_a_proof_of_another_size_of_key(proved: Proved) -> None:
    """A proof is only good for the key of its own stacked height."""
    segment = proved.file.segments[0]
    for height in (segment.log_stacked_height + 1, 0, 255):
        segments = (replace(segment, log_stacked_height=height), *proved.file.segments[1:])
        assert rejecting_check(replace(proved.file, segments=segments)) in ("segments", "proofs")


def test_a_part_of_each_receipt_changed(proved: Proved) -> None:
    """Without anything made to fit."""
    for number, receipt in enumerate(proved.file.receipts):
        for changes in ({"status": 1 - receipt.status}, {"gas_used": receipt.gas_used ^ 1}, {"logs": receipt.logs[1:]}):
            if changes == {"logs": receipt.logs}:
                continue
            receipts = list(proved.file.receipts)
            receipts[number] = replace(receipt, **changes)
            assert rejecting_check(replace(proved.file, receipts=tuple(receipts))) in ("transactions", "receipts")


def test_a_slot_of_each_segment_changed(proved: Proved) -> None:
    """Without anything made to fit."""
    for number, segment in enumerate(proved.file.segments):
        kinds = [proved.file.state_keys[leaf][0] for leaf in segment.writes.leaf.tolist()]
        value = segment.writes.value.copy()
        value[kinds.index(STORAGE), 0] ^= 1
        segments = list(proved.file.segments)
        segments[number] = replace(segment, writes=replace(segment.writes, value=value))
        assert rejecting_check(replace(proved.file, segments=tuple(segments))) in ("state roots", "commitments")


def test_hashes_of_earlier_blocks() -> None:
    """The headers prove what BLOCKHASH gave, each is needed, and none may be another one."""
    executed = PROGRAMS["ancestors"]().execute()
    file = prove_here(executed, 1).file
    (latest,) = file.ancestors
    assert {slot for kind, _, slot in file.state_keys if kind == LeafKind.BLOCK_HASH} == {298, 299, 300, 301}
    assert verify(encode_proof(file)).statement == file.statement
    without = replace(file, ancestors=())
    assert rejecting_check(without) == "leaves"
    other = encode_header(replace(decode_header(latest), extra_data=b"!"))
    earlier = headers_before(300, 3)[1]
    for ancestors in ((other,), (earlier,), (latest, latest)):
        assert rejecting_check(replace(file, ancestors=ancestors)) == "headers"
    more = replace(file, ancestors=(latest, earlier))
    assert verify(encode_proof(more)).statement == file.statement, "it is true, and nobody needs it"
