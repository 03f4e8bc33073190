"""The batch file: a genesis (pre-state and parent block) and blocks of signed transactions.

A batch file is a JSON object::

    {"format": "zkevm-batch/1", "chainId": 1337, "fork": "cancun",
     "genesis": {...},
     "blocks": [{"coinbase": "0x..", "timestamp": .., "gasLimit": .., "transactions": ["0x02f8..", {...}]}, ...]}

``genesis`` is a geth genesis file: its ``alloc`` is the pre-state and its other fields make the header of the parent of
the first block. A block may also give ``baseFeePerGas`` (otherwise derived by EIP-1559), ``prevRandao``,
``parentBeaconBlockRoot``, ``extraData`` and an empty list of ``withdrawals``. A transaction is raw signed bytes, or an
object that :func:`executor.signing.sign_transaction` signs. Numbers may be JSON integers, ``0x`` strings or decimal
strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from executor.errors import BatchError, UnsupportedFeature
from executor.json_values import parse_data, parse_quantity
from executor.transactions import Transaction, decode_transaction

FORKS = ("cancun",)
MAX_FILE_BYTES = 128 * 2**20

MAX_NESTING = 32
# A string as a whole, so that brackets in it do not count. Where this finds other strings than the JSON parser does,
# the text is no JSON and the parser stops. Possessive, and matching unfinished strings too: the time is linear.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)

INITIAL_BASE_FEE = 10**9  # EIP-1559, wei per gas: geth's default for a genesis without baseFeePerGas

Bytes = Annotated[bytes, BeforeValidator(parse_data)]
Address = Annotated[bytes, BeforeValidator(lambda value: parse_data(value, 20))]
Bytes32 = Annotated[bytes, BeforeValidator(lambda value: parse_data(value, 32))]
U64 = Annotated[int, BeforeValidator(parse_quantity), Field(lt=2**64)]
U256 = Annotated[int, BeforeValidator(parse_quantity), Field(lt=2**256)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class GenesisAccount(_Model):
    """An account of the pre-state. ``storage`` maps slots to values."""

    balance: U256 = 0
    nonce: U64 = 0
    code: Bytes = b""
    storage: Annotated[dict[int, U256], BeforeValidator(lambda value: _unique_keys(value, _parse_slot))] = {}

    @property
    def empty(self) -> bool:
        """Empty by EIP-161: no balance, no nonce, no code."""
        return not (self.balance or self.nonce or self.code)


class Genesis(_Model):
    """The pre-state of a batch and the header of the parent of its first block."""

    alloc: Annotated[dict[str, GenesisAccount], BeforeValidator(lambda value: _unique_keys(value, _canonical_address))]
    gas_limit: U64
    config: dict[str, Any] = {}
    number: U64 = 0
    timestamp: U64 = 0
    extra_data: Bytes = b""
    difficulty: U256 = 0
    nonce: U64 = 0
    mix_hash: Bytes32 = bytes(32)
    coinbase: Address = bytes(20)
    gas_used: U64 = 0
    parent_hash: Bytes32 = bytes(32)
    base_fee_per_gas: U256 = INITIAL_BASE_FEE
    blob_gas_used: U64 = 0
    excess_blob_gas: U64 = 0
    parent_beacon_block_root: Bytes32 = bytes(32)

    @property
    def accounts(self) -> dict[bytes, GenesisAccount]:
        """The accounts of the pre-state by address (20 bytes)."""
        return {parse_data(address): account for address, account in self.alloc.items()}


class BlockContext(_Model):
    """What a block decides for itself; everything else in its header follows from its parent and its transactions."""

    coinbase: Address
    timestamp: U64
    gas_limit: U64
    base_fee_per_gas: U256 | None = None
    prev_randao: Bytes32 = bytes(32)
    parent_beacon_block_root: Bytes32 = bytes(32)
    extra_data: Bytes = b""


class _BlockFile(BlockContext):
    transactions: list[Any] = []
    withdrawals: list[Any] = []


class _BatchFile(_Model):
    format: Literal["zkevm-batch/1"]
    chain_id: Annotated[U256, Field(ge=1)]
    fork: str
    genesis: Genesis
    blocks: list[_BlockFile]
    description: str = ""


@dataclass(frozen=True)
class Block:
    """A block of a batch: its context and its signed transactions."""

    context: BlockContext
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True)
class Batch:
    """A batch that was read: well-formed, its signatures recovered, not executed yet."""

    chain_id: int
    fork: str
    genesis: Genesis
    blocks: tuple[Block, ...]


def read_batch(path: str | Path) -> Batch:
    """Read a batch file.

    Raises:
        BatchError: unreadable, larger than :data:`MAX_FILE_BYTES`, or malformed.
        UnsupportedFeature: transactions or withdrawals that cannot be proved yet.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BatchError(f"cannot read the batch file: {error.strerror}") from None
    return parse_batch(content)


