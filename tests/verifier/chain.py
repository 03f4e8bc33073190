"""A small chain made by hand: plain arithmetic on balances, its own tries and headers, nothing of the executor.

`Chain.file()` is a proof file that passes every check except the last one: its segment proofs are placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import rlp
from eth_account import Account as Signer
from eth_hash.auto import keccak
from eth_utils import to_checksum_address
from trie.hexary import HexaryTrie

from circuits.limbs import u64_from_ints, words_from_ints
from verifier.container import BlockRecord, Effects, ProofFile, SegmentRecord, StateKey
from verifier.headers import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_TRIE_ROOT,
    Header,
    decode_header,
    expected_base_fee,
)
from verifier.keys import manifest
from verifier.segments import access_root
from verifier.state import BEACON_ROOTS_ADDRESS, BatchState
from verifier.statement import BatchStatement
from verifier.tries import Account, StateTrie

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
GWEI = 10**9
ETHER = 10**18
COINBASE = bytes.fromhex("c0" * 20)
SECRETS = [bytes([n]) * 32 for n in range(1, 5)]
SENDERS = [bytes.fromhex(Signer.from_key(secret).address[2:]) for secret in SECRETS]
NEWCOMER = bytes.fromhex("ab" * 20)


def encode_header(header: Header) -> bytes:
    """RLP of a header; its `hash` is left out."""
    return rlp.encode([getattr(header, field.name) for field in fields(Header) if field.name != "hash"])


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


def child_header(parent: Header, **changes: Any) -> Header:
    """A header that follows `parent` by every rule, as that of a block without transactions."""
    values: dict[str, Any] = {
        "parent_hash": parent.hash,
        "coinbase": COINBASE,
        "number": parent.number + 1,
        "timestamp": parent.timestamp + 12,
        "prev_randao": keccak(parent.prev_randao),
        "base_fee": expected_base_fee(parent),
        "transactions_root": EMPTY_TRIE_ROOT,
        "receipts_root": EMPTY_TRIE_ROOT,
        "gas_used": 0,
        "excess_blob_gas": max(parent.excess_blob_gas + parent.blob_gas_used - 393216, 0),
        "blob_gas_used": 0,
    }
    return sealed(replace(parent, **(values | changes)))


@dataclass(frozen=True)
class Transfer:
    """A transfer to be signed: `kind` is its EIP-2718 type."""

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

    @property
    def gas_used(self) -> int:
        keys = sum(len(slots) for _, slots in self.access_list)
        zeros = self.data.count(0)
        return 21000 + 4 * zeros + 16 * (len(self.data) - zeros) + 2400 * len(self.access_list) + 1900 * keys

    def sign(self, nonce: int) -> bytes:
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


def list_root(items: Sequence[bytes]) -> bytes:
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie.set(rlp.encode(index), item)
    return trie.root_hash


def state_trie(accounts: Mapping[bytes, Account]) -> HexaryTrie:
    trie = HexaryTrie({})
    for address, account in accounts.items():
        trie.set(keccak(address), account.encode())
    return trie


class Chain:
    """A parent block with accounts, and blocks of transfers on top of it."""

    def __init__(self, accounts: Mapping[bytes, Account] | None = None, **parent: Any) -> None:
        default = {sender: Account(nonce=n, balance=100 * ETHER) for n, sender in enumerate(SENDERS)}
        self.accounts = dict(default if accounts is None else accounts)
        self.pre_trie = state_trie(self.accounts)
        self.parent = genesis_header(self.pre_trie.root_hash, **parent)
        self.headers: list[Header] = []
        self.bodies: list[list[bytes]] = []
        self.receipts: list[list[bytes]] = []
        self.keys: set[StateKey] = set()
        self.effects: list[tuple[int, int, list[int]]] = []

    def block(self, *transfers: Transfer, coinbase: bytes = COINBASE, **header: Any) -> None:
        """Append a block."""
        new = child_header(self.headers[-1] if self.headers else self.parent, coinbase=coinbase)
        body, receipts, cumulative = [], [], 0
        for transfer in transfers:
            sender = SENDERS[transfer.sender]
            body.append(transfer.sign(self._account(sender).nonce))
            cumulative += transfer.gas_used
            receipt = rlp.encode([1, cumulative, EMPTY_BLOOM, []])
            receipts.append(bytes([transfer.kind]) + receipt if transfer.kind else receipt)
            self._apply(transfer, new)
        new = replace(
            new,
            gas_used=cumulative,
            transactions_root=list_root(body),
            receipts_root=list_root(receipts),
            state_root=state_trie(self.accounts).root_hash,
        )
        self.headers.append(sealed(replace(new, **header)))
        self.bodies.append(body)
        self.receipts.append(receipts)

    def _account(self, address: bytes) -> Account:
        return self.accounts.get(address, Account())

    def _apply(self, transfer: Transfer, header: Header) -> None:
        sender = SENDERS[transfer.sender]
        priority = transfer.tip if transfer.kind == 2 else transfer.max_fee
        tip = min(priority, transfer.max_fee - header.base_fee)
        fee = transfer.gas_used * (header.base_fee + tip)
        nonce = self._account(sender).nonce + 1
        balances = []
        changes = (
            (sender, -transfer.value - fee),
            (transfer.to, transfer.value),
            (header.coinbase, transfer.gas_used * tip),
        )
        for address, change in changes:
            account = self._account(address)
            account = replace(account, balance=account.balance + change)
            if address == sender:
                account = replace(account, nonce=nonce)
            if not account.is_empty:
                self.accounts[address] = account
            balances.append(account.balance)
            self.keys.add((1, address))
        self.keys |= {(2, sender), (3, sender), (3, transfer.to)}
        self.effects.append((transfer.gas_used, nonce, balances))

    def columns(self) -> Effects:
        n = len(self.effects)
        return Effects(
            status=np.ones(n, dtype=np.uint8),
            gas_used=np.array([gas for gas, _, _ in self.effects], dtype=np.uint32),
            nonce=u64_from_ints([nonce for _, nonce, _ in self.effects]),
            balances=words_from_ints([b for _, _, balances in self.effects for b in balances]).reshape(n, 3, 16),
        )

    def witness(self) -> list[bytes]:
        """The nodes on the paths to all touched accounts and to the beacon roots contract."""
        nodes = set()
        for address in {BEACON_ROOTS_ADDRESS, *(address for _, address in self.keys)}:
            nodes |= {rlp.encode(node) for node in self.pre_trie.get_proof(keccak(address))}
        return sorted(nodes)

    def statement(self) -> BatchStatement:
        first, last = (self.headers[0], self.headers[-1]) if self.headers else (self.parent, self.parent)
        return BatchStatement(
            chain_id=CHAIN_ID,
            fork="cancun",
            pre_state_root=self.parent.state_root,
            post_state_root=last.state_root,
            first_block_number=first.number,
            first_block_hash=first.hash,
            last_block_number=last.number,
            last_block_hash=last.hash,
            transactions_commitment=keccak(rlp.encode(self.bodies)),
            receipts_commitment=keccak(rlp.encode(self.receipts)),
            gas_used=sum(gas for gas, _, _ in self.effects),
        )

    def file(self) -> ProofFile:
        """The proof file of the chain, in one segment if there are transactions, with a placeholder for its proof."""
        keys = tuple(sorted(self.keys))
        segments: tuple[SegmentRecord, ...] = ()
        if self.effects:
            final = BatchState(StateTrie(*_whole(self.accounts)), keys).values
            root = tuple(int(element) for element in access_root(keys, final))
            segments = (SegmentRecord(0, len(self.effects), manifest().keys[0].log_stacked_height, root, b"\0" * 64),)
        return ProofFile(
            statement=self.statement(),
            parent_header=encode_header(self.parent),
            blocks=tuple(
                BlockRecord(encode_header(header), tuple(body))
                for header, body in zip(self.headers, self.bodies, strict=True)
            ),
            state_keys=keys,
            state_nodes=tuple(self.witness()),
            effects=self.columns(),
            segments=segments,
        )


def _whole(accounts: Mapping[bytes, Account]) -> tuple[bytes, list[bytes]]:
    """Root and every node of the trie of some accounts."""
    trie = state_trie(accounts)
    nodes = {rlp.encode(node) for address in accounts for node in trie.get_proof(keccak(address))}
    return trie.root_hash, sorted(nodes)


def reheader(file: ProofFile, block: int, **changes: Any) -> ProofFile:
    """The file with another header of a block; later headers are linked to it, and the statement follows."""
    headers = [decode_header(record.header) for record in file.blocks]
    block %= len(headers)
    headers[block] = sealed(replace(headers[block], **changes))
    for number in range(block + 1, len(headers)):
        headers[number] = sealed(replace(headers[number], parent_hash=headers[number - 1].hash))
    records = tuple(
        BlockRecord(encode_header(header), record.transactions)
        for header, record in zip(headers, file.blocks, strict=True)
    )
    statement = replace(
        file.statement,
        first_block_hash=headers[0].hash,
        last_block_hash=headers[-1].hash,
        first_block_number=headers[0].number,
        last_block_number=headers[-1].number,
        post_state_root=headers[-1].state_root,
    )
    return replace(file, blocks=records, statement=statement)


def sample_chain() -> Chain:
    """Three blocks, one of them empty: all types, a new account, a transfer to oneself, one to the coinbase."""
    chain = Chain()
    slots = (bytes(32), keccak(b"slot"))
    chain.block(
        Transfer(0, SENDERS[1]),
        Transfer(1, NEWCOMER, kind=1, access_list=((SENDERS[3], slots), (NEWCOMER, ()))),
        Transfer(0, SENDERS[0], kind=0),
    )
    chain.block()
    chain.block(
        Transfer(2, COINBASE, kind=0, protected=False, data=b"\0\1\0\xff"),
        Transfer(3, bytes.fromhex("ee" * 20), value=0, tip=0),
    )
    return chain
