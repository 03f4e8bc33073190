"""Batches and the batch file: a pre-state, its block, and the blocks of signed transactions that follow.

A batch file is a JSON object whose fields are those of the models here; ``docs/batches.md`` describes it, and the JSON
schema that ``zkevm schema batch`` prints is made of them. :mod:`executor.inputs` reads further forms of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from executor.errors import BatchError
from executor.execution_witness import (
    MAX_ANCESTOR_HEADERS,
    ExecutionWitness,
    is_execution_witness,
    read_execution_witness,
)
from executor.forks import CANCUN, EXECUTED_FORKS, FORKS, Fork, Schedule
from executor.genesis_file import ACCOUNT_REMARKS, ALIASES, REMARKS, chain_id_of, normalized
from executor.json_values import parse_data, parse_object, parse_quantity
from executor.rlp_lists import decode_list
from executor.rpc import encode_transaction, is_transaction, result_of
from executor.transactions import Transaction, decode_transaction

MAX_FILE_BYTES = 128 * 2**20

MAX_ANCESTORS = 256  # yellow paper: BLOCKHASH knows the hashes of the last 256 blocks

INITIAL_BASE_FEE = 10**9  # EIP-1559, wei per gas: geth's default for a genesis without baseFeePerGas


def _data_schema(size: int | None = None) -> WithJsonSchema:
    """How byte strings are spelled, as `executor.json_values.parse_data` reads them."""
    digits = "([0-9a-fA-F]{2})*" if size is None else f"[0-9a-fA-F]{{{2 * size}}}"
    return WithJsonSchema({"type": "string", "pattern": f"^(0[xX])?{digits}$"})


def _quantity_schema(bits: int) -> WithJsonSchema:
    """How numbers are spelled, as `executor.json_values.parse_quantity` reads them."""
    number = {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
    text = {"type": "string", "pattern": "^(0[xX][0-9a-fA-F]{1,64}|[0-9]{1,78})$"}
    return WithJsonSchema({"anyOf": [number, text]})


@dataclass(frozen=True)
class _Either:
    """Says in a JSON schema what an item may be that is told apart and read later: schemas, or models."""

    choices: tuple[dict[str, Any] | type[BaseModel], ...]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        found = [each if isinstance(each, dict) else handler(each.__pydantic_core_schema__) for each in self.choices]
        return {"anyOf": found}


def _as_nodes_write_it(remarks: frozenset[str], aliases: Mapping[str, str] = {}) -> Any:
    """Adds to the schema of a model what `executor.genesis_file` takes beside it: null, remarks, other names."""

    def add(schema: dict[str, Any]) -> None:
        properties = schema["properties"]
        for name in properties.keys() - set(schema.get("required", ())):
            own = properties[name]
            kept = {key: own.pop(key) for key in ("description", "default", "title") if key in own}
            properties[name] = {"anyOf": [own, {"type": "null"}], **kept}
        for name, known in aliases.items():
            properties[name] = {**properties[known], "description": f"Another name of {known}."}
        for name in sorted(remarks):
            properties[name] = {"description": "Ignored."}

    return add


Bytes = Annotated[bytes, BeforeValidator(parse_data), _data_schema()]
Address = Annotated[bytes, BeforeValidator(lambda value: parse_data(value, 20)), _data_schema(20)]
Bytes32 = Annotated[bytes, BeforeValidator(lambda value: parse_data(value, 32)), _data_schema(32)]
U64 = Annotated[int, BeforeValidator(parse_quantity), Field(lt=2**64), _quantity_schema(64)]
U256 = Annotated[int, BeforeValidator(parse_quantity), Field(lt=2**256), _quantity_schema(256)]


class _Model(BaseModel):
    """Reading stops at the first malformed one of any number of items: an error takes hundreds of times its memory."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _bound_errors(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > len(cls.model_fields):
            raise ValueError(f"{len(value)} fields where there are {len(cls.model_fields)}")
        return value


