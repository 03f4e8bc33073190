"""Whole proof files: honest ones are accepted, and each lie is refused by the check that is there for it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import rlp

from tests.verifier.chain import NEWCOMER, Chain, Transfer, list_root, reheader, sample_chain
from tests.verifier.proving import LOG_STACKED_HEIGHT, proved_batch
from verifier import CHECKS, BatchStatement, Rejected, UnusableInput, verify, verify_file
from verifier.container import BlockRecord, Effects, ProofFile, SegmentRecord, encode_proof
from verifier.headers import decode_header
from verifier.keys import SUPPORTED_HEIGHTS
from verifier.segments import access_root
from verifier.state import BatchState, check_keys, ordered_writes
from verifier.transactions import decode_transaction
from verifier.tries import StateTrie

TRANSACTIONS, SEGMENTS = 8, 2


@pytest.fixture(scope="module")
def proved() -> ProofFile:
    """A batch with real proofs."""
    return proved_batch(TRANSACTIONS, SEGMENTS)


def rejection(file: ProofFile) -> Rejected:
    with pytest.raises(Rejected) as caught:
        verify(encode_proof(file))
    return caught.value


def change_effects(file: ProofFile, name: str, index: tuple[int, ...], value: int) -> ProofFile:
    column = getattr(file.effects, name).copy()
    column[index] = value
    return replace(file, effects=replace(file.effects, **{name: column}))


def change_block(file: ProofFile, number: int, transactions: tuple[bytes, ...]) -> ProofFile:
    blocks = list(file.blocks)
    blocks[number] = replace(blocks[number], transactions=transactions)
    return replace(file, blocks=tuple(blocks))


def change_segment(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    segments = list(file.segments)
    segments[number] = replace(segments[number], **changes)
    return replace(file, segments=tuple(segments))


def flipped(data: bytes | memoryview, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def exchange_first(file: ProofFile, change: Callable[[bytes], bytes]) -> ProofFile:
    """Another first transaction in the first block, whose header commits to it."""
    first, *rest = file.blocks[0].transactions
    transactions = (change(first), *rest)
    return reheader(change_block(file, 0, transactions), 0, transactions_root=list_root(transactions))


def unsigned(raw: bytes) -> bytes:
    """The transaction with zeros for a signature."""
    prefix = raw[:1] if raw[0] < 0x80 else b""
    return prefix + rlp.encode([*rlp.decode(raw[len(prefix) :])[:-2], b"", b""])


def other_proof() -> bytes | memoryview:
    """The proof of the first segment of another batch."""
    return proved_batch(TRANSACTIONS, SEGMENTS, seed=1).segments[0].proof


def replace_node(file: ProofFile, number: int, node: bytes) -> ProofFile:
    return replace(file, state_nodes=(*file.state_nodes[:number], node, *file.state_nodes[number + 1 :]))


class TestAccepted:
    def test_a_proved_batch(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        report = verify(data)
        assert report.statement == proved.statement
        assert (report.transactions, report.segments) == (TRANSACTIONS, SEGMENTS)
        assert report.blocks == len(proved.blocks)
        assert report.proof_bytes == len(data)
        assert report.security_bits is not None
        assert report.security_bits >= 100
        assert [(c.name, c.establishes) for c in report.checks] == [(c.name, c.establishes) for c in CHECKS]
        document = report.to_dict()
        assert document["digest"] == "0x" + proved.statement.digest.hex()
        assert document["seconds"] == report.seconds > 0
        assert [check["name"] for check in document["checks"]] == [check.name for check in CHECKS]

    def test_a_batch_without_blocks_says_that_nothing_changed(self) -> None:
        chain = Chain()
        statement = verify(encode_proof(chain.file())).statement
        assert statement.pre_state_root == statement.post_state_root == chain.parent.state_root
        assert statement.first_block_hash == statement.last_block_hash == chain.parent.hash
        assert statement.gas_used == 0

    def test_blocks_without_transactions(self) -> None:
        chain = Chain()
        chain.block()
        chain.block()
        report = verify(encode_proof(chain.file()))
        assert (report.blocks, report.transactions, report.segments, report.security_bits) == (2, 0, 0, None)
        assert report.statement.last_block_number == report.statement.first_block_number + 1 == 2

    def test_a_file(self, proved: ProofFile, tmp_path: Any) -> None:
        path = tmp_path / "batch.proof"
        path.write_bytes(encode_proof(proved))
        assert verify_file(path).statement == proved.statement
        with pytest.raises(UnusableInput):
            verify_file(tmp_path / "missing")

    def test_progress(self, proved: ProofFile) -> None:
        seen: list[tuple[str, int, int]] = []
        verify(encode_proof(proved), progress=lambda *step: seen.append(step))
        assert list(dict.fromkeys(name for name, _, _ in seen)) == [check.name for check in CHECKS]
        assert all(0 <= done <= total for _, done, total in seen)
        assert ("proofs", 1, SEGMENTS) in seen
        assert ("transactions", TRANSACTIONS, TRANSACTIONS) in seen


def test_only_the_placeholder_proof_of_a_handmade_chain_is_refused(file: ProofFile) -> None:
    """All other checks agree with headers, roots and effects that come from plain arithmetic."""
    assert rejection(file).check == "proofs"


LIES: list[tuple[str, str, Callable[[ProofFile], ProofFile]]] = [
    ("format", "effect missing", lambda f: replace(f, effects=Effects.from_bytes(f.effects.to_bytes()[109:]))),
    ("format", "effect added", lambda f: replace(f, effects=Effects.from_bytes(f.effects.to_bytes() + bytes(109)))),
    ("format", "access root", lambda f: change_segment(f, 0, access_out=(2**31,) * 8)),
    ("headers", "fork", lambda f: replace(f, statement=replace(f.statement, fork="prague"))),
    ("headers", "parent", lambda f: replace(f, parent_header=f.blocks[0].header)),
    ("headers", "timestamp", lambda f: reheader(f, 0, timestamp=0)),
    ("headers", "base fee", lambda f: reheader(f, 1, base_fee=1)),
    ("headers", "order", lambda f: replace(f, blocks=f.blocks[::-1])),
    ("headers", "missing", lambda f: replace(f, blocks=(replace(f.blocks[0], header=b""), *f.blocks[1:]))),
    (
        "transactions",
        "changed",
        lambda f: change_block(f, 0, (*f.blocks[0].transactions[:-1], f.blocks[0].transactions[0])),
    ),
    ("transactions", "unsigned", lambda f: exchange_first(f, unsigned)),
    ("transactions", "order", lambda f: change_block(f, 0, f.blocks[0].transactions[::-1])),
    ("transactions", "chain", lambda f: replace(f, statement=replace(f.statement, chain_id=5))),
    ("transactions", "gas of the effects", lambda f: change_effects(f, "gas_used", (0,), 20999)),
    ("transactions", "gas of the header", lambda f: reheader(f, -1, gas_used=42)),
    ("transactions", "root", lambda f: reheader(f, 0, transactions_root=bytes(32))),
    ("receipts", "status", lambda f: change_effects(f, "status", (0,), 0)),
    ("receipts", "neither status", lambda f: change_effects(f, "status", (1,), 2)),
    ("receipts", "root", lambda f: reheader(f, 0, receipts_root=bytes(32))),
    ("keys", "missing", lambda f: replace(f, state_keys=f.state_keys[1:])),
    ("keys", "additional", lambda f: replace(f, state_keys=(*f.state_keys, (3, b"\xff" * 20)))),
    ("keys", "another signer", lambda f: exchange_first(f, lambda raw: flipped(raw, -1))),
    ("keys", "order", lambda f: replace(f, state_keys=f.state_keys[::-1])),
    ("pre-state", "node missing", lambda f: replace(f, state_nodes=f.state_nodes[1:])),
    ("pre-state", "node of another trie", lambda f: replace_node(f, 0, flipped(f.state_nodes[0], -1))),
    ("pre-state", "no witness", lambda f: replace(f, state_nodes=())),
    ("state roots", "nonce", lambda f: change_effects(f, "nonce", (0, 0), 77)),
    ("state roots", "balance of the recipient", lambda f: change_effects(f, "balances", (TRANSACTIONS - 1, 1, 3), 77)),
    ("state roots", "root", lambda f: reheader(f, 0, state_root=bytes(32))),
    ("statement", "gas", lambda f: replace(f, statement=replace(f.statement, gas_used=1))),
    ("segments", "dropped", lambda f: replace(f, segments=f.segments[:1])),
    ("segments", "none", lambda f: replace(f, segments=())),
    ("segments", "repeated", lambda f: replace(f, segments=(*f.segments, f.segments[1]))),
    ("segments", "reordered", lambda f: replace(f, segments=f.segments[::-1])),
    ("segments", "unknown key", lambda f: change_segment(f, 0, log_stacked_height=max(SUPPORTED_HEIGHTS) + 1)),
    ("segments", "final access root", lambda f: change_segment(f, 1, access_out=(1,) * 8)),
    ("proofs", "access root between", lambda f: change_segment(f, 0, access_out=(1,) * 8)),
    ("proofs", "another key", lambda f: change_segment(f, 0, log_stacked_height=LOG_STACKED_HEIGHT + 1)),
    ("proofs", "repeated proof", lambda f: change_segment(f, 1, proof=f.segments[0].proof)),
    ("proofs", "one proof for all", lambda f: replace(f, segments=(replace(f.segments[1], first=0),))),
    ("proofs", "moved border", lambda f: change_segment(change_segment(f, 0, end=5), 1, first=5)),
    ("proofs", "proof of another batch", lambda f: change_segment(f, 0, proof=other_proof())),
    ("proofs", "empty", lambda f: change_segment(f, 0, proof=b"")),
    ("proofs", "changed", lambda f: change_segment(f, 1, proof=flipped(f.segments[1].proof, 5000))),
]


@pytest.mark.parametrize(("check", "lie"), [pytest.param(c, lie, id=f"{c}: {name}") for c, name, lie in LIES])
def test_each_lie_is_refused_by_its_check(proved: ProofFile, check: str, lie: Callable[[ProofFile], ProofFile]) -> None:
    error = rejection(lie(proved))
    assert error.check == check
    assert error.reason
    assert not isinstance(error.__cause__, (TypeError, AttributeError, AssertionError, IndexError, KeyError))


def test_every_check_refuses_something() -> None:
    assert {check for check, _, _ in LIES} == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", BatchStatement.__slots__)
def test_each_field_of_the_statement_is_compared(proved: ProofFile, name: str) -> None:
    value = getattr(proved.statement, name)
    other = flipped(value, 7) if isinstance(value, bytes) else "shanghai" if isinstance(value, str) else value + 1
    error = rejection(replace(proved, statement=replace(proved.statement, **{name: other})))
    assert error.check == {"chain_id": "transactions", "fork": "headers"}.get(name, "statement")


def restated(file: ProofFile, effects: Effects) -> ProofFile:
    """Other effects, and everything a liar can make fit them: the state roots, hashes, statement and access root."""
    headers = [decode_header(block.header) for block in file.blocks]
    bodies = [[decode_transaction(raw, file.statement.chain_id) for raw in block.transactions] for block in file.blocks]
    coinbases = [h.coinbase for h, body in zip(headers, bodies, strict=True) for _ in body]
    leaves = check_keys(file.state_keys, [t for body in bodies for t in body], coinbases)
    state = BatchState(StateTrie(decode_header(file.parent_header).state_root, file.state_nodes), file.state_keys)
    start = 0
    for number, body in enumerate(bodies):
        root = state.write(*ordered_writes(leaves, effects, start, start + len(body)))
        file = reheader(file, number, state_root=root)
        start += len(body)
    final = tuple(access_root(file.state_keys, state.values).tolist())
    return change_segment(replace(file, effects=effects), -1, access_out=final)


class TestConsistentLies:
    """Only a circuit can refuse these: every root, hash and commitment fits the lie."""

    def test_the_helper_reproduces_the_truth(self, proved: ProofFile) -> None:
        assert verify(encode_proof(restated(proved, proved.effects))).statement == proved.statement

    @pytest.mark.parametrize("balance", range(3))
    def test_a_minted_wei(self, proved: ProofFile, balance: int) -> None:
        balances = proved.effects.balances.copy()
        balances[-1, balance, 0] ^= 1
        error = rejection(restated(proved, replace(proved.effects, balances=balances)))
        assert (error.check, "public values" in error.reason) == ("proofs", True)

    def test_a_skipped_nonce(self, proved: ProofFile) -> None:
        nonce = proved.effects.nonce.copy()
        nonce[-1, 0] += 1
        error = rejection(restated(proved, replace(proved.effects, nonce=nonce)))
        assert (error.check, "public values" in error.reason) == ("proofs", True)

    def test_another_block_context(self, proved: ProofFile) -> None:
        error = rejection(reheader(proved, -1, prev_randao=b"\x42" * 32))
        assert (error.check, "public values" in error.reason) == ("proofs", True)

    def test_a_transaction_left_out(self, proved: ProofFile) -> None:
        """The honest batch of the other transactions, with the proofs of all of them."""
        shorter = proved_batch(TRANSACTIONS - 1, 1)
        assert rejection(replace(shorter, segments=(replace(proved.segments[0], end=TRANSACTIONS - 1),))).check in (
            "segments",
            "proofs",
        )


class TestUntrustedBytes:
    def test_changed_bytes(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        for position in np.linspace(0, len(data) - 1, 60).astype(int).tolist():
            with pytest.raises((Rejected, UnusableInput)):
                verify(flipped(data, position))

    def test_changed_bytes_before_the_proofs(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        head = len(data) - sum(len(segment.proof) for segment in proved.segments)
        for position in range(0, head, max(1, head // 300)):
            with pytest.raises((Rejected, UnusableInput)):
                verify(flipped(data, position))

    def test_truncated_and_extended_files(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        for size in np.linspace(0, len(data) - 1, 50).astype(int).tolist():
            with pytest.raises((Rejected, UnusableInput)):
                verify(data[:size])
        with pytest.raises(Rejected, match="bytes too many"):
            verify(data + b"\0")

    @pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"ZKEVM", b"ZKEVM\x02", b"{}"])
    def test_other_files_are_unusable(self, data: bytes) -> None:
        with pytest.raises(UnusableInput):
            verify(data)

    def test_another_engine_is_refused(self, proved: ProofFile) -> None:
        with pytest.raises(UnusableInput, match="python engine is not available"):
            verify(encode_proof(proved), engine="python")


def test_an_invalid_transaction_is_named() -> None:
    chain = sample_chain()
    file = chain.file()
    creation = Transfer(0, b"").sign(2)
    record = BlockRecord(file.blocks[2].header, (file.blocks[2].transactions[0], creation))
    body = replace(file, blocks=(*file.blocks[:2], record))
    error = rejection(reheader(body, 2, transactions_root=list_root(record.transactions)))
    assert str(error) == "transactions: block 3, transaction 1: contract creation"


def test_failures_of_any_kind_are_rejections(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
    for failure in (MemoryError(), RecursionError("deep"), OverflowError(), BaseException("panic")):

        def fail(*arguments: object, failure: BaseException = failure) -> None:
            raise failure

        monkeypatch.setattr(import_module("verifier.verify"), "check_header", fail)
        error = rejection(file)
        assert error.check == "headers"
        assert type(failure).__name__ in error.reason


def test_interrupts_are_no_verdict(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("verifier.verify"), "check_header", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify(encode_proof(file))


def test_segments_of_an_empty_batch_are_refused() -> None:
    file = replace(Chain().file(), segments=(SegmentRecord(0, 0, 17, (0,) * 8, b""),))
    assert rejection(file).check == "segments"


def test_a_recipient_that_stays_absent() -> None:
    """No value and no tip leave neither a recipient nor a coinbase behind."""
    chain = Chain()
    chain.block(Transfer(0, NEWCOMER, value=0, tip=0))
    assert NEWCOMER not in chain.accounts
    assert rejection(chain.file()).check == "proofs"


def test_the_verifier_loads_neither_executor_nor_prover() -> None:
    """Also not through the modules of the circuits it uses, but for the conversion of integers into limbs."""
    program = "import sys, verifier; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "circuits.statement" in loaded
    foreign = {name for name in loaded if name.partition(".")[0] in ("executor", "prover", "eth", "ray")}
    assert foreign <= {"executor", "executor.limbs"}
