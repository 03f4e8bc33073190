"""A small chain made by hand: plain arithmetic on balances and slots, own tries and headers, nothing of the executor.

What a transaction does to slots, which logs it leaves and how much gas it takes is declared, not executed. So
`Chain.file()` is a proof file that passes every check except the last one: its segment proofs are placeholders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import rlp
from eth_abi.abi import encode as abi_encode
from eth_account import Account as Signer
from eth_hash.auto import keccak
from eth_keys import datatypes as eth_keys
from eth_utils.address import to_checksum_address
from trie.hexary import HexaryTrie

from circuits.limbs import u64_from_ints, words_from_ints
from verifier.container import BlockRecord, LogRecord, ProofFile, ReceiptRecord, SegmentRecord, StateKey, Writes
from verifier.forks import CANCUN, Fork, Schedule
from verifier.headers import (
    EMPTY_OMMERS_HASH,
    EMPTY_TRIE_ROOT,
    Header,
    blob_base_fee,
    decode_header,
    expected_base_fee,
    expected_excess_blob_gas,
)
from verifier.keys import manifest
from verifier.statement import BatchStatement, lists_commitment
from verifier.system_contracts import (
    BEACON_ROOTS_ADDRESS,
    BEACON_ROOTS_CODE,
    HISTORY_CODE,
    start_calls,
    system_contracts,
)
from verifier.tries import Account

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
GWEI = 10**9
ETHER = 10**18
BLOB_GAS = 2**17
EMPTY_BLOOM = bytes(256)
NO_REQUESTS = sha256(b"").digest()
COINBASE = bytes.fromhex("c0" * 20)
SECRETS = [bytes([n]) * 32 for n in range(1, 5)]
SENDERS = [bytes.fromhex(Signer.from_key(secret).address[2:]) for secret in SECRETS]
NEWCOMER = bytes.fromhex("ab" * 20)
CONTRACT = bytes.fromhex("cc" * 20)
CONTRACT_CODE = bytes.fromhex("600160005500")
OTHER = bytes.fromhex("dd" * 20)
HISTORY_ADDRESS = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
OTHER_CODE = bytes.fromhex("60006000a000")
BLOB_HASH = b"\x01" + b"\xbb" * 31

ACCOUNT, STORAGE, TRANSIENT, CODE, BLOCK_HASH = range(1, 6)
NO_ADDRESS = bytes(20)


def _rlp(item: Any) -> bytes:
    """The encoding of a list or a string."""
    encoded: bytes = rlp.encode(item)
    return encoded


def encode_header(header: Header) -> bytes:
    """RLP of a header; its `hash` is left out, and a requests hash that it does not have."""
    items = [getattr(header, field.name) for field in fields(Header) if field.name != "hash"]
    return _rlp(items if header.requests_hash is not None else items[:-1])


def sealed(header: Header) -> Header:
    """The header with the hash its other fields give."""
    return replace(header, hash=keccak(encode_header(header)))


def genesis_header(state_root: bytes, **changes: Any) -> Header:
    values: dict[str, Any] = {
        "hash": b"",
        "parent_hash": bytes(32),
        "ommers_hash": EMPTY_OMMERS_HASH,
        "coinbase": bytes(20),
        "state_root": state_root,
        "transactions_root": EMPTY_TRIE_ROOT,
        "receipts_root": EMPTY_TRIE_ROOT,
        "logs_bloom": EMPTY_BLOOM,
        "difficulty": 0,
        "number": 0,
        "gas_limit": GAS_LIMIT,
        "gas_used": 0,
        "timestamp": 1000,
        "extra_data": b"",
        "prev_randao": bytes(32),
        "nonce": bytes(8),
        "base_fee": GWEI,
        "withdrawals_root": EMPTY_TRIE_ROOT,
        "blob_gas_used": 0,
        "excess_blob_gas": 0,
        "parent_beacon_root": bytes(32),
    }
    return sealed(Header(**(values | changes)))


def headers_before(number: int, count: int) -> list[bytes]:
    """RLP of headers of the blocks before one of this number, the latest first: who knows the first knows them all."""
    headers: list[bytes] = []
    before = bytes(32)
    for own in range(number - count, number):
        headers.append(encode_header(genesis_header(EMPTY_TRIE_ROOT, number=own, parent_hash=before)))
        before = keccak(headers[-1])
    return headers[::-1]


def child_header(parent: Header, fork: Fork = CANCUN, **changes: Any) -> Header:
    """A header that follows `parent` by every rule of its fork, as that of a block without transactions, withdrawals
    and requests.
    """
    values: dict[str, Any] = {
        "parent_hash": parent.hash,
        "coinbase": COINBASE,
        "number": parent.number + 1,
        "timestamp": parent.timestamp + 12,
        "prev_randao": keccak(parent.prev_randao),
        "base_fee": expected_base_fee(parent),
        "transactions_root": EMPTY_TRIE_ROOT,
        "receipts_root": EMPTY_TRIE_ROOT,
        "withdrawals_root": EMPTY_TRIE_ROOT,
        "logs_bloom": EMPTY_BLOOM,
        "gas_used": 0,
        "excess_blob_gas": expected_excess_blob_gas(parent, fork),
        "blob_gas_used": 0,
        "parent_beacon_root": keccak(parent.parent_beacon_root),
        "requests_hash": NO_REQUESTS if fork.has_requests_hash else None,
    }
    return sealed(replace(parent, **(values | changes)))


@dataclass(frozen=True)
class Transfer:
    """A transaction to be signed, and what it is declared to do: `kind` is its EIP-2718 type.

    `storage` lists what it leaves in slots: (address, slot, value).
    """

    sender: int
    to: bytes
    value: int = ETHER
    kind: int = 2
    gas_limit: int = 100_000
    max_fee: int = 3 * GWEI
    tip: int = GWEI
    data: bytes = b""
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...] = ()
    protected: bool = True
    blob_hashes: tuple[bytes, ...] = ()
    max_blob_fee: int = 5
    execution_gas: int = 0
    status: int = 1
    logs: tuple[LogRecord, ...] = ()
    storage: tuple[tuple[bytes, int, int], ...] = ()

    @property
    def gas_used(self) -> int:
        keys = sum(len(slots) for _, slots in self.access_list)
        zeros = self.data.count(0)
        intrinsic = 21000 + 4 * zeros + 16 * (len(self.data) - zeros) + 2400 * len(self.access_list) + 1900 * keys
        return intrinsic + self.execution_gas

    def sign(self, nonce: int) -> bytes:
        if self.kind == 3:
            return self._sign_blobs(nonce)
        document: dict[str, Any] = {
            "to": self.to,
            "value": self.value,
            "gas": self.gas_limit,
            "nonce": nonce,
            "data": self.data,
        }
        if self.protected or self.kind:
            document["chainId"] = CHAIN_ID
        if self.kind == 2:
            document |= {"type": 2, "maxFeePerGas": self.max_fee, "maxPriorityFeePerGas": self.tip}
        else:
            document["gasPrice"] = self.max_fee
        if self.kind == 1:
            document["type"] = 1
        if self.kind:
            document["accessList"] = [
                {"address": to_checksum_address(address), "storageKeys": ["0x" + slot.hex() for slot in slots]}
                for address, slots in self.access_list
            ]
        signer = Signer.from_key(SECRETS[self.sender])
        return bytes(signer.sign_transaction(document).raw_transaction)

    def _sign_blobs(self, nonce: int) -> bytes:
        """EIP-4844, in the order of its payload."""
        items: list[Any] = [CHAIN_ID, nonce, self.tip, self.max_fee, self.gas_limit, self.to, self.value, self.data]
        items += [[[address, list(slots)] for address, slots in self.access_list]]
        items += [self.max_blob_fee, list(self.blob_hashes)]
        signature = eth_keys.PrivateKey(SECRETS[self.sender]).sign_msg_hash(keccak(b"\x03" + rlp.encode(items)))
        return b"\x03" + _rlp([*items, signature.v, signature.r, signature.s])


@dataclass(frozen=True)
class Withdrawn:
    """A withdrawal; the amount is in gwei."""

    address: bytes
    amount: int
    index: int = 0
    validator: int = 0

    def encode(self) -> bytes:
        return _rlp([self.index, self.validator, self.address, self.amount])


def list_root(items: Sequence[bytes]) -> bytes:
    trie: Any = HexaryTrie({})
    for index, item in enumerate(items):
        trie.set(rlp.encode(index), item)
    root: bytes = trie.root_hash
    return root


def _put(trie: Any, key: bytes, value: bytes) -> None:
    """Set a value; the library has no types."""
    trie.set(key, value)


def state_trie(accounts: Mapping[bytes, Account]) -> HexaryTrie:
    trie = HexaryTrie({})
    for address, account in accounts.items():
        _put(trie, keccak(address), account.encode())
    return trie


def storage_trie(slots: Mapping[int, int]) -> HexaryTrie:
    trie = HexaryTrie({})
    for slot, value in slots.items():
        if value:
            _put(trie, keccak(slot.to_bytes(32, "big")), rlp.encode(value))
    return trie


def bloom(logs: Iterable[LogRecord]) -> bytes:
    """Yellow Paper, equations 24 to 30: three bits of 2048 for each address and topic."""
    bits = 0
    for log in logs:
        for entry in (log.address, *log.topics):
            digest = keccak(entry)
            for i in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") % 2048)
    return bits.to_bytes(256, "big")


def encode_receipts(kinds: Sequence[int], receipts: Sequence[ReceiptRecord]) -> list[bytes]:
    encoded, cumulative = [], 0
    for kind, receipt in zip(kinds, receipts, strict=True):
        cumulative += receipt.gas_used
        logs = [[log.address, list(log.topics), log.data] for log in receipt.logs]
        item = rlp.encode([receipt.status, cumulative, bloom(receipt.logs), logs])
        encoded.append(bytes([kind]) + item if kind else item)
    return encoded


@dataclass
class Operation:
    """What an operation leaves, in the order of its writes: (address, balance, nonce), (address, slot, value)."""

    scope: int
    accounts: list[tuple[bytes, int, int]]
    slots: list[tuple[bytes, int, int]]


def deposit_log(deposit: bytes) -> LogRecord:
    """What the deposit contract logs of a deposit of 192 bytes (EIP-6110), as eth-abi encodes it."""
    bounds = pairwise(accumulate((48, 32, 8, 96, 8), initial=0))
    data = abi_encode(["bytes"] * 5, [deposit[start:end] for start, end in bounds])
    return LogRecord(DEPOSIT_CONTRACT, (keccak(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)"),), data)


def requests_digest(*requests: bytes) -> bytes:
    """EIP-7685: of requests by their types from 0 on, without the type."""
    typed = [bytes([number]) + request for number, request in enumerate(requests) if request]
    return sha256(b"".join(sha256(request).digest() for request in typed)).digest()


class Chain:
    """A parent block with accounts, and blocks on top of it.

    Args:
        schedule: which forks the blocks are of; the parent's time is 1000 where `parent` has no other, and a block
            comes 12 seconds after the one before.
        accounts: of the pre-state; their storage roots follow from `storage`.
        storage: slots of the pre-state, by address.
        beacon_roots, history: whether the contracts of EIP-4788 and EIP-2935 are there. Calls of other system
            contracts are declared to do nothing.
        ancestors: how many blocks before the parent have headers.
        parent: fields of the parent's header.
    """

    def __init__(
        self,
        accounts: Mapping[bytes, Account] | None = None,
        storage: Mapping[bytes, Mapping[int, int]] | None = None,
        beacon_roots: bool = False,
        history: bool = False,
        schedule: Schedule = Schedule(CANCUN),  # noqa: B008 - it cannot change
        ancestors: int = 0,
        **parent: Any,
    ) -> None:
        default = {sender: Account(nonce=n, balance=100 * ETHER) for n, sender in enumerate(SENDERS)}
        self.accounts = dict(default if accounts is None else accounts)
        self.storage = {address: dict(slots) for address, slots in (storage or {}).items()}
        contracts = ((BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, beacon_roots), (HISTORY_ADDRESS, HISTORY_CODE, history))
        self.written = {address for address, _, is_there in contracts if is_there}
        for address, code, is_there in contracts:
            if is_there:
                self.accounts[address] = Account(nonce=1, code_hash=keccak(code))
                self.storage.setdefault(address, {})
        self._update_roots()
        self.pre_storage = {address: storage_trie(slots) for address, slots in self.storage.items()}
        self.pre_trie: Any = state_trie(self.accounts)
        self.schedule = schedule
        self.ancestors = headers_before(parent["number"], ancestors) if ancestors else []
        if self.ancestors:
            parent["parent_hash"] = keccak(self.ancestors[0])
        self.parent = genesis_header(self.pre_trie.root_hash, **parent)
        if schedule.at(self.parent.timestamp).has_requests_hash:
            self.parent = sealed(replace(self.parent, requests_hash=NO_REQUESTS))
        self.headers: list[Header] = []
        self.bodies: list[list[bytes]] = []
        self.withdrawals: list[list[bytes]] = []
        self.outputs: list[tuple[bytes, ...]] = []
        self.receipts: list[ReceiptRecord] = []
        self.encoded_receipts: list[list[bytes]] = []
        self.operations: list[Operation] = []
        self.keys: set[StateKey] = set()
        self.codes: dict[bytes, bytes] = {}

    def _update_roots(self) -> None:
        for address, slots in self.storage.items():
            root = storage_trie(slots).root_hash
            self.accounts[address] = replace(self._account(address), storage_root=root)

    def _account(self, address: bytes) -> Account:
        return self.accounts.get(address, Account())

    def show_code(self, code: bytes) -> None:
        """Give a code a leaf."""
        self.codes[keccak(code)] = code
        self.keys.add((CODE, NO_ADDRESS, int.from_bytes(keccak(code), "big")))

    def show_block_hash(self, number: int) -> None:
        """Give a block's hash a leaf."""
        self.keys.add((BLOCK_HASH, NO_ADDRESS, number))

    def block(
        self,
        *transfers: Transfer,
        coinbase: bytes = COINBASE,
        withdrawals: Sequence[Withdrawn] = (),
        deposits: bytes = b"",
        outputs: tuple[bytes, ...] | None = None,
        **header: Any,
    ) -> None:
        """Append a block.

        Args:
            deposits: that the logs of its transactions tell (EIP-6110).
            outputs: of its request contracts; by default nothing of each.
        """
        before = self.headers[-1] if self.headers else self.parent
        fork = self.schedule.at(before.timestamp + 12)
        new = child_header(before, fork, coinbase=coinbase)
        outputs = (b"",) * len(fork.request_contracts) if outputs is None else outputs
        scope = len(self.operations)
        for address in start_calls(fork, self.written):
            self._call(scope, address, new)
        body, receipts = [], []
        for transfer in transfers:
            body.append(transfer.sign(self._account(SENDERS[transfer.sender]).nonce))
            receipts.append(ReceiptRecord(transfer.status, transfer.gas_used, transfer.logs if transfer.status else ()))
            self._apply(scope, transfer, new, fork)
        for withdrawal in withdrawals:
            operation = self._operation(scope)
            self._pay(operation, withdrawal.address, withdrawal.amount * GWEI)
        for contract in fork.request_contracts:
            self._call(scope, contract.address, new)
        self._update_roots()
        encoded = encode_receipts([t.kind for t in transfers], receipts)
        paid = [withdrawal.encode() for withdrawal in withdrawals]
        new = replace(
            new,
            gas_used=sum(receipt.gas_used for receipt in receipts),
            blob_gas_used=BLOB_GAS * sum(len(t.blob_hashes) for t in transfers),
            transactions_root=list_root(body),
            receipts_root=list_root(encoded),
            withdrawals_root=list_root(paid),
            logs_bloom=bloom(log for receipt in receipts for log in receipt.logs),
            state_root=state_trie(self.accounts).root_hash,
            requests_hash=requests_digest(deposits, *outputs) if fork.has_requests_hash else None,
        )
        self.headers.append(sealed(replace(new, **header)))
        self.bodies.append(body)
        self.withdrawals.append(paid)
        self.outputs.append(outputs)
        self.receipts += receipts
        self.encoded_receipts.append(encoded)

    def _operation(self, scope: int) -> Operation:
        self.operations.append(Operation(scope, [], []))
        return self.operations[-1]

    def _pay(self, operation: Operation, address: bytes, amount: int, nonces: int = 0) -> None:
        account = self._account(address)
        account = replace(account, balance=account.balance + amount, nonce=account.nonce + nonces)
        if not account.is_empty:
            self.accounts[address] = account
        operation.accounts.append((address, account.balance, account.nonce))
        self.keys.add((ACCOUNT, address, 0))

    def _store(self, operation: Operation, address: bytes, slot: int, value: int) -> None:
        self.storage.setdefault(address, {})[slot] = value
        operation.slots.append((address, slot, value))
        self.keys.add((STORAGE, address, slot))

    def _call(self, scope: int, address: bytes, header: Header) -> None:
        operation = self._operation(scope)
        if address not in self.written:
            self.keys.add((ACCOUNT, address, 0))
        elif address == BEACON_ROOTS_ADDRESS:
            slot = header.timestamp % 8191
            self._store(operation, address, slot, header.timestamp)
            self._store(operation, address, slot + 8191, int.from_bytes(header.parent_beacon_root, "big"))
        else:
            slot = (header.number - 1) % 8191
            self._store(operation, address, slot, int.from_bytes(header.parent_hash, "big"))

    def _apply(self, scope: int, transfer: Transfer, header: Header, fork: Fork) -> None:
        operation = self._operation(scope)
        priority = transfer.tip if transfer.kind in (2, 3) else transfer.max_fee
        tip = min(priority, transfer.max_fee - header.base_fee)
        fee = transfer.gas_used * (header.base_fee + tip)
        fee += BLOB_GAS * len(transfer.blob_hashes) * blob_base_fee(header, fork)
        value = transfer.value if transfer.status else 0
        self._pay(operation, SENDERS[transfer.sender], -value - fee, nonces=1)
        self._pay(operation, transfer.to, value)
        self._pay(operation, header.coinbase, transfer.gas_used * tip)
        for address, slot, new in transfer.storage if transfer.status else ():
            self._store(operation, address, slot, new)
        for address, slots in transfer.access_list:
            self.keys.add((ACCOUNT, address, 0))
            self.keys |= {(STORAGE, address, int.from_bytes(slot, "big")) for slot in slots}

    def leaves(self) -> tuple[StateKey, ...]:
        return tuple(sorted(self.keys))

    def writes(self, first: int, end: int) -> Writes:
        """What the operations `first` to `end` leave: of accounts the last value of each block, of slots all values."""
        leaf = {key: number for number, key in enumerate(self.leaves())}
        accounts: dict[tuple[int, bytes], tuple[int, int]] = {}
        slots = []
        for number, operation in enumerate(self.operations[first:end], start=first):
            for address, balance, nonce in operation.accounts:
                accounts[operation.scope, address] = balance, nonce
            slots += [(number, leaf[STORAGE, address, slot], value) for address, slot, value in operation.slots]
        rows = [(scope, leaf[ACCOUNT, address, 0], *values) for (scope, address), values in accounts.items()]
        rows += [(*row, 0) for row in slots]
        return Writes(
            scope=np.array([row[0] for row in rows], dtype=np.uint32),
            leaf=np.array([row[1] for row in rows], dtype=np.uint32),
            value=words_from_ints([row[2] for row in rows]),
            nonce=u64_from_ints([row[3] for row in rows]),
        )

    def witness(self) -> list[bytes]:
        """The nodes on the paths to all touched accounts, to all system contracts, and to all their slots."""
        nodes = set()
        touched = {address for kind, address, _ in self.keys if kind in (ACCOUNT, STORAGE)}
        forks = (self.schedule.first, *(fork for _, fork in self.schedule.later))
        for address in touched.union(*map(system_contracts, forks)):
            nodes |= {rlp.encode(node) for node in self.pre_trie.get_proof(keccak(address))}
            trie = self.pre_storage.get(address)
            nodes |= set(trie.db.values()) & _reachable(trie) if trie else set()
        return sorted(nodes)

    def statement(self) -> BatchStatement:
        first, last = (self.headers[0], self.headers[-1]) if self.headers else (self.parent, self.parent)
        return BatchStatement(
            chain_id=CHAIN_ID,
            fork=self.schedule.of_blocks([header.timestamp for header in self.headers]),
            pre_state_root=self.parent.state_root,
            post_state_root=last.state_root,
            first_block_number=first.number,
            first_block_hash=first.hash,
            last_block_number=last.number,
            last_block_hash=last.hash,
            transactions_commitment=keccak(rlp.encode(self.bodies)),
            receipts_commitment=keccak(rlp.encode(self.encoded_receipts)),
            gas_used=sum(receipt.gas_used for receipt in self.receipts),
        )

    def file(self, *cuts: int) -> ProofFile:
        """The proof file of the chain, with placeholders for the segment proofs.

        Args:
            cuts: operations at which further segments begin.
        """
        keys = self.leaves()
        bounds = [0, *cuts, len(self.operations)] if self.operations else [0]
        height = manifest(CANCUN.circuit).keys[0].log_stacked_height
        return ProofFile(
            statement=self.statement(),
            parent_header=encode_header(self.parent),
            ancestors=tuple(self.ancestors),
            blocks=tuple(
                BlockRecord(encode_header(header), tuple(body), tuple(withdrawals), outputs)
                for header, body, withdrawals, outputs in zip(
                    self.headers, self.bodies, self.withdrawals, self.outputs, strict=True
                )
            ),
            state_keys=keys,
            codes=tuple(self.codes[slot.to_bytes(32, "big")] for kind, _, slot in keys if kind == CODE),
            state_nodes=tuple(self.witness()),
            receipts=tuple(self.receipts),
            segments=tuple(
                SegmentRecord(first, end, height, self.writes(first, end), placeholder(first))
                for first, end in pairwise(bounds)
            ),
        )


