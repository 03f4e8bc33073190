"""The running hashes of operations and receipts: every field of everything counts, in its place."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from circuits.statement import OPERATIONS_START, RECEIPTS_START
from scripts.batches.chain import BLOB_HASH, CHAIN_ID, HISTORY_ADDRESS, Chain, crossing_chain
from verifier.container import LogRecord, ReceiptRecord
from verifier.errors import Invalid
from verifier.forks import CANCUN, PRAGUE, Fork
from verifier.operations import BlockContents, Operations, operations_of, receipts_chain
from verifier.system_contracts import BEACON_ROOTS_ADDRESS
from verifier.transactions import Authorization, Transaction, decode_transaction
from verifier.withdrawals import decode_withdrawal

WRITTEN = {BEACON_ROOTS_ADDRESS}


def contents_of(chain: Chain) -> list[BlockContents]:
    return [
        BlockContents(
            header,
            [decode_transaction(raw, CHAIN_ID, chain.schedule.at(header.timestamp)) for raw in body],
            [decode_withdrawal(data) for data in withdrawals],
            outputs,
            chain.schedule.at(header.timestamp),
        )
        for header, body, withdrawals, outputs in zip(
            chain.headers, chain.bodies, chain.withdrawals, chain.outputs, strict=True
        )
    ]


@pytest.fixture(scope="module")
def contents(chain: Chain) -> list[BlockContents]:
    return contents_of(chain)


#: Of the sample's blocks: beacon root, four transactions, two withdrawals; beacon root; beacon root, five transactions.
SCOPES = (0, 7, 8, 14)


def test_numbers(contents: list[BlockContents]) -> None:
    operations = operations_of(contents, CHAIN_ID, WRITTEN)
    assert operations.scopes == SCOPES
    assert operations.transactions.tolist() == [1, 2, 3, 4, 9, 10, 11, 12, 13]
    assert len(operations) == 14
    assert operations.chain.shape == (15, 8)
    assert (operations.chain[0] == OPERATIONS_START).all()
    without = operations_of(contents, CHAIN_ID, ())
    assert without.scopes == (0, 6, 6, 11)
    assert without.transactions.tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10]


def test_nothing_at_all() -> None:
    for blocks in ([], contents_of(_empty())):
        operations = operations_of(blocks, CHAIN_ID, ())
        assert len(operations) == 0
        assert operations.chain.tolist() == [OPERATIONS_START.tolist()]
        assert receipts_chain([], operations).tolist() == [RECEIPTS_START.tolist()]


def _empty() -> Chain:
    chain = Chain()
    chain.block()
    chain.block()
    return chain


def test_too_many_are_refused(contents: list[BlockContents], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.operations.MAX_OPERATIONS", 14)
    operations_of(contents, CHAIN_ID, WRITTEN)
    monkeypatch.setattr("verifier.operations.MAX_OPERATIONS", 13)
    with pytest.raises(Invalid, match="14 operations, at most 13"):
        operations_of(contents, CHAIN_ID, WRITTEN)


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"\x01"
    return value + 1


#: What a transaction commits to, by the number of ways in which it is changed below.
_CHANGES: dict[str, list[Any]] = {
    "data": [b"", b"\0", b"\1", b"\0\1\xff", bytes(64)],
    "access_list": [
        (),
        ((bytes(20), None),),
        ((bytes(20), bytes(32)),),
        ((bytes(20), None), (bytes(20), bytes(32))),
        ((bytes(20), None), (bytes(20), b"\1" * 32)),
        ((b"\1" * 20, None),),
    ],
    "blob_hashes": [(), (BLOB_HASH,), (BLOB_HASH, BLOB_HASH), (BLOB_HASH, b"\x01" * 32), (b"\x01" * 32,)],
}


def test_every_field_of_a_transaction_counts(contents: list[BlockContents]) -> None:
    """But for the type, of which nothing but the receipt depends, and for what the signature has been checked with."""
    base = operations_of(contents, CHAIN_ID, WRITTEN).chain
    block = contents[0]
    seen = [tuple(base[-1].tolist())]
    for field in fields(Transaction):
        if field.name in ("type", "protected", "authorizations"):
            continue
        old = getattr(block.transactions[1], field.name)
        for new in _CHANGES.get(field.name) or [_other(old)]:
            if new == old:
                continue
            changed = replace(block.transactions[1], **{field.name: new})
            others = [block.transactions[0], changed, *block.transactions[2:]]
            chain = operations_of([replace(block, transactions=others), *contents[1:]], CHAIN_ID, WRITTEN).chain
            assert (chain[:3] == base[:3]).all(), field.name
            assert (chain[3:] != base[3:]).any(axis=1).all(), field.name
            seen.append(tuple(chain[-1].tolist()))
    assert len(set(seen)) == len(seen)


def test_every_field_of_an_authorization_counts(contents: list[BlockContents]) -> None:
    """EIP-7702: of a transaction of a fork that has them. Of one that is passed over it counts that it is there."""

    def digest(*authorizations: Authorization, fork: Fork = PRAGUE) -> tuple[int, ...]:
        block = replace(contents[0], fork=fork, outputs=(b"",) * len(fork.request_contracts))
        changed = replace(block.transactions[1], authorizations=authorizations)
        others = [block.transactions[0], changed, *block.transactions[2:]]
        chain = operations_of([replace(block, transactions=others), *contents[1:]], CHAIN_ID, WRITTEN).chain
        return tuple(chain[-1].tolist())

    one, other = Authorization(b"\1" * 20, 5, b"\2" * 20), Authorization(b"\3" * 20, 6, b"\4" * 20)
    void = replace(one, authority=None)
    seen = [
        digest(),
        digest(one),
        digest(other),
        digest(one, one),
        digest(one, other),
        digest(other, one),
        digest(void),
    ]
    seen += [
        digest(replace(one, address=bytes(20))),
        digest(replace(one, nonce=6)),
        digest(void, one),
        digest(one, void),
    ]
    seen += [digest(replace(one, authority=b"\5" * 20)), digest(fork=CANCUN)]
    assert len(set(seen)) == len(seen)
    assert digest(replace(void, nonce=7, address=bytes(20))) == digest(void)


def test_every_field_of_a_block_counts(contents: list[BlockContents]) -> None:
    base = operations_of(contents, CHAIN_ID, WRITTEN).chain
    header = contents[2].header
    seen = [tuple(base[-1].tolist())]
    for name in ("coinbase", "base_fee", "gas_limit", "number", "prev_randao", "timestamp", "parent_beacon_root"):
        changed = replace(contents[2], header=replace(header, **{name: _other(getattr(header, name))}))
        chain = operations_of([*contents[:2], changed], CHAIN_ID, WRITTEN).chain
        # The beacon-root write, which comes first, has the timestamp and the root alone.
        same = 9 if name not in ("timestamp", "parent_beacon_root") else 8
        assert (chain[: same + 1] == base[: same + 1]).all(), name
        assert (chain[same + 1] != base[same + 1]).any(), name
        seen.append(tuple(chain[-1].tolist()))
    blobs = replace(contents[2], header=replace(header, excess_blob_gas=4_000_000))
    seen.append(tuple(operations_of([*contents[:2], blobs], CHAIN_ID, WRITTEN).chain[-1].tolist()))
    # The excess is the same, the fee another one.
    blobs = replace(blobs, fork=replace(CANCUN, blobs=PRAGUE.blobs))
    seen.append(tuple(operations_of([*contents[:2], blobs], CHAIN_ID, WRITTEN).chain[-1].tolist()))
    seen.append(tuple(operations_of(contents, CHAIN_ID + 1, WRITTEN).chain[-1].tolist()))
    seen.append(tuple(operations_of(contents, CHAIN_ID, ()).chain[-1].tolist()))
    assert len(set(seen)) == len(seen) == 12


def test_withdrawals_and_the_order_of_operations_count(contents: list[BlockContents]) -> None:
    block = contents[0]
    first, second = block.withdrawals
    base = operations_of(contents, CHAIN_ID, WRITTEN).chain[-1].tolist()
    seen = {tuple(base)}
    changes = [
        replace(block, withdrawals=[second, first]),
        replace(block, withdrawals=[first]),
        replace(block, withdrawals=[]),
        replace(block, withdrawals=[replace(first, amount=first.amount + 1), second]),
        replace(block, withdrawals=[replace(first, address=second.address), second]),
        replace(block, transactions=block.transactions[::-1]),
        replace(block, transactions=block.transactions[1:]),
    ]
    for changed in changes:
        seen.add(tuple(operations_of([changed, *contents[1:]], CHAIN_ID, WRITTEN).chain[-1].tolist()))
    assert len(seen) == 1 + len(changes)


class TestSystemCalls:
    """Of a batch that comes to Prague in its second block; its operations begin at 2 and 7."""

    contents = contents_of(crossing_chain())
    written = frozenset((BEACON_ROOTS_ADDRESS, HISTORY_ADDRESS))

    def chain(self, *written: bytes, **changes: Any) -> Any:
        contents = [self.contents[0], replace(self.contents[1], **changes), *self.contents[2:]]
        return operations_of(contents, CHAIN_ID, written or self.written).chain

    def test_numbers(self) -> None:
        operations = operations_of(self.contents, CHAIN_ID, self.written)
        assert operations.scopes == (0, 2, 7, 11, 16, 21)
        assert operations.transactions.tolist() == [1, 4, 13, 18]
        # Without contracts Cancun has no calls, and the others as many as with them.
        assert operations_of(self.contents, CHAIN_ID, ()).scopes == (0, 1, 6, 10, 15, 20)
        assert operations_of(self.contents, CHAIN_ID, (HISTORY_ADDRESS,)).scopes == (0, 1, 6, 10, 15, 20)

    def test_a_call_is_another_operation_than_a_write(self) -> None:
        base = self.chain()
        call = self.chain(BEACON_ROOTS_ADDRESS)
        assert (call[:4] == base[:4]).all()
        assert (call[4:] != base[4:]).any(axis=1).all()

    def test_every_part_of_a_call_counts(self) -> None:
        """Which are writes of both kinds, or calls of both, and the outputs of the two contracts, 5 and 6."""
        header = self.contents[1].header
        first, second = self.contents[1].outputs
        changes: list[tuple[int, dict[str, Any]]] = [
            (3, {"header": replace(header, parent_hash=bytes(32))}),
            (2, {"header": replace(header, parent_beacon_root=bytes(32))}),
            (3, {"header": replace(header, number=header.number + 1)}),
            (5, {"outputs": (first + b"\0", second)}),
            (5, {"outputs": (b"", second)}),
            (5, {"outputs": (second, first)}),
            (6, {"outputs": (first, second[:-1])}),
            (6, {"outputs": (first, b"d" + second[1:])}),
        ]
        for calls in (self.written, (BEACON_ROOTS_ADDRESS,), (HISTORY_ADDRESS,)):
            base = self.chain(*calls)
            start = 2 if BEACON_ROOTS_ADDRESS in calls else 1
            seen = {tuple(base[-1].tolist())}
            for operation, change in changes:
                chain = self.chain(*calls, **change)
                # A call has the digest of its block, and so all of it.
                same = min(operation, start if calls != self.written and "header" in change else 6) - 2 + start
                assert (chain[: min(same, start) + 1] == base[: min(same, start) + 1]).all()
                assert (chain[operation - 2 + start + 1 :] != base[operation - 2 + start + 1 :]).any(axis=1).all()
                seen.add(tuple(chain[-1].tolist()))
            assert len(seen) == 1 + len(changes)

    def test_there_is_an_output_for_each_contract(self) -> None:
        with pytest.raises(ValueError, match=r"shorter|longer"):
            self.chain(outputs=())


class TestReceipts:
    operations = Operations((0, 4, 4, 6), np.zeros((7, 8), dtype=np.uint32), np.array([1, 2, 5]))
    log = LogRecord(b"\x01" * 20, (b"\x02" * 32, b"\x03" * 32), b"data")
    receipts = (
        ReceiptRecord(1, 50_000, (log, LogRecord(b"\x04" * 20, (), b""))),
        ReceiptRecord(0, 30_000),
        ReceiptRecord(1, 2**30 - 1, (log,)),
    )

    def chain(self, receipts: tuple[ReceiptRecord, ...]) -> list[list[int]]:
        chain: list[list[int]] = receipts_chain(receipts, self.operations).tolist()
        return chain

    def test_transactions_alone_add_to_it(self) -> None:
        chain = self.chain(self.receipts)
        assert len(chain) == 7
        assert chain[0] == chain[1] == RECEIPTS_START.tolist()
        assert chain[3] == chain[4] == chain[5]
        assert len({tuple(state) for state in chain}) == 4

    def test_everything_counts(self) -> None:
        one, two, three = self.receipts
        log, plain = one.logs
        logs = [
            (plain, log),
            (log,),
            (plain,),
            (),
            (log, plain, plain),
            (replace(log, address=plain.address), plain),
            (replace(log, data=b"dat\0"), plain),
            (replace(log, data=b"dat"), plain),
            (replace(log, data=b"data\0"), plain),
            (replace(log, topics=log.topics[:1]), plain),
            (replace(log, topics=(*log.topics, bytes(32))), plain),
            (replace(log, topics=log.topics[::-1]), plain),
            (replace(log, topics=(log.topics[0], b"\x13" + log.topics[1][1:])), plain),
            (log, replace(plain, data=bytes(1))),
            (log, replace(plain, topics=(bytes(32),))),
        ]
        others = [(replace(one, logs=changed), two, three) for changed in logs]
        others += [
            (replace(one, status=0), two, three),
            (replace(one, gas_used=50_001), two, three),
            (replace(one, gas_used=50_000 + 2**16), two, three),
            (replace(one, logs=(log,)), replace(two, logs=(plain,)), three),
            (two, one, three),
        ]
        base = self.chain(self.receipts)
        seen = {tuple(base[-1])}
        for other in others:
            chain = self.chain(other)
            assert chain[:2] == base[:2]
            assert chain[2] != base[2]
            seen.add(tuple(chain[-1]))
        assert len(seen) == 1 + len(others)
