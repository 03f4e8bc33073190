"""Uniswap V2: the published factory, pair, router and wrapped ether, and a model of them in Python."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from math import isqrt

from eth_utils.crypto import keccak

from scripts.workloads.predeployment import Predeployment, created_address
from scripts.workloads.toolchain import CodeSource
from scripts.workloads.traffic import (
    WALLET_BALANCE,
    Call,
    Storage,
    Traffic,
    Wallet,
    Workload,
    arguments_data,
    call_data,
    mapping_slot,
    wallet,
)
from scripts.workloads.traffic_tokens import TokenTraffic
from scripts.workloads.transfers import ETHER

# keccak256 of the pair's creation code, as UniswapV2Library.pairFor of the published router has it.
PAIR_CODE_HASH = bytes.fromhex("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f")
MINIMUM_LIQUIDITY = 1_000  # UniswapV2Pair: burned with the first liquidity

GAS = 600_000
CREATE_PAIR_GAS = 4_000_000
UNLIMITED = 2**256 - 1
NOBODY = bytes(20)


def pair_address(factory: bytes, first: bytes, second: bytes) -> bytes:
    """Address of the pair of two tokens (UniswapV2Library.pairFor): by CREATE2 (EIP-1014)."""
    salt = keccak(min(first, second) + max(first, second))
    return keccak(b"\xff" + factory + salt + PAIR_CODE_HASH)[12:]


@dataclass
class _Pool:
    """A pair: reserves of its two assets (in the order of their addresses) and shares in them."""

    address: bytes
    assets: tuple[bytes, bytes]
    reserves: list[int] = field(default_factory=lambda: [0, 0])
    cumulative: list[int] = field(default_factory=lambda: [0, 0])  # prices times seconds, as UQ112.112
    timestamp: int = 0
    shares: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def supply(self) -> int:
        return sum(self.shares.values())

    def update(self, reserves: list[int], timestamp: int) -> None:
        """UniswapV2Pair._update."""
        elapsed = timestamp - self.timestamp
        if elapsed and all(self.reserves):
            for asset, reserve in enumerate(self.reserves):
                price = (self.reserves[1 - asset] << 112) // reserve
                self.cumulative[asset] = (self.cumulative[asset] + price * elapsed) % 2**256
        self.reserves, self.timestamp = reserves, timestamp

    def storage(self) -> Storage:
        """Slots of UniswapV2ERC20 and UniswapV2Pair, in the order of their declarations."""
        slots = {0: self.supply, 6: int.from_bytes(self.assets[0]), 7: int.from_bytes(self.assets[1])}
        slots[8] = self.reserves[0] | self.reserves[1] << 112 | self.timestamp << 224
        slots[9], slots[10] = self.cumulative
        slots |= {mapping_slot(1, owner): share for owner, share in self.shares.items()}
        return {(self.address, slot): value for slot, value in slots.items()}


class ExchangeTraffic(Traffic):
    """Liquidity and swaps through the router.

    Args:
        tokens: that are traded, all deployed before.
        traders: accounts that swap.
    """

    def __init__(self, workload: Workload, name: str, tokens: list[TokenTraffic], traders: list[Wallet]) -> None:
        self._workload = workload
        self._creator = wallet(name)
        self.weth, self.factory, self.router = (created_address(self._creator.address, nonce) for nonce in range(3))
        self._tokens = tokens
        self._traders = traders
        self._wrapped: defaultdict[bytes, int] = defaultdict(int)
        self._books: dict[bytes, dict[bytes, int]] = {token.address: token.balance for token in tokens}
        self._books[self.weth] = self._wrapped
        self._pools: dict[tuple[bytes, bytes], _Pool] = {}
        self._allowed: set[tuple[bytes, bytes]] = set()  # asset or pool, owner
        self._prepared: list[Call] = []

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Create the contracts, and run the calls that were made with :meth:`prepare`."""
        creator = self._creator.address
        creations = (
            code.creation_code("WETH9"),
            code.creation_code("UniswapV2Factory") + arguments_data("(address)", creator),
            code.creation_code("UniswapV2Router02") + arguments_data("(address,address)", self.factory, self.weth),
        )
        if [state.create(creator, creation) for creation in creations] != [self.weth, self.factory, self.router]:
            raise ValueError("the creator has sent transactions before")
        for sender in {call.sender.address for call in self._prepared}:
            state.fund(sender, WALLET_BALANCE)
        for call in self._prepared:
            if call.to is None or not call.succeeds:
                raise ValueError("a set-up has message calls that succeed")
            state.call(call.sender.address, call.to, call.data, call.value)

    def prepare(self, call: Call) -> None:
        """Let a call that was just made be part of the pre-state, instead of a transaction."""
        self._prepared.append(call)

    def storage(self) -> Storage:
        """Wrapped ether and all slots of the pools; the tokens' balances are in their own books."""
        slots = {(self.weth, mapping_slot(3, owner)): amount for owner, amount in self._wrapped.items()}
        for pool in self._pools.values():
            slots |= pool.storage()
        return slots

    def shares(self, owner: Wallet, first: bytes, second: bytes) -> int:
        """What an account has of a pool."""
        return self._pool(first, second).shares[owner.address]

    def approve(self, sender: Wallet, asset: bytes) -> Call:
        """Let the router move an asset of the sender."""
        self._allowed.add((asset, sender.address))
        return Call(sender, asset, GAS, call_data("approve(address,uint256)", self.router, UNLIMITED), logs=1)

    def approve_shares(self, sender: Wallet, first: bytes, second: bytes) -> Call:
        """Let the router move the sender's share of a pool."""
        return self.approve(sender, self._pool(first, second).address)

    def add(self, sender: Wallet, token: bytes, other: bytes, amount: int, other_amount: int) -> Call:
        """Add liquidity of at most these amounts; ``other`` may be wrapped ether, and is paid in ether then."""
        pool = self._pool(token, other)
        created = not pool.supply
        used, other_used = amount, other_amount
        if not created:
            # UniswapV2Router02._addLiquidity
            reserve, other_reserve = self._reserves(token, other)
            other_used = amount * other_reserve // reserve
            if other_used > other_amount:
                used, other_used = other_amount * reserve // other_reserve, other_amount
        allowed = (token, sender.address) in self._allowed
        succeeds = allowed and self._books[token].get(sender.address, 0) >= used
        if other != self.weth:
            succeeds = succeeds and (other, sender.address) in self._allowed
            succeeds = succeeds and self._books[other].get(sender.address, 0) >= other_used
        if succeeds:
            self._pay(token, sender.address, pool.address, used)
            self._pay(other, sender.address, pool.address, other_used)
            self._mint(pool, sender.address)
        deadline = self._workload.timestamp
        if other == self.weth:
            signature = "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)"
            data = call_data(signature, token, amount, 0, 0, sender.address, deadline)
        else:
            signature = "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)"
            data = call_data(signature, token, other, amount, other_amount, 0, 0, sender.address, deadline)
        # Two transfers, a mint, Sync, Mint; PairCreated and the burned shares of a new pair; Deposit of ether.
        logs = 5 + 2 * created + (other == self.weth)
        value = other_amount if other == self.weth else 0
        gas = CREATE_PAIR_GAS if created else GAS
        return Call(sender, self.router, gas, data, value, succeeds, logs * succeeds)

    def remove(self, sender: Wallet, token: bytes, other: bytes, shares: int) -> Call:
        """Give back shares of a pool; ``other`` may be wrapped ether, and is paid out in ether then."""
        pool = self._pool(token, other)
        succeeds = pool.shares[sender.address] >= shares > 0 and (pool.address, sender.address) in self._allowed
        if succeeds:
            supply = pool.supply
            pool.shares[sender.address] -= shares
            for asset in pool.assets:
                book = self._books[asset]
                self._pay(asset, pool.address, sender.address, shares * book[pool.address] // supply)
            pool.update(self._held(pool), self._workload.timestamp)
            self._unwrap(sender.address)
        deadline = self._workload.timestamp
        if other == self.weth:
            signature = "removeLiquidityETH(address,uint256,uint256,uint256,address,uint256)"
            data = call_data(signature, token, shares, 0, 0, sender.address, deadline)
        else:
            signature = "removeLiquidity(address,address,uint256,uint256,uint256,address,uint256)"
            data = call_data(signature, token, other, shares, 0, 0, sender.address, deadline)
        # Shares to the pair and burned, two transfers, Sync, Burn; the token on from the router, and Withdrawal.
        logs = 8 if other == self.weth else 6
        return Call(sender, self.router, GAS, data, succeeds=succeeds, logs=logs * succeeds)

    def swap(self, sender: Wallet, path: list[bytes], amount: int, *, expect: int = 0, expired: bool = False) -> Call:
        """Swap exactly ``amount`` of the path's first asset for at least ``expect`` of the last one."""
        amounts = [amount]
        for step in pairwise(path):
            reserve, other = self._reserves(*step)
            fed = amounts[-1] * 997  # UniswapV2Library.getAmountOut: 0.3% stays in the pool
            amounts.append(fed * other // (reserve * 1000 + fed))
        succeeds = amounts[-1] >= expect and not expired and self._can_pay(sender, path[0], amount)
        deadline = self._workload.timestamp - expired
        if path[0] == self.weth:
            signature = "swapExactETHForTokens(uint256,address[],address,uint256)"
            data = call_data(signature, expect, path, sender.address, deadline)
        else:
            name = "swapExactTokensForETH" if path[-1] == self.weth else "swapExactTokensForTokens"
            data = call_data(
                f"{name}(uint256,uint256,address[],address,uint256)", amount, expect, path, sender.address, deadline
            )
        return self._swap(sender, path, amounts, data, amount, succeeds)

    def swap_for(self, sender: Wallet, path: list[bytes], amount: int, limit: int) -> Call:
        """Swap at most ``limit`` of the path's first asset for exactly ``amount`` of the last one."""
        amounts = [amount]
        for asset, other in reversed(list(pairwise(path))):
            reserve, other_reserve = self._reserves(asset, other)
            # UniswapV2Library.getAmountIn
            amounts.insert(0, reserve * amounts[0] * 1000 // ((other_reserve - amounts[0]) * 997) + 1)
        succeeds = amounts[0] <= limit and self._can_pay(sender, path[0], amounts[0])
        deadline = self._workload.timestamp
        if path[0] == self.weth:
            signature = "swapETHForExactTokens(uint256,address[],address,uint256)"
            data = call_data(signature, amount, path, sender.address, deadline)
        else:
            name = "swapTokensForExactETH" if path[-1] == self.weth else "swapTokensForExactTokens"
            data = call_data(
                f"{name}(uint256,uint256,address[],address,uint256)", amount, limit, path, sender.address, deadline
            )
        return self._swap(sender, path, amounts, data, limit, succeeds)

    def next(self) -> Call:
        """A swap by chance, in pools that have liquidity; some ask too much and fail."""
        chance = self._workload.chance
        pool = chance.choice([pool for pool in self._pools.values() if pool.supply])
        path = list(pool.assets)
        chance.shuffle(path)
        reserve = self._reserves(*path)[0]
        senders = [sender for sender in self._traders if self._can_pay(sender, path[0], reserve // 1000)]
        if not senders:
            path.reverse()
            return self._next_from(path, self._traders)
        return self._next_from(path, senders)

    def _next_from(self, path: list[bytes], senders: list[Wallet]) -> Call:
        chance = self._workload.chance
        sender = chance.choice(senders)
        reserve, other = self._reserves(*path)
        amount = 1 + chance.randrange(reserve // 1000)
        match chance.randrange(10):
            case 0:
                return self.swap(sender, path, amount, expect=other)
            case 1 | 2 | 3:
                return self.swap_for(sender, path, 1 + chance.randrange(other // 2000), 2 * reserve // 1000)
            case _:
                return self.swap(sender, path, amount, expect=1)

    def _swap(
        self, sender: Wallet, path: list[bytes], amounts: list[int], data: bytes, paid: int, succeeds: bool
    ) -> Call:
        logs = 1 + 3 * (len(path) - 1) + (path[0] == self.weth) + (path[-1] == self.weth)
        if succeeds:
            pools = [self._pool(*step) for step in pairwise(path)]
            self._pay(path[0], sender.address, pools[0].address, amounts[0])
            receivers = [*(pool.address for pool in pools[1:]), sender.address]
            for pool, receiver, asset, amount in zip(pools, receivers, path[1:], amounts[1:], strict=True):
                self._pay(asset, pool.address, receiver, amount)
                pool.update(self._held(pool), self._workload.timestamp)
            self._unwrap(sender.address)
        value = paid if path[0] == self.weth else 0
        return Call(sender, self.router, GAS, data, value, succeeds, logs * succeeds)

    def _pool(self, first: bytes, second: bytes) -> _Pool:
        assets = (min(first, second), max(first, second))
        if assets not in self._pools:
            self._pools[assets] = _Pool(pair_address(self.factory, first, second), assets)
        return self._pools[assets]

    def _reserves(self, first: bytes, second: bytes) -> tuple[int, int]:
        pool = self._pool(first, second)
        reserve, other = pool.reserves
        return (reserve, other) if first == pool.assets[0] else (other, reserve)

    def _held(self, pool: _Pool) -> list[int]:
        return [self._books[asset].get(pool.address, 0) for asset in pool.assets]

    def _can_pay(self, sender: Wallet, asset: bytes, amount: int) -> bool:
        if asset == self.weth:
            return True  # in ether, of which every wallet has enough
        return self._books[asset].get(sender.address, 0) >= amount and (asset, sender.address) in self._allowed

    def _pay(self, asset: bytes, sender: bytes, to: bytes, amount: int) -> None:
        book = self._books[asset]
        # Ether is wrapped on the way into a pool.
        if asset != self.weth or sender in {pool.address for pool in self._pools.values()}:
            book[sender] -= amount
        book[to] = book.get(to, 0) + amount

    def _unwrap(self, owner: bytes) -> None:
        """The router pays wrapped ether out as ether."""
        self._wrapped.pop(owner, None)

    def _mint(self, pool: _Pool, owner: bytes) -> None:
        """UniswapV2Pair.mint, without a protocol fee."""
        held = self._held(pool)
        first, second = (amount - reserve for amount, reserve in zip(held, pool.reserves, strict=True))
        supply = pool.supply
        if supply:
            minted = min(first * supply // pool.reserves[0], second * supply // pool.reserves[1])
        else:
            minted = isqrt(first * second) - MINIMUM_LIQUIDITY
            pool.shares[NOBODY] = MINIMUM_LIQUIDITY
        pool.shares[owner] += minted
        pool.update(held, self._workload.timestamp)


def exchange_with_liquidity(
    workload: Workload, name: str, tokens: list[TokenTraffic], traders: list[Wallet]
) -> ExchangeTraffic:
    """An exchange whose pools of every token with ether, and of the first two tokens, are filled in the pre-state."""
    exchange = ExchangeTraffic(workload, name, tokens, traders)
    provider = traders[0]
    for token in tokens:
        for trader in traders:
            exchange.prepare(exchange.approve(trader, token.address))
        half = token.balance[provider.address] // 4
        exchange.prepare(exchange.add(provider, token.address, exchange.weth, half, 100 * ETHER))
    first, second = tokens[0], tokens[1]
    amounts = (token.balance[provider.address] // 2 for token in (first, second))
    exchange.prepare(exchange.add(provider, first.address, second.address, *amounts))
    return exchange