def placeholder(first: int) -> bytes:
    """What stands in the place of the proof of the segment that begins with this operation."""
    return f"no proof of the segment that begins with operation {first}".encode()


def _reachable(trie: HexaryTrie) -> set[bytes]:
    """The nodes of a trie that stand by their hash (its database keeps replaced ones, too)."""
    nodes, pending = set(), [trie.root_hash]
    while pending:
        node = trie.db.get(pending.pop())
        if node is not None and node not in nodes and node != b"\x80":
            nodes.add(node)
            stack: list[Any] = [rlp.decode(node)]
            while stack:
                item = stack.pop()
                if isinstance(item, list):
                    stack += item
                elif len(item) == 32:
                    pending.append(item)
    return nodes


def reheader(file: ProofFile, block: int, **changes: Any) -> ProofFile:
    """The file with another header of a block; later headers are linked to it, and the statement follows."""
    headers = [decode_header(record.header) for record in file.blocks]
    block %= len(headers)
    headers[block] = sealed(replace(headers[block], **changes))
    for number in range(block + 1, len(headers)):
        headers[number] = sealed(replace(headers[number], parent_hash=headers[number - 1].hash))
    records = tuple(
        replace(record, header=encode_header(header)) for header, record in zip(headers, file.blocks, strict=True)
    )
    statement = replace(
        file.statement,
        first_block_hash=headers[0].hash,
        last_block_hash=headers[-1].hash,
        first_block_number=headers[0].number,
        last_block_number=headers[-1].number,
        post_state_root=headers[-1].state_root,
        gas_used=sum(header.gas_used for header in headers),
    )
    return replace(file, blocks=records, statement=statement)