class GenesisAccount(_Model):
    """An account of the pre-state."""

    model_config = ConfigDict(json_schema_extra=_as_nodes_write_it(ACCOUNT_REMARKS))

    balance: U256 = 0
    """Wei."""
    nonce: U64 = 0
    """Transactions that it has sent, or contracts that it has created."""
    code: Bytes = b""
    """The code that runs when it is called, not what creates it."""
    storage: Annotated[
        dict[int, U256],
        WrapValidator(lambda value, validate: _one_by_one(value, validate)),
        BeforeValidator(lambda value: _unique_keys(value, _parse_slot)),
    ] = {}
    """Values by slot, both of 256 bits; slots are spelled as numbers are, in strings."""

    @property
    def empty(self) -> bool:
        """Empty by EIP-161: no balance, no nonce, no code."""
        return not (self.balance or self.nonce or self.code)


class Genesis(_Model):
    """The pre-state of a batch and the header of the parent of its first block, as genesis files have them."""

    model_config = ConfigDict(json_schema_extra=_as_nodes_write_it(REMARKS, ALIASES))

    alloc: Annotated[
        dict[str, GenesisAccount],
        WrapValidator(lambda value, validate: _one_by_one(value, validate)),
        BeforeValidator(lambda value: _unique_keys(value, _canonical_address)),
    ]
    """The accounts by address: the whole state before the batch."""
    gas_limit: U64
    """Gas limit of the parent; a block's may differ from its parent's by less than 1/1024 of it."""
    config: dict[str, Any] = {}
    """Configuration of the chain, as geth has it: `chainId`, the times of forks, `blobSchedule`."""
    number: U64 = 0
    """Number of the parent; the first block has the next one."""
    timestamp: U64 = 0
    """Unix time of the parent, seconds; blocks are later."""
    extra_data: Bytes = b""
    """What its miner wrote into it."""
    difficulty: U256 = 0
    """0 after the merge."""
    nonce: U64 = 0
    """0 after the merge."""
    mix_hash: Bytes32 = bytes(32)
    """PREVRANDAO of the parent."""
    coinbase: Address = bytes(20)
    """Account that the priority fees of the parent went to."""
    gas_used: U64 = 0
    """Gas; the next base fee follows from it."""
    parent_hash: Bytes32 = bytes(32)
    """Hash of the block before the parent."""
    base_fee_per_gas: U256 = INITIAL_BASE_FEE
    """Wei per gas; the next base fee follows from it."""
    blob_gas_used: U64 = 0
    """Blob gas."""
    excess_blob_gas: U64 = 0
    """Blob gas; the next blob base fee follows from it."""
    parent_beacon_block_root: Bytes32 = bytes(32)
    """Root of the beacon block before it (EIP-4788)."""

    @property
    def accounts(self) -> dict[bytes, GenesisAccount]:
        """The accounts of the pre-state by address (20 bytes)."""
        return {parse_data(address): account for address, account in self.alloc.items()}


