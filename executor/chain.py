"""py-evm set up for a batch: pre-state, parent header, and the headers of its blocks."""

from __future__ import annotations

from typing import Any

import rlp
from eth.abc import AtomicDatabaseAPI, BlockHeaderAPI
from eth.chains.base import Chain
from eth.constants import BLANK_ROOT_HASH, POST_MERGE_NONCE
from eth.db.atomic import AtomicDB
from eth.vm.chain_context import ChainContext
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth.vm.interrupt import EVMMissingData
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from executor.batch import Batch, BlockContext, Genesis
from executor.blobs import next_excess_blob_gas
from executor.errors import BatchError, UnsupportedFeature
from executor.forks import Fork, Schedule
from executor.rpc import NUMBER, PARENT_HASH, TIMESTAMP, header_fields
from executor.witness import check_nodes

MIN_GAS_LIMIT = 5_000  # yellow paper, equation 48
MAX_GAS_LIMIT = 2**63 - 1  # EIP-1985
GAS_LIMIT_CHANGE_DIVISOR = 1_024
MAX_EXTRA_DATA_BYTES = 32


class Ancestors:
    """Hashes of blocks by their number, for BLOCKHASH: what the batch gives, and its own blocks as they come.

    The batch gives headers of the blocks before its parent, which prove their hashes, or the hashes alone.
    """

    def __init__(self, parent: BlockHeaderAPI, batch: Batch) -> None:
        number: int = parent.block_number
        self._hashes: dict[int, bytes] = {number: bytes(parent.hash)}
        self._headers = batch.ancestor_headers
        hashes = batch.ancestor_hashes or self._hashes_of_headers(parent)
        if hashes and number and hashes[0] != parent.parent_hash:
            raise BatchError("the first one is not the parent hash of the parent header", field="ancestorHashes")
        if len(hashes) > number:
            raise BatchError(f"{len(hashes)} hashes before block {number}", field="ancestorHashes")
        if number:
            self._hashes[number - 1] = bytes(parent.parent_hash)
        self._hashes |= {number - 1 - distance: block_hash for distance, block_hash in enumerate(hashes)}
        self._first = number  # of the batch's parent block
        self._oldest = number
        self._asked: set[int] = set()

    def _hashes_of_headers(self, parent: BlockHeaderAPI) -> tuple[bytes, ...]:
        """Hashes of the blocks before the parent, the latest first: each header gives that of the block before it."""
        hashes = [bytes(parent.parent_hash)]
        for place, header in enumerate(self._headers):
            number, field = parent.block_number - 1 - place, f"ancestorHeaders.{place}"
            if number < 0:
                raise BatchError(f"{len(self._headers)} headers before block {parent.block_number}", field=field)
            if keccak(header) != hashes[-1]:
                reason = f"not the header of block {number}, which has the hash 0x{hashes[-1].hex()}"
                raise BatchError(reason, field=field)
            hashes.append(_hash_before(header, number, field))
        return tuple(hashes[: parent.block_number])

    def add(self, header: BlockHeaderAPI) -> None:
        """A block of the batch that is finished."""
        self._hashes[header.block_number] = bytes(header.hash)

    def hash_of(self, number: int) -> Hash32:
        """Hash of an ancestor.

        Raises:
            BatchError: the batch does not give it.
        """
        self._oldest = min(self._oldest, number)
        self._asked.add(number)
        try:
            return Hash32(self._hashes[number])
        except KeyError:
            reason = f"the hash of block {number}, for which BLOCKHASH asks, is missing"
            raise BatchError(reason, field="ancestorHashes") from None

    @property
    def asked(self) -> list[tuple[int, bytes]]:
        """Numbers and hashes of the blocks that BLOCKHASH was asked for, the oldest first."""
        return [(number, self._hashes[number]) for number in sorted(self._asked)]

    @property
    def used(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """What gives the hashes that were asked for, as the batch does.

        Hashes before the parent block, the latest first, up to the oldest one, or RLP of the headers that prove them.
        """
        if self._headers:
            return (), self._headers[: max(0, self._first - 1 - self._oldest)]
        return tuple(self._hashes[number] for number in range(self._first - 1, self._oldest - 1, -1)), ()


def open_chain(batch: Batch) -> tuple[Chain, BlockHeaderAPI]:
    """A py-evm chain that holds the pre-state of ``batch``, and the header of the parent of its first block.

    Raises:
        BatchError: a parent header that is malformed or has another state root than the genesis, or a malformed node.
    """
    # Blocks bring their own machine: which fork they are of depends on their time, not on their number.
    configuration = ((BlockNumber(0), batch.schedule.first.vm_class()),)
    chain_class = Chain.configure("BatchChain", vm_configuration=configuration, chain_id=batch.chain_id)
    database = AtomicDB()
    parent = None if batch.parent_header is None else decode_header(batch.parent_header, batch.schedule, "parent")
    if batch.genesis is not None:
        fork = batch.schedule.at(batch.genesis.timestamp)
        state_root = _write_pre_state(batch.genesis, batch.chain_id, fork, database)
        if parent is None:
            parent = _parent_header(batch.genesis, state_root, fork)
        elif parent.state_root != state_root:
            reason = f"0x{parent.state_root.hex()} where the genesis has 0x{state_root.hex()}"
            raise BatchError(reason, field="parent.stateRoot")
    elif parent is None or batch.witness is None:
        raise BatchError("neither a genesis, nor a parent header with a witness", field="genesis")
    else:
        nodes = {keccak(node): node for node in batch.witness.nodes}
        try:
            check_nodes(nodes, parent.state_root)
        except ValueError as error:
            raise BatchError(str(error), field="witness.nodes") from None
        for item_hash, item in (*nodes.items(), *((keccak(code), code) for code in batch.witness.codes)):
            database[item_hash] = item
    chain = chain_class(database)
    # A batch may start anywhere in a chain: its parent block is the first one known, whatever its number.
    chain.chaindb.persist_header_chain((parent,), parent.parent_hash)
    return chain, parent


def decode_header(encoded: bytes, schedule: Schedule, field: str, block: int | None = None) -> BlockHeaderAPI:
    """A header from its RLP; ``field`` and ``block`` only appear in errors.

    Raises:
        BatchError: it is no header of the fork that it is of by its timestamp.
    """
    try:
        fork = schedule.at(_time_of(encoded))
        header_class = fork.header_class()
        fields, known = len(rlp.decode(encoded)), len(header_class._meta.fields)
        if fields != known:
            raise ValueError(f"{fields} fields, where one of {fork.name} has {known}")
        header: BlockHeaderAPI = rlp.decode(encoded, sedes=header_class)
        # py-evm's class also takes empty ones.
        roots = (header.state_root, header.transaction_root, header.receipt_root, header.mix_hash)
        if any(len(item) != 32 for item in roots) or len(header.coinbase) != 20 or len(header.nonce) != 8:
            raise ValueError("a hash, an address or a nonce of another length")
        # The library takes an empty list for the number 0, and remembers the encoding unless told how to encode.
        if rlp.encode(header, sedes=header_class) != encoded:
            raise ValueError("not canonical")
    except (rlp.exceptions.RLPException, ValidationError, ValueError, TypeError) as error:
        raise BatchError(f"not the RLP of a block header: {error}", field=field, block=block) from None
    return header


def _hash_before(encoded: bytes, number: int, field: str) -> bytes:
    """The parent's hash in the header of a block of this number and of any fork; ``field`` only appears in errors.

    Raises:
        BatchError: it is no header, or one of another block.
    """
    try:
        fields = header_fields(encoded)
    except ValueError as error:
        raise BatchError(f"not the RLP of a block header: {error}", field=field) from None
    if int.from_bytes(fields[NUMBER], "big") != number:
        raise BatchError(f"not the header of block {number}", field=field)
    return fields[PARENT_HASH]


def _time_of(encoded_header: bytes) -> int:
    """The timestamp of a header, whatever its fork; 0 for what is none."""
    items = rlp.decode(encoded_header)
    time = items[TIMESTAMP] if isinstance(items, list) and len(items) > TIMESTAMP else b""
    return int.from_bytes(time, "big") if isinstance(time, bytes) else 0


def _write_pre_state(genesis: Genesis, chain_id: int, fork: Fork, database: AtomicDatabaseAPI) -> Hash32:
    """Write the accounts of the genesis; returns the state root."""
    empty = _parent_header(genesis, BLANK_ROOT_HASH, fork)
    state = fork.vm_class().build_state(database, empty, ChainContext(chain_id))
    for address, account in genesis.accounts.items():
        # Setting the balance creates the account, also an empty one: the root of a genesis counts it.
        state.set_balance(Address(address), account.balance)
        state.set_nonce(Address(address), account.nonce)
        if account.code:
            state.set_code(Address(address), account.code)
        for slot, value in account.storage.items():
            if value:
                state.set_storage(Address(address), slot, value)
    state.persist()
    return Hash32(state.state_root)


def _parent_header(genesis: Genesis, state_root: Hash32, fork: Fork) -> BlockHeaderAPI:
    header: BlockHeaderAPI = fork.header_class()(
        difficulty=genesis.difficulty,
        block_number=BlockNumber(genesis.number),
        gas_limit=genesis.gas_limit,
        timestamp=genesis.timestamp,
        coinbase=Address(genesis.coinbase),
        parent_hash=Hash32(genesis.parent_hash),
        state_root=state_root,
        gas_used=genesis.gas_used,
        extra_data=genesis.extra_data,
        mix_hash=Hash32(genesis.mix_hash),
        nonce=genesis.nonce.to_bytes(8, "big"),
        base_fee_per_gas=genesis.base_fee_per_gas,
        withdrawals_root=BLANK_ROOT_HASH,
        blob_gas_used=genesis.blob_gas_used,
        excess_blob_gas=genesis.excess_blob_gas,
        parent_beacon_block_root=Hash32(genesis.parent_beacon_block_root),
    )
    return header


def open_block(
    chain: Chain, parent: BlockHeaderAPI, context: BlockContext, fork: Fork, machine: Any, index: int
) -> tuple[Any, BlockHeaderAPI]:
    """A virtual machine for the next block and the block's header before any transaction.

    The header's base fee follows EIP-1559, its excess blob gas EIP-4844 and EIP-7918. ``machine`` is the machine's
    class.

    Raises:
        BatchError: the context breaks a header rule; ``index`` is the block's index in the batch.
        UnsupportedFeature: a block number, base fee or excess blob gas beyond what this program can hold.
    """
    base_fee_per_gas = _check_context(parent, context, index)
    parent_excess, parent_fee = excess_blob_gas(parent), base_fee(parent)
    excess = next_excess_blob_gas(parent_excess, parent.blob_gas_used or 0, parent_fee, fork.blobs)
    if excess > fork.blobs.max_excess_gas:
        raise UnsupportedFeature(f"excess blob gas above {fork.blobs.max_excess_gas}", index)
    header = fork.header_class()(
        difficulty=0,
        block_number=BlockNumber(parent.block_number + 1),
        gas_limit=context.gas_limit,
        timestamp=context.timestamp,
        coinbase=Address(context.coinbase),
        parent_hash=parent.hash,
        state_root=parent.state_root,
        extra_data=context.extra_data,
        mix_hash=Hash32(context.prev_randao),
        nonce=POST_MERGE_NONCE,
        base_fee_per_gas=base_fee_per_gas,
        excess_blob_gas=excess,
        parent_beacon_block_root=Hash32(context.parent_beacon_block_root),
    )
    vm = machine(
        header=header,
        chaindb=chain.chaindb,
        chain_context=ChainContext(chain.chain_id),
        consensus_context=chain.consensus_context,
    )
    return vm, header


def base_fee(header: BlockHeaderAPI) -> int:
    """Base fee of a block in wei per gas (EIP-1559)."""
    fee = header.base_fee_per_gas
    if fee is None:
        raise ValueError("a header from before London has no base fee")
    return fee


def excess_blob_gas(header: BlockHeaderAPI) -> int:
    """Excess blob gas of a block (EIP-4844)."""
    excess = header.excess_blob_gas
    if excess is None:
        raise ValueError("a header from before Cancun has no excess blob gas")
    return excess


def check_header(header: BlockHeaderAPI, claimed: bytes, schedule: Schedule, index: int) -> None:
    """Compare the header that execution gives with the one that the batch claims for block ``index``.

    Raises:
        BatchError: they differ; names the first field that does, the gas before the roots that depend on it.
    """
    expected = decode_header(claimed, schedule, "header", index)
    for key, value in sorted(expected.as_dict().items(), key=lambda item: item[0] != "gas_used"):
        name = str(key)
        executed = getattr(header, name)
        if value != executed:
            words = [f"0x{item.hex()}" if isinstance(item, bytes) else str(item) for item in (value, executed)]
            reason = f"{words[0]} where execution gives {words[1]}"
            raise BatchError(reason, block=index, field=f"header.{_HEADER_FIELDS.get(name, name)}")


# Names of header fields as in JSON, where they are not the camel case of py-evm's.
_HEADER_FIELDS = {
    "parent_hash": "parentHash",
    "uncles_hash": "sha3Uncles",
    "coinbase": "miner",
    "state_root": "stateRoot",
    "transaction_root": "transactionsRoot",
    "receipt_root": "receiptsRoot",
    "bloom": "logsBloom",
    "block_number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "extra_data": "extraData",
    "mix_hash": "mixHash",
    "base_fee_per_gas": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}


def missing_data(error: EVMMissingData) -> str:
    """Words for what a witness lacks."""
    missing = next((bytes(item).hex() for item in error.args if isinstance(item, bytes)), "")
    return f"the witness lacks what it takes to execute this: {type(error).__name__} 0x{missing}"


def _check_context(parent: BlockHeaderAPI, context: BlockContext, index: int) -> int:
    """Check what a block decides for itself against its parent; the result is its base fee in wei per gas."""
    if context.timestamp <= parent.timestamp:
        raise BatchError(f"not later than the parent's {parent.timestamp}", block=index, field="timestamp")
    if len(context.extra_data) > MAX_EXTRA_DATA_BYTES:
        raise BatchError(f"more than {MAX_EXTRA_DATA_BYTES} bytes", block=index, field="extraData")
    change = abs(context.gas_limit - parent.gas_limit)
    if context.gas_limit < MIN_GAS_LIMIT or change >= parent.gas_limit // GAS_LIMIT_CHANGE_DIVISOR:
        reason = f"{context.gas_limit} is below {MIN_GAS_LIMIT} or too far from the parent's {parent.gas_limit}"
        raise BatchError(reason, block=index, field="gasLimit")
    if context.gas_limit > MAX_GAS_LIMIT:
        raise BatchError(f"{context.gas_limit} is above {MAX_GAS_LIMIT} (EIP-1985)", block=index, field="gasLimit")
    expected = calculate_expected_base_fee_per_gas(parent)
    if parent.block_number + 1 >= 2**64:
        raise UnsupportedFeature("block number of more than 64 bits", index)
    if expected >= 2**256:
        raise UnsupportedFeature("base fee of more than 256 bits", index)
    if context.base_fee_per_gas not in (None, expected):
        reason = f"{context.base_fee_per_gas} is not the {expected} of EIP-1559"
        raise BatchError(reason, block=index, field="baseFeePerGas")
    return int(expected)