def parse_batch(content: bytes | str) -> Batch:
    """Read a batch from the content of a batch file; errors as for :func:`read_batch`."""
    if len(content) > MAX_FILE_BYTES:
        raise BatchError(f"batch file of more than {MAX_FILE_BYTES} bytes")
    try:
        text = content if isinstance(content, str) else content.decode()
        _check_nesting(text)
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except ValueError as error:
        raise BatchError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BatchError("not a JSON object")
    return batch_from_document(document)


def batch_from_document(document: Mapping[str, Any]) -> Batch:
    """Build a batch from the decoded JSON object of a batch file; errors as for :func:`read_batch`."""
    try:
        file = _BatchFile.model_validate(document)
    except ValidationError as error:
        raise _batch_error(error) from None
    if file.fork not in FORKS:
        raise BatchError(f"unknown fork {file.fork!r}; known: {', '.join(FORKS)}", field="fork")
    configured = file.genesis.config.get("chainId", file.chain_id)
    if configured != file.chain_id:
        raise BatchError(f"{configured} differs from chainId {file.chain_id}", field="genesis.config.chainId")
    # EIP-3675: there is no proof of work after the merge.
    for name, value in (("difficulty", file.genesis.difficulty), ("nonce", file.genesis.nonce)):
        if value:
            raise BatchError("must be 0 after the merge (EIP-3675)", field=f"genesis.{name}")
    return Batch(
        chain_id=file.chain_id,
        fork=file.fork,
        genesis=file.genesis,
        blocks=tuple(_block(index, block, file.chain_id) for index, block in enumerate(file.blocks)),
    )


def _block(index: int, block: _BlockFile, chain_id: int) -> Block:
    if block.withdrawals:
        raise UnsupportedFeature("withdrawals", index)
    context = BlockContext.model_construct(**{name: getattr(block, name) for name in BlockContext.model_fields})
    transactions = tuple(
        decode_transaction(_raw(item, chain_id, index, number), block=index, transaction=number)
        for number, item in enumerate(block.transactions)
    )
    return Block(context, transactions)


def _raw(item: Any, chain_id: int, block: int, transaction: int) -> bytes:
    if isinstance(item, dict):
        # Loaded only where a batch asks for it: it takes longer to load than most batches to read.
        from executor.signing import sign_transaction

        return sign_transaction(item, chain_id, block=block, transaction=transaction)
    try:
        return parse_data(item)
    except ValueError as error:
        raise BatchError(str(error), block=block, transaction=transaction, field="raw") from None


def _canonical_address(value: Any) -> str:
    return "0x" + parse_data(value, 20).hex()


def _parse_slot(value: Any) -> int:
    slot = parse_quantity(value)
    if slot >= 2**256:
        raise ValueError("storage slot of more than 256 bits")
    return slot


def _unique_keys(value: Any, parse: Any) -> Any:
    """Parse the keys of a JSON object; two spellings of one key are an error."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    result: dict[Any, Any] = {}
    for name, item in value.items():
        key = parse(name)
        if key in result:
            raise ValueError(f"{name} occurs twice")
        result[key] = item
    return result


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{name!r} occurs twice in one object")
        result[name] = value
    return result


def _check_nesting(text: str) -> None:
    """Refuse JSON nested deeper than any batch file, by ``ValueError``.

    The parser recurses on the machine's stack and relies on Python's recursion limit, which py-evm lifts beyond what
    that stack holds.
    """
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth > MAX_NESTING:
                    raise ValueError(f"nested more than {MAX_NESTING} deep")
            case "]" | "}":
                depth -= 1


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _batch_error(error: ValidationError) -> BatchError:
    """The first complaint of pydantic, with its place in the words of this package."""
    first = error.errors(include_url=False, include_context=False)[0]
    location = list(first["loc"])
    block = None
    if len(location) >= 2 and location[0] == "blocks" and isinstance(location[1], int):
        block, location = location[1], location[2:]
    field = ".".join(str(part) for part in location) or None
    reason = first["msg"].removeprefix("Value error, ")
    return BatchError(reason, block=block, field=field)
