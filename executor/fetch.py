"""A batch from a node: its blocks, and what their execution needs of the state, over the JSON-RPC API.

Sources: the execution APIs (``eth_chainId``, ``eth_getBlockByNumber``); ``debug_executionWitness`` of geth and reth;
EIP-7910 (``eth_config``); EIP-1186 (``eth_getProof``). What a node says is not believed: blocks and headers must have
the hashes they carry, each block's parent must be the one before it, and whoever executes the batch compares state
roots.

A client's witness has what the client looked at. Where an instruction has not the gas to look at an account or a slot,
geth charges before it loads and never sees them; a proof shows them all the same, since it shows every key that is
touched. So what is fetched is executed once, and what that finds missing is asked for by proofs of the state before the
first block, while the node still has that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import requests
import rlp

from executor.batch import MAX_FILE_BYTES, Batch
from executor.errors import BatchError, LimitExceeded, MissingState, UnsupportedFeature
from executor.execute import execute
from executor.forks import FORKS, Fork
from executor.inputs import FORMAT, AmbiguousFork, batch_of_file, fork_of
from executor.json_values import parse_data, parse_json, parse_quantity
from executor.limits import NO_LIMITS, Limits
from executor.rpc import NUMBER

MAX_BLOCKS = 4_096
TAGS = ("latest", "safe", "finalized", "earliest")

#: Seconds until a node must have connected, and between two parts of its answer: it may execute a block meanwhile.
_TIMEOUT = (10.0, 120.0)
_TRIES = 5
#: Seconds before the second try; before each later one twice as many.
_WAIT = 0.5
_MAX_WAIT = 30.0
_PART = 1 << 20
_METHOD_NOT_FOUND = -32601
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_WITNESS = "debug_executionWitness"
_PROOF = "eth_getProof"
_PARTS = ("state", "codes", "headers")  # of a witness
#: Times that what is missing is asked for: one execution names most of it at once, but not what lies behind it.
_ROUNDS = 16
_WITNESS_HINT = (
    "geth needs --http.api=eth,debug (1.16 or later), reth --http.api=eth,debug; hosted nodes rarely offer it"
)
_STATE_HINT = (
    "the state before the block may be gone: geth keeps those of its last 128 blocks, and all of them with --gcmode "
    "archive --state.scheme hash"
)

Progress = Callable[[int, int], None]


class NodeError(BatchError):
    """A node cannot be reached, or does not answer what is needed."""


@dataclass(frozen=True)
class Fetched:
    """A batch file, and the batch that it is.

    Attributes:
        first, last: numbers of its blocks.
        last_hash: of the last one, in hexadecimal.
        completed: how many accounts and slots the witnesses lacked, and proofs showed.
    """

    document: dict[str, Any]
    batch: Batch
    first: int
    last: int
    last_hash: str
    completed: int = 0


class Node:
    """A node's JSON-RPC API over HTTP."""

    def __init__(
        self,
        url: str,
        wait: Callable[[float], None] = time.sleep,
        tries: int = _TRIES,
        timeout: tuple[float, float] = _TIMEOUT,
    ) -> None:
        """``wait`` is called with the seconds between two tries; ``timeout`` is that of `requests`."""
        self._url, self._wait, self._tries, self._timeout = url, wait, tries, timeout
        self._session = requests.Session()
        self._read = 0

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call. What is only slow or busy is asked again.

        Raises:
            NodeError: no answer after some tries, none that is JSON-RPC, an error, or more than
                :data:`executor.batch.MAX_FILE_BYTES` of answers in all.
        """
        request: Any = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        reason = ""
        for number in range(self._tries):
            if number:
                self._wait(min(_WAIT * 2 ** (number - 1), _MAX_WAIT))
            try:
                with self._session.post(self._url, json=request, timeout=self._timeout, stream=True) as response:
                    if response.status_code not in _BUSY:
                        return self._result(method, response)
                    reason = f"HTTP status {response.status_code}"
            except (requests.ConnectionError, requests.Timeout) as error:
                reason = _first_line(error)
            except (requests.RequestException, ValueError) as error:
                # An address that is none, and what is no HTTP: trying again does not help.
                what = "where an address such as http://localhost:8545 is expected"
                is_schema = isinstance(error, (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema))
                raise NodeError(f"{self._url}: {what if is_schema else _first_line(error)}") from None
        times = "1 try" if self._tries == 1 else f"{self._tries} tries"
        raise NodeError(f"{self._url} does not answer {method} in {times}: {reason}")

    def _result(self, method: str, response: requests.Response) -> Any:
        content = bytearray()
        for part in response.iter_content(_PART):
            content += part
            self._read += len(part)
            if self._read > MAX_FILE_BYTES:
                raise NodeError(f"{method}: answers of more than {MAX_FILE_BYTES} bytes in all; fetch fewer blocks")
        try:
            answer = parse_json(bytes(content))
        except ValueError:
            raise NodeError(
                f"{self._url} answers {method} with HTTP status {response.status_code} and no JSON"
            ) from None
        if not isinstance(answer, dict) or not ("result" in answer or isinstance(answer.get("error"), dict)):
            raise NodeError(f"{self._url} answers {method} with something else than JSON-RPC")
        if answer.get("error") is None:
            return answer["result"]
        error = answer["error"]
        code, message = error.get("code"), str(error.get("message"))[:200]
        if code == _METHOD_NOT_FOUND:
            hint = f": {_WITNESS_HINT}" if method == _WITNESS else ""
            raise NodeError(f"the node does not offer {method}{hint}")
        hint = f"; {_STATE_HINT}" if method == _WITNESS else ""
        raise NodeError(f"{method}: the node says {message!r} (code {code}){hint}")


def parse_range(text: str) -> tuple[str, str]:
    """``BLOCK`` or ``BLOCK..BLOCK``, each a number (decimal, or hexadecimal with 0x) or one of :data:`TAGS`.

    Raises:
        NodeError: anything else.
    """
    first, separator, last = text.partition("..")
    return _place(first), _place(last) if separator else _place(first)


def _place(text: str) -> str:
    if text in TAGS:
        return text
    try:
        number = int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise NodeError(f"{text[:80]!r} is neither a block's number nor one of {', '.join(TAGS)}")
    return hex(number)


def fetch(
    node: Node,
    first: str,
    last: str,
    fork: str | Mapping[str, int] | None = None,
    progress: Progress | None = None,
    limits: Limits = NO_LIMITS,
    complete: bool = True,
) -> Fetched:
    """The batch of some blocks that follow each other.

    Args:
        node: where they are.
        first, last: as :func:`parse_range` gives them.
        fork: as in a batch file; asked of the node where it is left out and the headers do not say it.
        progress: called with how many blocks are there, and of how many.
        limits: of the execution that finds what the witnesses lack; beyond them nobody looks for it.
        complete: whether to look for it at all.

    Raises:
        NodeError: the node lacks a block or a method, cannot be reached, or its chain changed meanwhile.
        MissingState: the witnesses lack something, and the node does not show it when asked.
        BatchError: what it gives makes no batch.
    """
    chain_id = _quantity(node.call("eth_chainId"), "eth_chainId")
    head = _block(node, last)
    end = _quantity(head.get("number"), "number of the last block")
    start = _quantity(first if first.startswith("0x") else _block(node, first).get("number"), "number of a block")
    if start == 0:
        raise NodeError("block 0 is the genesis, which is not executed: begin at block 1")
    if start > end:
        raise NodeError(f"block {start} comes after block {end}, the last one that is wanted")
    if end - start >= MAX_BLOCKS:
        raise NodeError(f"blocks {start} to {end} are {end - start + 1}: up to {MAX_BLOCKS} can be fetched at once")
    blocks: list[dict[str, Any]] = []
    witnesses: list[dict[str, list[Any]]] = []
    for number in range(start, end + 1):
        block = _block(node, hex(number))
        if blocks and block.get("parentHash") != blocks[-1].get("hash"):
            raise NodeError(f"block {number} does not follow the one before it: the chain changed; fetch it again")
        found = node.call(_WITNESS, hex(number))
        if not isinstance(found, dict):
            raise NodeError(f"{_WITNESS} of block {number} is no object")
        witnesses.append({name: _items(found.get(name), name, number) for name in _PARTS})
        blocks.append(block)
        if progress is not None:
            progress(len(blocks), end - start + 1)
    if blocks[-1].get("hash") != head.get("hash"):
        raise NodeError(f"block {end} was replaced meanwhile: the chain changed; fetch it again")
    document = {
        "format": FORMAT,
        "chainId": chain_id,
        "fork": _fork(node, blocks, chain_id) if fork is None else fork,
        "witness": _together(witnesses, start),
        "blocks": blocks,
    }
    batch = batch_of_file(document, "what the node gives")
    completed = 0
    if complete:
        batch, completed = _complete(node, document, batch, limits)
    return Fetched(document, batch, start, end, blocks[-1]["hash"], completed)


def join(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One batch file of several that were fetched, whose blocks follow each other.

    What a block needs of the state before the batch is in its own witness, or, where a block before it changed that, in
    the witness of the first one that did: all witnesses together are enough.

    Raises:
        BatchError: they are of several chains or forks, or do not follow each other.
    """
    first = documents[0]
    if any(document[name] != first[name] for document in documents for name in ("format", "chainId", "fork")):
        raise BatchError("batch files of several chains or forks cannot be joined")
    blocks = [block for document in documents for block in document["blocks"]]
    for before, block in pairwise(blocks):
        if block["parentHash"] != before["hash"]:
            raise BatchError(f"block {block['hash']} does not follow block {before['hash']}")
    witness = _together([document["witness"] for document in documents], parse_quantity(blocks[0]["number"]))
    return {**first, "witness": witness, "blocks": blocks}