class BlobSchedule(BaseModel):
    """The blobs of a fork as geth's configuration has them (EIP-7840): target and maximum in a block."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    target: U64
    max: Annotated[U64, Field(gt=0)]
    base_fee_update_fraction: Annotated[U64, Field(gt=0)]

    @model_validator(mode="after")
    def _in_order(self) -> BlobSchedule:
        if self.target > self.max:
            raise ValueError("a target above the maximum")
        return self


def with_blob_schedules(fork: Fork, given: Mapping[str, BlobSchedule]) -> Fork:
    """A fork with the blobs that a configuration has for it, if it has any; the case of its names does not matter."""
    own = next((blobs for name, blobs in given.items() if name.lower() == fork.name), None)
    return fork if own is None else fork.with_blobs(own.target, own.max, own.base_fee_update_fraction)


class Withdrawal(_Model):
    """A withdrawal of the beacon chain (EIP-4895)."""

    index: U64
    """Number of the withdrawal in the chain."""
    validator_index: U64
    """Number of the validator."""
    address: Address
    """Account that is credited."""
    amount: U64
    """Gwei."""


class BlockContext(_Model):
    """What a block decides for itself; everything else in its header follows from its parent and its transactions."""

    coinbase: Address
    """Account that the priority fees go to."""
    timestamp: U64
    """Unix time, seconds; later than that of the block before."""
    gas_limit: U64
    """Gas; at least 5,000, and by less than 1/1024 of it different from that of the block before."""
    base_fee_per_gas: U256 | None = None
    """Wei per gas; by default, and only then valid, what follows from the block before (EIP-1559)."""
    prev_randao: Bytes32 = bytes(32)
    """What PREVRANDAO gives."""
    parent_beacon_block_root: Bytes32 = bytes(32)
    """What the contract of EIP-4788 is told."""
    extra_data: Bytes = b""
    """At most 32 bytes."""
    withdrawals: Annotated[tuple[Withdrawal, ...], FailFast()] = ()
    """In order, after the transactions."""


class AccessListEntry(_Model):
    """An account of an access list (EIP-2930)."""

    address: Address
    """The account that is warm from the beginning."""
    storage_keys: list[Bytes32]
    """Its slots that are."""


class AuthorizationRequest(_Model):
    """An authorization that is signed here (EIP-7702)."""

    secret_key: Bytes32
    """Key of the account that delegates. For tests: never put a real key into a file."""
    address: Address
    """The account whose code it takes; zero to take none any more."""
    nonce: U64
    """Of the account that delegates."""
    chain_id: U64 | None = None
    """By default that of the batch; 0 for any chain."""


class TransactionRequest(_Model):
    """A transaction that is signed here (:func:`executor.signing.sign_transaction`)."""

    secret_key: Bytes32
    """Key of the sender. For tests: never put a real key into a file."""
    nonce: U64
    """Transactions that the sender has sent before."""
    gas: U64
    """Gas limit."""
    type: U64 | None = None
    """0 legacy, 1 with an access list, 2 with two fees, 3 with blobs, 4 with authorizations; by default what fits."""
    chain_id: U256 | None = None
    """By default that of the batch."""
    to: Bytes | None = None
    """20 bytes; left out or empty to create a contract."""
    value: U256 = 0
    """Wei."""
    data: Bytes = b""
    """Calldata, or the code that creates a contract with its arguments."""
    gas_price: U256 | None = None
    """Wei per gas, of types 0 and 1."""
    max_fee_per_gas: U256 | None = None
    """Wei per gas, of types 2 to 4: the most that is paid."""
    max_priority_fee_per_gas: U256 | None = None
    """Wei per gas, of types 2 to 4: the most that the coinbase gets."""
    access_list: list[AccessListEntry] | None = None
    """Accounts and slots that are warm from the beginning."""
    max_fee_per_blob_gas: U256 | None = None
    """Wei per blob gas, of type 3."""
    blob_versioned_hashes: list[Bytes32] | None = None
    """Hashes of the blobs' commitments, of type 3."""
    authorization_list: list[AuthorizationRequest] | None = None
    """Of type 4."""


_ENCODED = {"type": "string", "pattern": "^(0[xX])?([0-9a-fA-F]{2})+$"}
_TRANSACTION = _Either(
    (
        {**_ENCODED, "description": "A signed transaction as bytes (EIP-2718)."},
        {"type": "object", "required": ["r", "s"], "description": "A signed transaction of the JSON-RPC API."},
        TransactionRequest,
    )
)


class BlockFile(BlockContext):
    """A block with its transactions."""

    transactions: list[Annotated[Any, _TRANSACTION]] = []
    """In order: signed, as bytes or as the JSON-RPC API gives them, or to be signed here."""
    header: Bytes | None = None
    """RLP of the header that the block must result in; by default it is not compared."""


class WitnessFile(_Model):
    """What the batch needs of the state before it."""

    nodes: Annotated[list[Bytes], FailFast()]
    """RLP of nodes of the account trie and of storage tries, in any order."""
    codes: Annotated[list[Bytes], FailFast()] = []
    """Codes of the accounts whose code is read."""


def _activations(value: Any, known: Mapping[str, Fork] = EXECUTED_FORKS) -> tuple[tuple[int, Fork], ...]:
    """Forks with their times, in the order in which a chain comes to them."""
    if isinstance(value, str):
        value = {value: 0}
    if not isinstance(value, dict) or not value:
        raise ValueError("neither the name of a fork nor an object of forks with their times")
    for name in value:
        if name not in known:
            raise ValueError(f"unknown fork {name!r}; known: {', '.join(FORKS)}")
    found = tuple((parse_quantity(value[name]), fork) for name, fork in known.items() if name in value)
    if any(later < earlier for (earlier, _), (later, _) in pairwise(found)):
        raise ValueError("a fork before one that it follows on")
    return found


