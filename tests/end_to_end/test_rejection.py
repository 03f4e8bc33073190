"""A proof of a wrong statement is rejected: every part changed in turn, by an attacker who makes the rest fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import rlp
import zkevm_native

from circuits.limbs import words_from_ints, words_to_ints
from circuits.segment import fill
from executor.transfers import Access
from prover.segment import proving_key
from tests.end_to_end.conftest import Proved
from tests.verifier.chain import reheader
from verifier.container import BlockRecord, ProofFile, encode_proof
from verifier.errors import Rejected
from verifier.headers import decode_header
from verifier.receipts import encode_receipts
from verifier.state import BatchState, check_keys, ordered_writes
from verifier.statement import BatchStatement, lists_commitment
from verifier.transactions import decode_transaction
from verifier.tries import StateTrie, ordered_root
from verifier.verify import CHECKS, verify


def _rejected(file: ProofFile) -> str:
    """The name of the check that rejects the file."""
    with pytest.raises(Rejected) as rejection:
        verify(encode_proof(file))
    return rejection.value.check


def test_the_honest_proof_is_accepted(proved: Proved) -> None:
    report = verify(proved.content)
    assert report.transactions == 12
    assert report.segments == len(proved.jobs) == 3
    assert report.blocks > 2
    assert report.security_bits is not None
    assert report.security_bits >= 100
    assert [c.name for c in report.checks] == [c.name for c in CHECKS]
    assert report.statement == proved.file.statement


@pytest.mark.parametrize("name", [f.name for f in fields(BatchStatement)])
def test_each_field_of_the_statement(proved: Proved, name: str) -> None:
    value = getattr(proved.file.statement, name)
    changed = value + 1 if isinstance(value, int) else "prague" if name == "fork" else bytes([value[0] ^ 1]) + value[1:]
    assert _rejected(replace(proved.file, statement=replace(proved.file.statement, **{name: changed})))


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
    assert _rejected(_with_segments(proved.file, change)) == "segments"


def test_proofs_of_other_segments_in_place(proved: Proved) -> None:
    """Records with the right bounds that carry each other's proofs."""
    first, second, *rest = proved.file.segments
    swapped = [replace(first, proof=second.proof), replace(second, proof=first.proof), *rest]
    assert _rejected(replace(proved.file, segments=tuple(swapped))) == "proofs"


def test_a_segment_of_another_batch(proved: Proved, other: Proved) -> None:
    for number, segment in enumerate(proved.file.segments):
        foreign = other.file.segments[number]
        segments = list(proved.file.segments)
        segments[number] = replace(segment, proof=foreign.proof)
        assert _rejected(replace(proved.file, segments=tuple(segments))) == "proofs"
    assert _rejected(replace(proved.file, segments=other.file.segments)) in ("segments", "proofs")


def test_a_segment_that_claims_another_state(proved: Proved) -> None:
    segment = proved.file.segments[0]
    access = ((segment.access_out[0] + 1) % 2013265921, *segment.access_out[1:])
    segments = (replace(segment, access_out=access), *proved.file.segments[1:])
    assert _rejected(replace(proved.file, segments=segments)) == "proofs"


def _with_transaction(file: ProofFile, block: int, number: int, raw: bytes) -> ProofFile:
    """Another transaction, with roots, hashes and statement made to fit."""
    record = file.blocks[block]
    transactions = list(record.transactions)
    transactions[number] = raw
    blocks = list(file.blocks)
    blocks[block] = BlockRecord(record.header, tuple(transactions))
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
def test_a_changed_transaction(proved: Proved, position: int) -> None:
    """Any signed field changed: another sender is recovered, or none."""
    block, number, raw = _first_of_type(proved.file, 2)
    items = rlp.decode(raw[1:])
    items[position] = items[position][:-1] + bytes([(items[position][-1] if items[position] else 0) ^ 3])
    assert _rejected(_with_transaction(proved.file, block, number, b"\x02" + rlp.encode(items)))


@pytest.mark.parametrize("r_s", [(b"", b""), (b"\x01", b"\x01")], ids=["no signature", "made-up signature"])
def test_an_unsigned_transaction(proved: Proved, r_s: tuple[bytes, bytes]) -> None:
    block, number, raw = _first_of_type(proved.file, 2)
    items = rlp.decode(raw[1:])
    items[_R], items[_S] = r_s
    assert _rejected(_with_transaction(proved.file, block, number, b"\x02" + rlp.encode(items)))


