"""Ether transfers, contract creations, and the ray tracer."""

from __future__ import annotations

from functools import cache

from scripts.workloads.assembler import assemble
from scripts.workloads.predeployment import Predeployment, created2_address, created_address
from scripts.workloads.toolchain import CodeSource
from scripts.workloads.traffic import Call, Traffic, Wallet, Workload, call_data
from scripts.workloads.traffic_tokens import SOLIDITY, VYPER, YUL, TokenKind
from scripts.workloads.transfers import CHAIN_ID, ETHER, GENESIS_TIME

TRANSFER_GAS = 21_000  # GAS_TX_BASE of the execution specs


class EtherTraffic(Traffic):
    """Plain transfers to accounts that only receive, and that do not exist before."""

    def __init__(self, workload: Workload, senders: list[Wallet], receivers: list[Wallet]) -> None:
        self._workload = workload
        self._senders = senders
        self._receivers = receivers
        self._received: dict[bytes, int] = {}

    def balances(self) -> dict[bytes, int]:
        """What each account received."""
        return dict(self._received)

    def next(self) -> Call:
        """A transfer by chance, of up to one ether."""
        chance = self._workload.chance
        to, value = chance.choice(self._receivers).address, 1 + chance.randrange(ETHER)
        self._received[to] = self._received.get(to, 0) + value
        return Call(chance.choice(self._senders), to, TRANSFER_GAS, value=value)


class CreationTraffic(Traffic):
    """Creations by transactions and through the deployer contract, by CREATE and CREATE2."""

    GAS = 6_000_000
    DEPLOYER_GAS = 3_000_000

    def __init__(self, workload: Workload, code: CodeSource) -> None:
        self._workload = workload
        self._code = code
        self._created: dict[bytes, bool] = {}
        self._nonces: dict[bytes, int] = {}  # of deployers

    def created(self) -> dict[bytes, bool]:
        """Which accounts have code."""
        return dict(self._created)

    def create(
        self, sender: Wallet, code: bytes, *, logs: int = 0, succeeds: bool = True, remains: bool = True, gas: int = GAS
    ) -> tuple[Call, bytes]:
        """A creation transaction, and the address. ``remains``: there is code at the address in the end."""
        address = created_address(sender.address, self._workload.next_nonce(sender))
        self._created[address] = succeeds and remains
        return Call(sender, None, gas, code, succeeds=succeeds, logs=logs if succeeds else 0), address

    def create_token(self, sender: Wallet, kind: TokenKind) -> tuple[Call, bytes]:
        """A creation transaction of a token."""
        return self.create(sender, kind.creation_code(self._code), logs=1)

    def through_deployer(
        self,
        sender: Wallet,
        deployer: bytes,
        code: bytes,
        *,
        salt: bytes | None = None,
        logs: int = 0,
        fails: bool = False,
    ) -> tuple[Call, bytes]:
        """A creation by a deployer contract, with CREATE2 where there is a salt. Creations with code twice fail."""
        nonce = self._nonces.get(deployer, 1)  # EIP-161: contracts begin with nonce 1
        if salt is None:
            address = created_address(deployer, nonce)
            data = call_data("create(bytes)", code)
        else:
            address = created2_address(deployer, salt, code)
            data = call_data("create2(bytes32,bytes)", salt, code)
        succeeds = not fails and not self._created.get(address, False)
        if succeeds:
            # The deployer reverts where a creation fails, and its nonce with it.
            self._nonces[deployer] = nonce + 1
        self._created[address] = self._created.get(address, False) or succeeds
        call = Call(sender, deployer, self.DEPLOYER_GAS, data, succeeds=succeeds, logs=(1 + logs) * succeeds)
        return call, address

    def pair(self, sender: Wallet, factory: bytes, pair: bytes, first: bytes, second: bytes) -> Call:
        """A pair of Uniswap, created by its factory with CREATE2."""
        succeeds = not self._created.get(pair, False)
        self._created[pair] = True
        data = call_data("createPair(address,address)", first, second)
        return Call(sender, factory, self.DEPLOYER_GAS, data, succeeds=succeeds, logs=int(succeeds))


TOKEN_KINDS = (SOLIDITY, VYPER, YUL)

# Creation code: destroys itself while it runs (EIP-6780), gives code that begins with 0xef (EIP-3541), gives more code
# than a contract may have (EIP-170), and gives no code at all.
SELF_DESTRUCTING = assemble("caller selfdestruct")
RESERVED_CODE = assemble("0xef 0 mstore8 1 0 return")
OVERSIZED_CODE = assemble("0x6001 0 return")
NO_CODE = b""


class SnailtracerTraffic(Traffic):
    """The ray tracer: single pixels of its scene, which is in the pre-state.

    The published code builds the scene, traces four pixels and removes the scene, all in one call of ``Benchmark()``.
    The scene here is the one of that call.

    Args:
        scene: whether the scene is in the pre-state; ``Benchmark()`` needs and leaves none.
    """

    ADDRESS = b"\x5a" * 20
    SEED_SLOT = 19  # of the random numbers
    PIXEL_GAS = 2_500_000  # for each sample
    BENCHMARK_GAS = 180_000_000

    def __init__(self, sender: Wallet, scene: bool = True) -> None:
        self._sender = sender
        self._scene = scene

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Put the ray tracer, and the scene, into the pre-state."""
        state.put_code(self.ADDRESS, code.snailtracer())
        if self._scene:
            state.put_storage(self.ADDRESS, dict(scene(code.snailtracer())))

    def pixel(self, column: int, row: int, samples: int) -> Call:
        """Trace one pixel of a picture of 1024 by 768."""
        data = call_data("TracePixel(int256,int256,int256)", column, row, samples)
        return Call(self._sender, self.ADDRESS, self.PIXEL_GAS * samples, data)

    def benchmark(self) -> Call:
        """The whole benchmark."""
        return Call(self._sender, self.ADDRESS, self.BENCHMARK_GAS, call_data("Benchmark()"))


@cache
def scene(code: bytes) -> tuple[tuple[int, int], ...]:
    """Slots and values of the scene: what the benchmark writes before it removes it."""
    state = Predeployment(CHAIN_ID, GENESIS_TIME)
    state.put_code(SnailtracerTraffic.ADDRESS, code)
    state.call(bytes(20), SnailtracerTraffic.ADDRESS, call_data("Benchmark()"))
    return tuple(sorted(state.written(SnailtracerTraffic.ADDRESS).items()))