_FORK = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "enum": list(EXECUTED_FORKS)},
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"enum": list(EXECUTED_FORKS)},
                "additionalProperties": {"type": ["integer", "string"]},
            },
            {"type": "null"},
        ]
    }
)
_BLOCK = _Either(
    (
        BlockFile,
        {**_ENCODED, "description": "RLP of a block."},
        {
            "type": "object",
            "required": ["transactions"],
            "anyOf": [{"required": [name]} for name in ("hash", "number", "parentHash", "stateRoot", "receiptsRoot")],
            "description": "A block of the JSON-RPC API, with full transactions.",
        },
    )
)
_WITNESS = _Either(
    (
        WitnessFile,
        {"type": "object", "required": ["state", "codes"], "description": "What debug_executionWitness gives."},
        {"type": "null"},
    )
)


class BatchFile(_Model):
    """A batch of blocks that follow each other, and the state before the first of them."""

    format: Literal["zkevm-batch/1"]
    """Name and version of this format."""
    chain_id: Annotated[U256, Field(ge=1)]
    """Chain id (EIP-155), at least 1; proofs take it up to 2^64."""
    fork: Annotated[Any, _FORK] = None
    """Fork of all blocks, or forks with their first times (Unix, seconds); by default `config` of the genesis tells."""
    genesis: Annotated[Genesis | None, BeforeValidator(normalized)] = None
    """The whole state before the batch; or `witness`, or a document beside the batch file."""
    parent: Bytes | None = None
    """RLP of the header before the first block, with a witness; it may have one of its own."""
    witness: Annotated[WitnessFile | None, _WITNESS] = None
    """What proves the part of the state before that the batch needs."""
    ancestor_headers: Annotated[list[Bytes], Field(max_length=MAX_ANCESTOR_HEADERS)] = []
    """RLP of the headers before the parent's, the latest first: each proves the hash of the block before it, as far as
    BLOCKHASH asks for it."""
    ancestor_hashes: Annotated[list[Bytes32], Field(max_length=MAX_ANCESTORS)] = []
    """Hashes of the blocks before the parent, the latest first: enough to execute, not to prove but the first."""
    blocks: list[Annotated[Any, _BLOCK]]
    """In order; empty where they are named as documents beside the batch file."""
    description: str = ""
    """For people."""


@dataclass(frozen=True)
class Block:
    """A block of a batch: its context and its signed transactions.

    ``header``, where given, is the RLP of the header that the block claims; execution must give the same.
    """

    context: BlockContext
    transactions: tuple[Transaction, ...]
    header: bytes | None = None

    @property
    def parent_hash(self) -> bytes | None:
        """The hash of the parent that the header gives, if it is one."""
        try:
            first = decode_list(self.header, 1)[0] if self.header else None
        except (ValueError, IndexError):
            return None
        return first if isinstance(first, bytes) else None