def _together(witnesses: Sequence[Mapping[str, list[Any]]], first: int) -> dict[str, list[Any]]:
    """Witnesses of blocks that follow each other in one: each item once, and headers of blocks before the first one.

    Later headers follow from the blocks; what BLOCKHASH can ask for is then never more than a witness may have.
    """
    together: dict[str, dict[str, Any]] = {name: {} for name in _PARTS}
    for witness in witnesses:
        for name, items in together.items():
            items.update((json.dumps(item, sort_keys=True), item) for item in witness[name])
    headers = [header for header in together["headers"].values() if not _is_of(header, first)]
    return {name: list(items.values()) for name, items in together.items()} | {"headers": headers}


def _is_of(header: Any, first: int) -> bool:
    """Whether a header is of a block from this number on; what is no header is left for who reads the witness."""
    try:
        number = header["number"] if isinstance(header, dict) else rlp.decode(parse_data(header))[NUMBER].hex()
        return int(number or "0", 16) >= first
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, rlp.exceptions.RLPException):
        return False


def _complete(node: Node, document: dict[str, Any], batch: Batch, limits: Limits) -> tuple[Batch, int]:
    """Ask the node for what the witness of a batch file lacks, and put it there.

    Returns:
        The batch, and how many accounts and slots were asked for.

    Raises:
        MissingState: the node does not show what is missing.
        BatchError: the file is no batch. What else execution has against it is for who executes it.
    """
    asked = 0
    for _ in range(_ROUNDS):
        try:
            execute(batch, limits=limits)
        except MissingState as error:
            missing = error
        except (BatchError, UnsupportedFeature, LimitExceeded):
            return batch, asked
        else:
            return batch, asked
        parts = _shown(node, missing, document["blocks"][0]["parentHash"])
        witness = document["witness"]
        known = {name: set(witness[name]) for name in parts}
        news = {name: [item for item in items if item not in known[name]] for name, items in parts.items()}
        if not any(news.values()):
            raise missing
        for name, items in news.items():
            witness[name] += dict.fromkeys(items)
        batch = batch_of_file(document, "what the node gives")
        asked += sum(1 + len(slots) for slots in missing.accounts.values()) + len(missing.codes)
    raise missing