def kinds_of(record: BlockRecord) -> list[int]:
    """EIP-2718 types of the transactions of a block."""
    return [raw[0] if raw[0] < 0x80 else 0 for raw in record.transactions]


def refit_receipts(file: ProofFile, receipts: Sequence[ReceiptRecord]) -> ProofFile:
    """Other receipts, with the roots, blooms, gas, hashes and commitment that a liar makes fit."""
    file = replace(file, receipts=tuple(receipts))
    start, lists = 0, []
    for number in range(len(file.blocks)):
        record = file.blocks[number]
        own = receipts[start : start + len(record.transactions)]
        start += len(own)
        encoded = encode_receipts(kinds_of(record), own)
        lists.append(encoded)
        file = reheader(
            file,
            number,
            receipts_root=list_root(encoded),
            logs_bloom=bloom(log for receipt in own for log in receipt.logs),
            gas_used=sum(receipt.gas_used for receipt in own),
        )
    return replace(file, statement=replace(file.statement, receipts_commitment=lists_commitment(lists)))


def sample_chain() -> Chain:
    """Three blocks: all types, logs, slots that appear, change and disappear, withdrawals, codes, block hashes."""
    accounts = {sender: Account(nonce=n, balance=100 * ETHER) for n, sender in enumerate(SENDERS)} | {
        CONTRACT: Account(nonce=1, balance=7, code_hash=keccak(CONTRACT_CODE)),
        OTHER: Account(code_hash=keccak(OTHER_CODE)),
    }
    storage = {CONTRACT: {slot: 1000 + slot for slot in range(20)}, OTHER: {5: 2**255}}
    chain = Chain(accounts, storage, beacon_roots=True)
    slots = (bytes(32), keccak(b"slot"))
    logs = (
        LogRecord(CONTRACT, (b"\x01" * 32, b"\x02" * 32), b"some data of more than thirty-two bytes"),
        LogRecord(CONTRACT, (), b""),
        LogRecord(CONTRACT, (b"\x01" * 32,) * 4, b"\x00"),
    )
    chain.block(
        Transfer(0, SENDERS[1]),
        Transfer(1, NEWCOMER, kind=1, access_list=((SENDERS[3], slots), (NEWCOMER, ()))),
        Transfer(0, SENDERS[0], kind=0),
        Transfer(
            1,
            CONTRACT,
            data=b"\x01\x02\x00",
            execution_gas=30_000,
            logs=logs,
            storage=((CONTRACT, 3, 0), (CONTRACT, 99, 5), (CONTRACT, 4, 7)),
        ),
        withdrawals=[Withdrawn(SENDERS[2], 3), Withdrawn(bytes.fromhex("ef" * 20), 2**64 - 1, 2**64 - 1, 1)],
    )
    chain.block()
    chain.block(
        Transfer(2, COINBASE, kind=0, protected=False, data=b"\0\1\0\xff"),
        Transfer(3, bytes.fromhex("ee" * 20), value=0, tip=0),
        Transfer(2, OTHER, value=1, status=0, execution_gas=79_000 - 21_000, logs=logs, storage=((OTHER, 5, 1),)),
        Transfer(2, OTHER, kind=3, value=1, execution_gas=9_000, logs=logs[1:2], blob_hashes=(BLOB_HASH,) * 2),
        Transfer(3, CONTRACT, value=0, execution_gas=30_000, storage=((CONTRACT, 99, 0), (CONTRACT, 3, 1))),
    )
    chain.show_code(CONTRACT_CODE)
    chain.show_code(OTHER_CODE)
    chain.show_block_hash(0)
    chain.show_block_hash(2)
    chain.keys.add((TRANSIENT, CONTRACT, 1))
    return chain


CROSSING = "cancun, prague from 1024, osaka from 1036, bpo1 from 1060"
DEPOSIT = bytes(range(192))


def crossing_chain() -> Chain:
    """Blocks of the times 1012 to 1060: one of Cancun, one of Prague, two of Osaka and one of BPO1.

    There is a transaction in each but the first block of Osaka, and in Prague a deposit and what both request contracts
    return. The operations of the blocks begin at 0, 2, 7, 11 and 16, and end at 21: beacon root, transaction; from
    Prague on beacon root, hash of the parent, transaction, the calls of two contracts.
    """
    chain = Chain(beacon_roots=True, history=True, schedule=Schedule.parse(CROSSING))
    chain.block(Transfer(0, NEWCOMER))
    deposit = Transfer(1, NEWCOMER, execution_gas=30_000, logs=(deposit_log(DEPOSIT),))
    chain.block(deposit, deposits=DEPOSIT, outputs=(b"w" * 76, b"c" * 116))
    chain.block()
    chain.block(Transfer(2, NEWCOMER))
    chain.block(Transfer(3, NEWCOMER))
    return chain