def test_a_malleable_signature(proved: Proved) -> None:
    """The other signature of the same message by the same key (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    block, number, raw = _first_of_type(proved.file, 2)
    items = rlp.decode(raw[1:])
    items[_S] = (order - int.from_bytes(items[_S], "big")).to_bytes(32, "big")
    items[_PARITY] = b"" if items[_PARITY] else b"\x01"
    assert _rejected(_with_transaction(proved.file, block, number, b"\x02" + rlp.encode(items))) == "transactions"


def test_transactions_in_another_order(proved: Proved) -> None:
    file = proved.file
    block = next(i for i, record in enumerate(file.blocks) if len(record.transactions) > 1)
    first, second = file.blocks[block].transactions[:2]
    swapped = _with_transaction(_with_transaction(file, block, 0, second), block, 1, first)
    assert _rejected(swapped)


def test_a_forged_balance_in_the_witness(proved: Proved) -> None:
    """One bit of any state node changed: no node of the trie has this hash any more."""
    for index in range(len(proved.file.state_nodes)):
        nodes = list(proved.file.state_nodes)
        nodes[index] = nodes[index][:-1] + bytes([nodes[index][-1] ^ 1])
        assert _rejected(replace(proved.file, state_nodes=tuple(nodes))) in ("pre-state", "state roots")


def _with_effects(file: ProofFile, transaction: int, balance: int, amount: int) -> ProofFile:
    """A balance written by a transaction changed, with state roots, headers and statement made to fit."""
    balances = file.effects.balances.copy()
    value = words_to_ints(balances[transaction, balance][None])[0] + amount
    balances[transaction, balance] = words_from_ints([value])[0]
    changed = replace(file, effects=replace(file.effects, balances=balances))
    parent = decode_header(file.parent_header)
    headers = [decode_header(b.header) for b in file.blocks]
    transactions = [[decode_transaction(raw, file.statement.chain_id) for raw in b.transactions] for b in file.blocks]
    coinbases = [h.coinbase for h, block in zip(headers, transactions, strict=True) for _ in block]
    leaves = check_keys(file.state_keys, [t for block in transactions for t in block], coinbases)
    state = BatchState(StateTrie(parent.state_root, file.state_nodes), file.state_keys)
    start = 0
    for number, block in enumerate(transactions):
        root = state.write(*ordered_writes(leaves, changed.effects, start, start + len(block)))
        changed = reheader(changed, number, state_root=root)
        start += len(block)
    return changed


@pytest.mark.parametrize("balance", [0, 1, 2], ids=["sender", "recipient", "coinbase"])
def test_minted_wei_in_the_effects(proved: Proved, balance: int) -> None:
    """A wei out of nothing; everything the verifier checks by itself fits, only the circuit knows better."""
    last = len(proved.file.effects.status) - 1
    assert verify(encode_proof(_with_effects(proved.file, last, balance, 0)))
    assert _rejected(_with_effects(proved.file, last, balance, 1)) in ("segments", "proofs")


def test_a_failure_in_the_place_of_a_success(proved: Proved) -> None:
    """The receipt says that a transfer failed; roots, hashes and statement fit."""
    file = proved.file
    status = file.effects.status.copy()
    status[0] = 0
    effects = replace(file.effects, status=status)
    block = next(i for i, record in enumerate(file.blocks) if record.transactions)
    receipts, start = [], 0
    for record in file.blocks:
        end = start + len(record.transactions)
        types = [decode_transaction(raw, file.statement.chain_id).type for raw in record.transactions]
        receipts.append(encode_receipts(types, status[start:end].tolist(), effects.gas_used[start:end].tolist()))
        start = end
    changed = reheader(replace(file, effects=effects), block, receipts_root=ordered_root(receipts[block]))
    commitment = lists_commitment(receipts)
    changed = replace(changed, statement=replace(changed.statement, receipts_commitment=commitment))
    assert _rejected(changed) == "proofs"


def test_a_wrong_root_between_the_blocks(proved: Proved) -> None:
    """The state root of a block that is not the last one, hashes and statement made to fit."""
    assert _rejected(reheader(proved.file, 0, state_root=bytes(32))) == "state roots"


def test_a_proof_made_from_a_forged_trace(proved: Proved) -> None:
    """A prover that fills the tables with a minted wei and proves them all the same."""
    job = proved.jobs[0]
    trace = proved.trace.slice(job.plan.first, job.plan.end)
    before = trace.access_before.copy()
    place = (0, Access.SENDER_BALANCE)
    before[place] = words_from_ints([words_to_ints(before[place][None])[0] + 1])[0]
    filled = fill(replace(trace, access_before=before), job.boundary)
    key = proving_key(job.plan.log_stacked_height)
    try:
        proof, _ = zkevm_native.prove(key, filled.traces, filled.public_lists, 2)
    except zkevm_native.EngineError:
        return  # refusing to prove is as good
    segments = (replace(proved.file.segments[0], proof=proof), *proved.file.segments[1:])
    assert _rejected(replace(proved.file, segments=segments)) == "proofs"


def test_a_proof_of_another_size_of_key(proved: Proved) -> None:
    """A proof is only good for the key of its own stacked height."""
    segment = proved.file.segments[0]
    for height in (segment.log_stacked_height + 1, 0, 255):
        segments = (replace(segment, log_stacked_height=height), *proved.file.segments[1:])
        assert _rejected(replace(proved.file, segments=segments)) in ("segments", "proofs")


def test_an_effect_of_each_kind_changed(proved: Proved) -> None:
    effects = proved.file.effects
    for name in ("status", "gas_used", "nonce", "balances"):
        array = np.array(getattr(effects, name), order="C")
        array.reshape(-1)[-1] ^= 1
        assert _rejected(replace(proved.file, effects=replace(effects, **{name: array})))