def _shown(node: Node, missing: MissingState, block_hash: str) -> dict[str, list[str]]:
    """The nodes and codes, in hexadecimal, that show what is missing in the state after a block.

    Raises:
        MissingState: the node does not show it.
    """
    place = {"blockHash": block_hash}  # EIP-1898: of this block, and no other of its number
    state, codes = [], []
    try:
        for address, slots in missing.accounts.items():
            keys = [f"0x{slot:064x}" for slot in slots]
            proof = node.call(_PROOF, f"0x{address.hex()}", keys, place)
            state += proof["accountProof"]
            for item in proof["storageProof"]:
                state += item["proof"]
        codes += [node.call("eth_getCode", f"0x{address.hex()}", place) for address in missing.codes]
        items = {"state": state, "codes": codes}
        return {name: [f"0x{parse_data(item).hex()}" for item in found] for name, found in items.items()}
    except (TypeError, KeyError, ValueError):
        why = f"what {_PROOF} answers about it is no proof"
    except NodeError as error:
        why = error.reason
    raise MissingState(f"{missing.reason}; {why}", block=missing.block, transaction=missing.transaction)


def _fork(node: Node, blocks: list[dict[str, Any]], chain_id: int) -> str | Mapping[str, int]:
    """The fork of blocks: what their headers say, or else the rules that the node has now.

    Raises:
        AmbiguousFork: neither says it.
        NodeError: the rules are of no fork that is known.
        BatchError: a block is malformed, or they are of several forks.
    """
    try:
        return fork_of(blocks, chain_id)
    except AmbiguousFork:
        rules = _rules_now(node)
        if rules is None or rules.since > parse_quantity(blocks[0].get("timestamp")):
            raise
    differences = {name: rules.differences(_rules_of(fork)) for name, fork in FORKS.items()}
    nearest, found = min(differences.items(), key=lambda item: len(item[1]))
    if not found:
        return nearest
    raise NodeError(
        f"the node's rules (eth_config) are of no fork that is known: they are nearest to {nearest}, but differ in "
        f"{' and '.join(found)}; if the blocks are of a known one all the same, say so with --fork"
    )


