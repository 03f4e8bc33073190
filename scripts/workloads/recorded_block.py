"""A block of mainnet as a batch: ``python -m scripts.workloads.recorded_block CASE HEADER``.

``CASE`` and ``HEADER`` are what Polygon Zero's prover (repository 0xPolygonZero/zk_evm, licences MIT and Apache 2.0)
keeps of a block for its tests: the pre-state that the block needs in Erigon's block witness format, the signed
transactions, the block's context, and the block as ``eth_getBlockByNumber`` gives it. The example is
``trace_decoder/tests/cases/b19807080_main.json`` and ``b19807080_main_header.json`` there, at commit :data:`COMMIT`.

The parent's header is in neither. The one of the batch is made up around the state root, with the number, gas and base
fee that give the block its own; so the block's header is mainnet's in all but the hash of its parent. The witness is
cut down to what the execution needs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import rlp
from eth_utils.crypto import keccak

from executor.batch import Batch, Witness, batch_from_document
from executor.execute import execute
from executor.state_keys import EMPTY_CODE_HASH
from scripts.workloads.build_examples import EXAMPLES, MAINNET, file_text

COMMIT = "ef388619ffbd5305209519a3a5bc0396185d68ac"

EMPTY_TRIE_ROOT = keccak(rlp.encode(b""))
EMPTY_OMMERS = keccak(rlp.encode([]))  # EIP-3675
TARGET_BLOB_GAS = 393_216  # EIP-4844: a block with so much leaves no excess
ELASTICITY = 2  # EIP-1559: a block that uses a half of its gas limit leaves the base fee as it is

# Bits of an account leaf.
_HAS_CODE, _HAS_STORAGE, _HAS_NONCE, _HAS_BALANCE = 1, 2, 4, 8
_ODD = 1  # bit of a key


class WitnessError(ValueError):
    """Not a block witness."""


@dataclass
class _Reader:
    """Bytes, front to back; what is no witness is a WitnessError."""

    data: bytes
    place: int = 0

    def take(self, size: int) -> bytes:
        self.place += size
        if self.place > len(self.data):
            raise WitnessError(f"it ends within the {size} bytes before place {self.place}")
        return self.data[self.place - size : self.place]

    def cbor(self, kind: int) -> int:
        """The argument of a CBOR item of this major type (RFC 8949): 0 an unsigned integer, 2 a byte string."""
        (first,) = self.take(1)
        if first >> 5 != kind or first & 31 > 27:
            raise WitnessError(f"no CBOR item of type {kind} at place {self.place - 1}")
        short = first & 31
        return short if short < 24 else int.from_bytes(self.take(1 << (short - 24)), "big")

    def bytes(self) -> bytes:
        """A CBOR byte string."""
        return self.take(self.cbor(2))

    def nibbles(self) -> tuple[int, ...]:
        """A part of a path: a single nibble in a byte; or flags, then two nibbles a byte, maybe one in the last."""
        packed = self.bytes()
        if len(packed) == 1:
            return (packed[0],)
        path = tuple(half for byte in packed[1:] for half in (byte >> 4, byte & 15))
        return path[:-1] if packed[0] & _ODD else path


@dataclass
class PreState:
    """What a block witness tells: nodes of the tries (RLP, those that are referred to by their hashes) and codes."""

    root: bytes = EMPTY_TRIE_ROOT
    nodes: list[bytes] = field(default_factory=list)
    codes: list[bytes] = field(default_factory=list)

    def _reference(self, node: Any) -> Any:
        """What a node above says of a node: its hash, or itself if it is short (yellow paper, appendix D)."""
        if isinstance(node, bytes):
            return node  # the hash of one that is not told
        encoded = rlp.encode(node)
        return self._named(encoded) if len(encoded) >= 32 else node

    def _named(self, encoded: bytes) -> bytes:
        self.nodes.append(encoded)
        return keccak(encoded)

    def _root_of(self, node: Any) -> bytes:
        """Hash of the uppermost node of a trie."""
        return node if isinstance(node, bytes) else self._named(rlp.encode(node))


def read_witness(witness: bytes) -> PreState:
    """Read a block witness: instructions of a stack machine that builds the account trie from its leaves upwards.

    The format is Erigon's (``docs/programmers_guide/witness_format.md`` there), with what it writes beyond that: the
    length of the code in an account leaf, and an instruction for an empty trie.

    Raises:
        WitnessError: it is none.
    """
    reader, state, stack = _Reader(witness, 1), PreState(), list[Any]()
    try:
        while reader.place < len(witness):
            (instruction,) = reader.take(1)
            match instruction:
                case 0x00:  # a leaf of a storage trie
                    key, value = reader.nibbles(), reader.bytes()
                    stack.append([_compact(key, leaf=True), rlp.encode(value)])
                case 0x01:
                    stack.append([_compact(reader.nibbles(), leaf=False), state._reference(stack.pop())])
                case 0x02:
                    mask = reader.cbor(0)
                    children: list[Any] = [b""] * 17
                    for nibble in reversed([nibble for nibble in range(16) if mask >> nibble & 1]):
                        children[nibble] = state._reference(stack.pop())
                    stack.append(children)
                case 0x03:
                    stack.append(reader.take(32))
                case 0x04:
                    code = reader.bytes()
                    state.codes.append(code)
                    stack.append(keccak(code))
                case 0x05:
                    stack.append(_account_leaf(reader, state, stack))
                case 0x06:
                    stack.append(EMPTY_TRIE_ROOT)
                case _:
                    raise WitnessError(f"unknown instruction {instruction} at place {reader.place - 1}")
        (node,) = stack
    except (IndexError, ValueError) as error:
        raise WitnessError(str(error)) from error
    return replace(state, root=state._root_of(node))


def _account_leaf(reader: _Reader, state: PreState, stack: list[Any]) -> list[bytes]:
    key = reader.nibbles()
    (flags,) = reader.take(1)
    nonce = reader.cbor(0) if flags & _HAS_NONCE else 0
    balance = int.from_bytes(reader.bytes(), "big") if flags & _HAS_BALANCE else 0
    if flags & _HAS_CODE:
        reader.cbor(0)  # its length
    storage_root = state._root_of(stack.pop()) if flags & _HAS_STORAGE else EMPTY_TRIE_ROOT
    code_hash = stack.pop() if flags & _HAS_CODE else EMPTY_CODE_HASH
    return [_compact(key, leaf=True), rlp.encode([nonce, balance, storage_root, code_hash])]


def _compact(path: tuple[int, ...], leaf: bool) -> bytes:
    """Hex-prefix encoding (yellow paper, appendix C)."""
    odd = len(path) % 2
    nibbles = (2 * leaf + odd, *(() if odd else (0,)), *path)
    return bytes(16 * high + low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def recorded_document(case: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """The batch file's JSON object of a recorded block.

    Args:
        case: an entry of Polygon Zero's case file.
        header: the block, as a node gives it over JSON-RPC.

    Raises:
        WitnessError: the case has no block witness of the state before the block.
        BatchError: the block cannot be executed from it.
    """
    state = read_witness(bytes.fromhex(case["block_trace"]["trie_pre_images"]["combined"]["compact"][2:]))
    root = bytes.fromhex(case["other_data"]["checkpoint_state_trie_root"][2:])
    if state.root != root:
        raise WitnessError(f"it has the root {state.root.hex()} instead of {root.hex()}")
    grandparent = case["other_data"]["b_data"]["b_hashes"]["prev_hashes"][-2]
    parent = _parent(header, state.root, bytes.fromhex(grandparent[2:]))
    document: dict[str, Any] = {
        "format": "zkevm-batch/1",
        "description": f"Block {int(header['number'], 16)} of mainnet; the header of its parent is made up",
        "chainId": int(case["other_data"]["b_data"]["b_meta"]["block_chain_id"], 16),
        "fork": "cancun",
        "parent": _hex(parent),
        "witness": _witness(Witness(tuple(state.nodes), tuple(state.codes))),
        "blocks": [
            {
                "coinbase": header["miner"],
                "timestamp": header["timestamp"],
                "gasLimit": header["gasLimit"],
                "baseFeePerGas": header["baseFeePerGas"],
                "prevRandao": header["mixHash"],
                "parentBeaconBlockRoot": header["parentBeaconBlockRoot"],
                "extraData": header["extraData"],
                "withdrawals": [
                    {name: item[name] for name in ("index", "validatorIndex", "address", "amount")}
                    for item in header["withdrawals"]
                ],
                "transactions": [info["meta"]["byte_code"] for info in case["block_trace"]["txn_info"]],
            }
        ],
    }
    return with_least_witness(document)


def with_least_witness(document: Mapping[str, Any]) -> dict[str, Any]:
    """The batch file's JSON object with no more of a witness than its execution needs."""
    return {**document, "witness": _witness(_least_witness(batch_from_document(document)))}


