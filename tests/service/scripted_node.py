"""A node whose chain is what a script says, and a fetcher that needs no execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_utils.crypto import keccak

from executor.errors import MissingState
from executor.fetch import Fetched, NodeError
from executor.rpc import encode_header

CHAIN_ID = 1337
GENESIS_TIME = 1_000
SECONDS_PER_BLOCK = 12


class ScriptedNode:
    """A node, what it was asked, and what goes wrong with it.

    Attributes:
        blocks: the chain, by number.
        before: called before each answer; raises what is to go wrong.
        answers: what it says instead, by method.
        pruned: blocks below this number have no witness any more.
        incomplete: numbers of blocks whose witness lacks something.
        fork: of the blocks from a number on.
    """

    def __init__(self) -> None:
        self.chain_id = CHAIN_ID
        self.blocks: list[dict[str, Any]] = []
        self.before: Callable[[str], None] = lambda method: None
        self.answers: dict[str, Callable[..., Any]] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.pruned = 0
        self.incomplete: set[int] = set()
        self.forks: dict[int, str] = {}
        self._made = 0
        self._append(GENESIS_TIME, 0)

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def extend(self, count: int = 1, *, gas: int = 21_000, seconds: int = SECONDS_PER_BLOCK) -> None:
        """New blocks on the last one."""
        for _ in range(count):
            self._append(int(self.blocks[-1]["timestamp"], 16) + seconds, gas)

    def reorganise(self, depth: int, count: int | None = None, **fields: int) -> None:
        """Replace the last blocks by others, one more of them unless said otherwise."""
        del self.blocks[len(self.blocks) - depth :]
        self.extend(depth + 1 if count is None else count, **fields)

    def _append(self, time: int, gas: int) -> None:
        # No two blocks are the same: a block that comes again is another one.
        self._made += 1
        parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "00" * 32
        header = {
            "parentHash": parent,
            "sha3Uncles": "0x" + "11" * 32,
            "miner": "0x" + "22" * 20,
            "stateRoot": "0x" + keccak(text=f"state {self._made}").hex(),
            "transactionsRoot": "0x" + "33" * 32,
            "receiptsRoot": "0x" + "44" * 32,
            "logsBloom": "0x" + "00" * 256,
            "difficulty": "0x0",
            "number": hex(len(self.blocks)),
            "gasLimit": "0x1c9c380",
            "gasUsed": hex(gas),
            "timestamp": hex(time),
            "extraData": "0x",
            "mixHash": "0x" + "55" * 32,
            "nonce": "0x0000000000000000",
            "baseFeePerGas": "0x7",
        }
        header["hash"] = "0x" + keccak(encode_header(header, "header")).hex()
        self.blocks.append(header)

    def call(self, method: str, *params: Any) -> Any:
        """As that of `executor.fetch.Node`."""
        self.asked.append((method, *params))
        self.before(method)
        if method in self.answers:
            return self.answers[method](*params)
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            number = self.head if params[0] == "latest" else int(params[0], 16)
            return self.blocks[number] if number <= self.head else None
        raise NodeError(f"the node does not offer {method}")

    def fetch(
        self, node: ScriptedNode, first: str, last: str, fork: Any = None, *, limits: Any = None, complete: bool = True
    ) -> Fetched:
        """As `executor.fetch.fetch`, of a block."""
        assert first == last
        number = int(first, 16)
        self.asked.append(("fetch", number, complete))
        self.before("fetch")
        if number > self.head:
            raise NodeError(f"the node has no block {number}")
        if number < self.pruned:
            raise NodeError(f"debug_executionWitness: the node says 'missing trie node' of block {number}")
        if complete and number in self.incomplete:
            raise MissingState("the witness lacks a node of the state trie: 0xab")
        block = self.blocks[number]
        document = {
            "format": "zkevm-batch/1",
            "chainId": self.chain_id,
            "fork": fork or self.fork_of(number),
            "witness": {"state": [block["stateRoot"]], "codes": [], "headers": [self.blocks[number - 1]]},
            "blocks": [{**block, "transactions": []}],
        }
        return Fetched(document, None, number, number, block["hash"])  # type: ignore[arg-type]

    def fork_of(self, number: int) -> str:
        """The last one that has begun."""
        return max(((since, name) for since, name in self.forks.items() if since <= number), default=(0, "osaka"))[1]
