"""The example files, and contract code as they record it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode

from executor.transactions import decode_transaction
from scripts.workloads.build_examples import EXAMPLES
from scripts.workloads.toolchain import VYPER_TOKEN, YUL_TOKEN
from scripts.workloads.traffic_others import TOKEN_KINDS, SnailtracerTraffic


def path_of(name: str) -> Path:
    """The file of an example."""
    return EXAMPLES / f"{name}.json"


@cache
def document_of(name: str) -> dict[str, Any]:
    """The JSON object of an example; not to be changed."""
    document: dict[str, Any] = json.loads(path_of(name).read_text())
    return document


def account_of(name: str, address: bytes) -> dict[str, Any]:
    """An account in the genesis of an example."""
    account: dict[str, Any] = document_of(name)["genesis"]["alloc"]["0x" + address.hex()]
    return account


class RecordedCode:
    """Contract code from the example files: ``deploy`` has the creation code of every contract."""

    def __init__(self) -> None:
        creations = [
            [decode_transaction(bytes.fromhex(raw[2:]), block=0, transaction=0).data for raw in block["transactions"]]
            for block in document_of("deploy")["blocks"]
        ]
        (solidity, vyper, yul, deployer, collectible), through_deployer, (unborn, *_), published = creations
        _, vault = decode(("bytes32", "bytes"), through_deployer[-1][4:])
        factory, wrapped, router, *_ = published
        arguments = (128 + 96, 128 + 96, 32)  # bytes: two strings of less than 32 bytes and a number; a number
        tokens = [code[:-size] for code, size in zip((solidity, vyper, yul), arguments, strict=True)]
        self._codes = dict(zip((kind.contract for kind in TOKEN_KINDS), tokens, strict=True)) | {
            "Deployer": deployer,
            "Collectible": collectible,
            "Vault": vault,
            "Unborn": unborn,
            "UniswapV2Factory": factory[:-32],
            "WETH9": wrapped,
            "UniswapV2Router02": router[:-64],
        }
        assert {VYPER_TOKEN, YUL_TOKEN} < set(self._codes)

    def creation_code(self, contract: str) -> bytes:
        """Creation code without arguments."""
        return self._codes[contract]

    def snailtracer(self) -> bytes:
        """Runtime code of the ray tracer."""
        return bytes.fromhex(account_of("snailtracer-pixel", SnailtracerTraffic.ADDRESS)["code"][2:])


def recorded_scene() -> dict[int, int]:
    """Slots of the ray tracer's scene."""
    storage = account_of("snailtracer-pixel", SnailtracerTraffic.ADDRESS)["storage"]
    return {int(slot, 16): int(value, 16) for slot, value in storage.items()}