def _least_witness(batch: Batch) -> Witness:
    witness = execute(batch).witness
    assert witness is not None, "it was executed with a trace"
    return witness


def _witness(witness: Witness) -> dict[str, list[str]]:
    return {"nodes": [_hex(node) for node in witness.nodes], "codes": [_hex(code) for code in witness.codes]}


def _parent(header: Mapping[str, Any], state_root: bytes, parent_hash: bytes) -> bytes:
    """RLP of a header after which the block's number, gas limit and fees are its own."""
    gas_limit = int(header["gasLimit"], 16)
    fields: list[bytes | int] = [
        parent_hash,
        EMPTY_OMMERS,
        bytes(20),  # coinbase
        state_root,
        EMPTY_TRIE_ROOT,  # transactions
        EMPTY_TRIE_ROOT,  # receipts
        bytes(256),
        0,  # difficulty
        int(header["number"], 16) - 1,
        gas_limit,
        gas_limit // ELASTICITY,
        int(header["timestamp"], 16) - 12,
        b"",
        bytes(32),  # PREVRANDAO
        bytes(8),
        int(header["baseFeePerGas"], 16),
        EMPTY_TRIE_ROOT,  # withdrawals
        TARGET_BLOB_GAS,
        int(header["excessBlobGas"], 16),
        bytes(32),  # root of the parent beacon block
    ]
    encoded: bytes = rlp.encode(fields)
    return encoded


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the example of a block of mainnet.")
    parser.add_argument("case", type=Path, metavar="CASE", help="trace_decoder/tests/cases/b19807080_main.json")
    parser.add_argument("header", type=Path, metavar="HEADER", help="b19807080_main_header.json beside it")
    parser.add_argument("--out", type=Path, default=EXAMPLES / f"{MAINNET}.json", help="(default: %(default)s)")
    arguments = parser.parse_args()
    (case,) = json.loads(arguments.case.read_text())
    (header,) = json.loads(arguments.header.read_text())
    document = recorded_document(case, header)
    arguments.out.write_text(file_text(document))


if __name__ == "__main__":
    main()
