"""py-evm set up for a batch: pre-state, parent header, and the headers of its blocks."""

from __future__ import annotations

from typing import cast

from eth.abc import AtomicDatabaseAPI, BlockHeaderAPI
from eth.chains.base import Chain
from eth.constants import BLANK_ROOT_HASH, POST_MERGE_NONCE
from eth.db.atomic import AtomicDB
from eth.vm.chain_context import ChainContext
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth_typing import Address, BlockNumber, Hash32

from executor.batch import Batch, BlockContext, Genesis
from executor.errors import BatchError, UnsupportedFeature

MIN_GAS_LIMIT = 5_000  # yellow paper, equation 48
GAS_LIMIT_CHANGE_DIVISOR = 1_024
MAX_EXTRA_DATA_BYTES = 32


def open_chain(batch: Batch) -> tuple[Chain, BlockHeaderAPI]:
    """A py-evm chain that holds the pre-state of ``batch``, and the header of the parent of its first block."""
    chain_class = Chain.configure("BatchChain", vm_configuration=((BlockNumber(0), CancunVM),), chain_id=batch.chain_id)
    database = AtomicDB()
    parent = _parent_header(batch.genesis, _write_pre_state(batch, database))
    chain = chain_class(database)
    # A batch may start anywhere in a chain: its parent block is the first one known, whatever its number.
    chain.chaindb.persist_header_chain((parent,), parent.parent_hash)
    return chain, parent


def _write_pre_state(batch: Batch, database: AtomicDatabaseAPI) -> Hash32:
    """Write the accounts of the genesis; returns the state root."""
    empty = _parent_header(batch.genesis, BLANK_ROOT_HASH)
    state = CancunVM.build_state(database, empty, ChainContext(batch.chain_id))
    for address, account in batch.genesis.accounts.items():
        # Setting the balance creates the account, also an empty one: the root of a genesis counts it.
        state.set_balance(Address(address), account.balance)
        state.set_nonce(Address(address), account.nonce)
        if account.code:
            state.set_code(Address(address), account.code)
        for slot, value in account.storage.items():
            if value:
                state.set_storage(Address(address), slot, value)
    state.persist()
    return state.state_root


def _parent_header(genesis: Genesis, state_root: Hash32) -> BlockHeaderAPI:
    return CancunBlockHeader(
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
        nonce=POST_MERGE_NONCE,
        base_fee_per_gas=genesis.base_fee_per_gas,
        withdrawals_root=BLANK_ROOT_HASH,
        blob_gas_used=genesis.blob_gas_used,
        excess_blob_gas=genesis.excess_blob_gas,
        parent_beacon_block_root=Hash32(genesis.parent_beacon_block_root),
    )


def open_block(
    chain: Chain, parent: BlockHeaderAPI, context: BlockContext, index: int
) -> tuple[CancunVM, BlockHeaderAPI]:
    """A virtual machine for the next block and the block's header before any transaction.

    The header's base fee follows EIP-1559, its excess blob gas EIP-4844.

    Raises:
        BatchError: the context breaks a header rule; ``index`` is the block's index in the batch.
        UnsupportedFeature: a gas limit that does not fit in 32 bits.
    """
    _check_context(parent, context, index)
    header = chain.create_header_from_parent(
        parent,
        coinbase=Address(context.coinbase),
        timestamp=context.timestamp,
        gas_limit=context.gas_limit,
        extra_data=context.extra_data,
        mix_hash=Hash32(context.prev_randao),
        parent_beacon_block_root=Hash32(context.parent_beacon_block_root),
    )
    return cast(CancunVM, chain.get_vm(header)), header


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


def _check_context(parent: BlockHeaderAPI, context: BlockContext, index: int) -> None:
    if context.timestamp <= parent.timestamp:
        raise BatchError(f"not later than the parent's {parent.timestamp}", block=index, field="timestamp")
    if len(context.extra_data) > MAX_EXTRA_DATA_BYTES:
        raise BatchError(f"more than {MAX_EXTRA_DATA_BYTES} bytes", block=index, field="extraData")
    change = abs(context.gas_limit - parent.gas_limit)
    if context.gas_limit < MIN_GAS_LIMIT or change >= parent.gas_limit // GAS_LIMIT_CHANGE_DIVISOR:
        reason = f"{context.gas_limit} is below {MIN_GAS_LIMIT} or too far from the parent's {parent.gas_limit}"
        raise BatchError(reason, block=index, field="gasLimit")
    expected = calculate_expected_base_fee_per_gas(parent)
    if parent.block_number + 1 >= 2**64:
        raise UnsupportedFeature("block number of more than 64 bits", index)
    if expected >= 2**256:
        raise UnsupportedFeature("base fee of more than 256 bits", index)
    if context.base_fee_per_gas not in (None, expected):
        reason = f"{context.base_fee_per_gas} is not the {expected} of EIP-1559"
        raise BatchError(reason, block=index, field="baseFeePerGas")