@dataclass(frozen=True)
class Witness:
    """What the execution of a batch needs to know of its pre-state.

    Attributes:
        nodes: RLP of nodes of the account trie (the root first) and of the storage tries, each once: the proofs of
            every account and slot touched, and the siblings that deletions read.
        codes: codes of the accounts whose code is read, each once.
        ancestor_hashes: hashes of the blocks before the parent of the first block, the latest first, up to the oldest
            one that BLOCKHASH returned; none if headers prove them.
        ancestor_headers: RLP of the headers before that parent's, the latest first, up to the one that proves it.
    """

    nodes: tuple[bytes, ...]
    codes: tuple[bytes, ...] = ()
    ancestor_hashes: tuple[bytes, ...] = ()
    ancestor_headers: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A batch that was read: well-formed, its signatures recovered, not executed yet.

    The pre-state is that of ``genesis``, or what ``witness`` tells of the state of ``parent_header``. With ``genesis``
    alone the parent header follows from it; where both are given, the state root in the header must be the genesis's.
    """

    chain_id: int
    schedule: Schedule
    genesis: Genesis | None
    blocks: tuple[Block, ...]
    parent_header: bytes | None = None  # RLP
    witness: Witness | None = None
    ancestor_hashes: tuple[bytes, ...] = ()  # of the blocks before the parent, the latest first; at most 256
    ancestor_headers: tuple[bytes, ...] = ()  # RLP, of the blocks before the parent, the latest first; at most 254

    @property
    def transactions(self) -> int:
        """Number of transactions in all blocks."""
        return sum(len(block.transactions) for block in self.blocks)


def parse_batch(content: bytes | str) -> Batch:
    """Read a batch from the content of a batch file.

    Raises:
        BatchError: larger than :data:`MAX_FILE_BYTES`, or malformed.
    """
    if len(content) > MAX_FILE_BYTES:
        raise BatchError(f"batch file of more than {MAX_FILE_BYTES} bytes")
    try:
        document = parse_object(content)
    except ValueError as error:
        raise BatchError(str(error)) from None
    return batch_from_document(document)


def batch_from_document(document: Mapping[str, Any]) -> Batch:
    """Build a batch from the decoded JSON object of a batch file; errors as for :func:`parse_batch`."""
    given = result_of(document.get("witness"))
    executed: ExecutionWitness | None = None
    if isinstance(given, ExecutionWitness) or (isinstance(given, dict) and is_execution_witness(given)):
        executed = given if isinstance(given, ExecutionWitness) else read_execution_witness(given)
        document = {name: value for name, value in document.items() if name != "witness"}
    try:
        file = BatchFile.model_validate(document)
    except ValidationError as error:
        raise batch_error(error) from None
    if file.genesis is not None:
        _check_genesis(file.genesis, file.chain_id)
        if file.witness is not None or executed is not None:
            raise BatchError("a batch has a genesis or a witness, not both", field="witness")
    elif executed is None and (file.parent is None or file.witness is None):
        raise BatchError("neither a genesis, nor a parent header with a witness", field="genesis")
    blocks = tuple(_block(index, block, file.chain_id) for index, block in enumerate(file.blocks))
    schedule = _schedule(file, blocks)
    if file.ancestor_hashes and file.ancestor_headers:
        raise BatchError("a batch has the headers of its ancestors, or their hashes", field="ancestorHashes")
    parent, hashes, headers, witness = file.parent, tuple(file.ancestor_hashes), tuple(file.ancestor_headers), None
    if executed is not None:
        parent = parent or executed.parent(blocks[0].parent_hash if blocks else None)
        if not hashes and not headers:
            headers = executed.ancestors(parent)
        witness = Witness(executed.nodes, executed.codes, hashes, headers)
    elif file.witness is not None:
        witness = Witness(tuple(file.witness.nodes), tuple(file.witness.codes), hashes, headers)
    return Batch(
        chain_id=file.chain_id,
        schedule=schedule,
        genesis=file.genesis,
        blocks=blocks,
        parent_header=parent,
        witness=witness,
        ancestor_hashes=hashes,
        ancestor_headers=headers,
    )


def _check_genesis(genesis: Genesis, chain_id: int) -> None:
    if "chainId" in genesis.config and chain_id_of({"config": genesis.config}) != chain_id:
        reason = f"{genesis.config['chainId']} differs from chainId {chain_id}"
        raise BatchError(reason, field="genesis.config.chainId")
    if genesis.number:
        # EIP-3675: there is no proof of work after the merge. Block 0 is not after it: devnets merge at block 1.
        for name, value in (("difficulty", genesis.difficulty), ("nonce", genesis.nonce)):
            if value:
                raise BatchError("must be 0 after the merge (EIP-3675)", field=f"genesis.{name}")


def _schedule(file: BatchFile, blocks: Iterable[Block]) -> Schedule:
    times = [block.context.timestamp for block in blocks]
    if file.genesis is None:
        return chain_schedule(file.fork, None, times)
    return chain_schedule(file.fork, {"config": file.genesis.config}, [*times, file.genesis.timestamp])


def chain_schedule(fork: Any, genesis: Mapping[str, Any] | None, times: Iterable[int]) -> Schedule:
    """The forks of a chain by ``fork`` of a batch file, or in its absence by the configuration of a genesis file.

    ``times`` are those of the blocks, the genesis included.

    Raises:
        BatchError: there is neither, one is malformed, or a block is before the first fork or of one that is not known.
    """
    times = list(times)
    try:
        if fork is not None:
            activations = _activations(fork)
        elif genesis is None:
            raise ValueError("a batch without a genesis needs this field")
        else:
            activations = _configured(genesis.get("config"), max(times, default=0))
    except ValueError as error:
        raise BatchError(str(error), field="fork") from None
    first = activations[0][0]
    if min(times, default=first) < first:
        raise BatchError(f"no fork before the time {first}", field="fork")
    # Of forks with the same time only the last one has blocks.
    while len(activations) > 1 and activations[1][0] == first:
        activations = activations[1:]
    return Schedule(activations[0][1], activations[1:])


def _configured(config: Any, last: int) -> tuple[tuple[int, Fork], ...]:
    """The forks that the configuration of a genesis file gives times for; unknown ones must be later than ``last``.

    Raises:
        ValueError: there are none from Cancun on.
        BatchError: a time or the schedule of blobs is malformed.
    """
    times: dict[str, int] = {}
    for name, value in (config if isinstance(config, dict) else {}).items():
        fork = name.removesuffix(_TIME_SUFFIX).lower()
        if fork == name.lower() or value is None or fork in _EARLIER_FORKS:
            continue
        try:
            time = parse_quantity(value)
        except ValueError as error:
            raise BatchError(str(error), field=f"genesis.config.{name}") from None
        if fork in FORKS or time <= last:
            times[fork] = time
    if CANCUN.name not in times:
        raise ValueError(f"neither this field nor {CANCUN.name}{_TIME_SUFFIX} in the configuration of the genesis")
    # A chain is of whole forks, not of what is in development here.
    activations = _activations(times, FORKS)
    try:
        blobs = _BLOB_SCHEDULES.validate_python(config.get("blobSchedule") or {})
    except ValidationError as error:
        inner = batch_error(error)
        raise BatchError(inner.reason, field=f"genesis.config.blobSchedule.{inner.field}") from None
    return tuple((time, with_blob_schedules(fork, blobs)) for time, fork in activations)


_BLOB_SCHEDULES = TypeAdapter(dict[str, BlobSchedule])


_TIME_SUFFIX = "Time"
_EARLIER_FORKS = frozenset(("shanghai",))  # with a time in geth's configuration, but not known here


def _block(index: int, item: Any, chain_id: int) -> Block:
    if isinstance(item, Block):
        return item
    try:
        block = BlockFile.model_validate(item)
    except ValidationError as error:
        raise batch_error(error, block=index) from None
    context = BlockContext.model_construct(**{name: getattr(block, name) for name in BlockContext.model_fields})
    transactions = tuple(
        decode_transaction(_raw(item, chain_id, index, number), block=index, transaction=number)
        for number, item in enumerate(block.transactions)
    )
    return Block(context, transactions, block.header)


def _raw(item: Any, chain_id: int, block: int, transaction: int) -> bytes:
    item = result_of(item)
    if isinstance(item, dict):
        if is_transaction(item):
            return encode_transaction(item, block=block, transaction=transaction)
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


def _one_by_one(value: dict[Any, Any], validate: Any) -> dict[Any, Any]:
    """Validate the items of an object up to the first malformed one, as ``FailFast`` does for lists."""
    result: dict[Any, Any] = {}
    for item in value.items():
        result |= validate(dict([item]))
    return result


def batch_error(error: ValidationError, block: int | None = None) -> BatchError:
    """The first complaint of pydantic, with its place in the words of this package; ``block`` where it is about one."""
    first = error.errors(include_url=False, include_context=False)[0]
    location = list(first["loc"])
    if len(location) >= 2 and location[0] == "blocks" and isinstance(location[1], int):
        block, location = location[1], location[2:]
    field = ".".join(str(part) for part in location) or None
    reason = first["msg"].removeprefix("Value error, ")
    return BatchError(reason, block=block, field=field)