@dataclass(frozen=True)
class _Rules:
    """What EIP-7910 tells of a fork, but for the contract of deposits, which is another on each chain."""

    since: int  # Unix time in seconds
    precompiles: frozenset[bytes]
    system_contracts: frozenset[bytes]
    blobs: tuple[int, int, int]  # target and maximum in a block, update fraction

    def differences(self, other: _Rules) -> list[str]:
        """What is not the same, in words."""
        names = ("precompiles", "system_contracts", "blobs")
        return [name.replace("_", " ") for name in names if getattr(self, name) != getattr(other, name)]


def _rules_of(fork: Fork) -> _Rules:
    blobs = fork.blobs
    target, most = (gas // blobs.gas_per_blob for gas in (blobs.target_gas_per_block, blobs.max_gas_per_block))
    contracts = frozenset(fork.system_contracts)
    return _Rules(0, fork.precompiles, contracts, (target, most, blobs.base_fee_update_fraction))


def _rules_now(node: Node) -> _Rules | None:
    """The node's rules; None where it does not tell: many do not know the method, and nobody needs it."""
    try:
        rules = node.call("eth_config")["current"]
        precompiles, contracts, blobs = (rules[name] for name in ("precompiles", "systemContracts", "blobSchedule"))
        target, most, fraction = (parse_quantity(blobs[name]) for name in _BLOBS)
        return _Rules(
            parse_quantity(rules["activationTime"]),
            frozenset(parse_data(address, 20) for address in precompiles.values()),
            frozenset(parse_data(address, 20) for name, address in contracts.items() if name != _DEPOSITS),
            (target, most, fraction),
        )
    except (NodeError, TypeError, KeyError, ValueError, AttributeError):
        return None


_BLOBS = ("target", "max", "baseFeeUpdateFraction")
_DEPOSITS = "DEPOSIT_CONTRACT_ADDRESS"


def _items(value: Any, name: str, number: int) -> list[Any]:
    """Of a list, or of an object by hash."""
    items = list(value.values()) if isinstance(value, dict) else [] if value is None else value
    if not isinstance(items, list):
        raise NodeError(f"{_WITNESS} of block {number}: {name} is no list")
    return items


def _block(node: Node, place: str) -> dict[str, Any]:
    block = node.call("eth_getBlockByNumber", place, True)
    if block is None:
        raise NodeError(f"the node has no block {int(place, 16) if place.startswith('0x') else place}")
    if not isinstance(block, dict):
        raise NodeError(f"eth_getBlockByNumber of {place} is no object")
    if not isinstance(block.get("hash"), str):
        raise NodeError(f"eth_getBlockByNumber of {place} has no hash: it is no block of the chain yet")
    return block


def _quantity(value: Any, what: str) -> int:
    try:
        return parse_quantity(value)
    except (TypeError, ValueError):
        raise NodeError(f"{what}: not a quantity: {str(value)[:80]!r}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
