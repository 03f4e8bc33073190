"""The workloads with contracts, by name: which traffic runs in which block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from scripts.workloads.toolchain import CodeSource
from scripts.workloads.traffic import Call, Workload, arguments_data, call_data, wallet, wallets
from scripts.workloads.traffic_exchange import ExchangeTraffic, exchange_with_liquidity, pair_address
from scripts.workloads.traffic_others import (
    NO_CODE,
    OVERSIZED_CODE,
    RESERVED_CODE,
    SELF_DESTRUCTING,
    TOKEN_KINDS,
    CreationTraffic,
    EtherTraffic,
    SnailtracerTraffic,
)
from scripts.workloads.traffic_precompiles import PrecompileTraffic
from scripts.workloads.traffic_resources import CallTraffic, CopyTraffic, KeccakTraffic, ModexpTraffic, StoreTraffic
from scripts.workloads.traffic_tokens import SOLIDITY, VYPER, YUL, CollectibleTraffic, TokenKind, TokenTraffic
from scripts.workloads.transfers import ETHER

HUNDRED = (30, 20, 0, 25, 25)  # sizes of the blocks of a hundred transactions

CURVE_PRIME = 2**255 - 19  # of Curve25519
RSA_MODULUS = 2**2048 - 1942289  # any odd number of 2048 bits


def _fill(workload: Workload, sizes: Iterable[int], following: Callable[[], Call]) -> Workload:
    for size in sizes:
        workload.block()
        for _ in range(size):
            workload.send(following())
    return workload


def _blocks(workload: Workload, *blocks: list[Callable[[], Call]]) -> Workload:
    """Blocks of calls, each made when it is its turn: the books follow the order of the batch."""
    for block in blocks:
        workload.block()
        for call in block:
            workload.send(call())
    return workload


def _token_workload(name: str, kind: TokenKind, language: str) -> Workload:
    description = f"100 transfers of a token in {language} between 20 accounts, some of which fail"
    # The same seed and names for all three: but for the slots in access lists, the transactions are equal.
    workload = Workload(name, description, seed="erc20")
    traffic = TokenTraffic(workload, kind, "erc20", wallets("erc20 account", 20))
    workload.traffic = [traffic]
    return _fill(workload, HUNDRED, traffic.next)


def erc20(code: CodeSource) -> Workload:
    """OpenZeppelin's ERC20."""
    return _token_workload("erc20", SOLIDITY, "Solidity")


def erc20_vyper(code: CodeSource) -> Workload:
    """The same plan with a token in Vyper."""
    return _token_workload("erc20-vyper", VYPER, "Vyper")


def erc20_yul(code: CodeSource) -> Workload:
    """The same plan with a token in Yul."""
    return _token_workload("erc20-yul", YUL, "Yul")


def nft(code: CodeSource) -> Workload:
    """OpenZeppelin's ERC721."""
    workload = Workload("nft", "100 calls of a collection: mint, approve, transfer, safe transfer; some fail")
    traffic = CollectibleTraffic(workload, "nft", wallets("nft account", 12))
    workload.traffic = [traffic]
    return _fill(workload, HUNDRED, traffic.next)


def uniswap(code: CodeSource) -> Workload:
    """Uniswap V2: three new pools, swaps along them, and liquidity that comes and goes."""
    workload = Workload("uniswap", "Uniswap V2: pools are created, filled, traded in and emptied; some calls fail")
    traders = wallets("uniswap account", 8)
    gold, silver = (TokenTraffic(workload, SOLIDITY, f"uniswap {metal}", traders) for metal in ("gold", "silver"))
    exchange = ExchangeTraffic(workload, "uniswap", [gold, silver], traders)
    workload.traffic = [gold, silver, exchange]
    first, second, third, fourth, *_, pauper = traders
    a, b, ether = gold.address, silver.address, exchange.weth
    call = partial

    approvals: list[Callable[[], Call]] = [
        call(exchange.approve, trader, token) for trader in (first, second, third) for token in (a, b)
    ]
    _blocks(
        workload,
        [
            *approvals,
            call(exchange.add, first, a, b, 50 * ETHER, 40 * ETHER),
            call(exchange.add, second, a, ether, 80 * ETHER, 2 * ETHER),
            call(exchange.add, second, b, ether, 90 * ETHER, 3 * ETHER),
        ],
        [
            call(exchange.add, third, a, b, 5 * ETHER, 5 * ETHER),
            call(exchange.add, third, b, a, 5 * ETHER, 5 * ETHER),
            call(exchange.add, fourth, a, b, 5 * ETHER, 5 * ETHER),  # not approved: fails
            call(exchange.swap, second, [a, b], ETHER),
            call(exchange.swap, second, [b, a], ETHER),
            call(exchange.swap, third, [a, b, ether], ETHER),
            call(exchange.swap, third, [ether, b, a], ETHER // 100),
            call(exchange.swap_for, third, [ether, a], ETHER, ETHER),
            call(exchange.swap_for, third, [a, ether], ETHER // 100, 10 * ETHER),
            call(exchange.swap_for, first, [a, ether, b], ETHER, 10 * ETHER),
            call(exchange.swap, pauper, [ether, a], ETHER // 100),
            call(exchange.swap, third, [ether, a], ETHER // 100, expect=1000 * ETHER),  # asks too much: fails
            call(exchange.swap, third, [ether, a], ETHER // 100, expired=True),  # too late: fails
            call(exchange.swap_for, third, [a, b], ETHER, 10),  # offers too little: fails
        ],
        [],
        [exchange.next] * 24,
        [
            lambda: exchange.remove(first, a, b, exchange.shares(first, a, b)),  # not approved: fails
            call(exchange.approve_shares, first, a, b),
            lambda: exchange.remove(first, a, b, exchange.shares(first, a, b) // 2),
            call(exchange.approve_shares, second, a, ether),
            lambda: exchange.remove(second, a, ether, exchange.shares(second, a, ether)),
            call(exchange.add, third, a, b, 3 * ETHER, 3 * ETHER),
            *[exchange.next] * 8,
        ],
    )
    return workload


def deploy(code: CodeSource) -> Workload:
    """Creations by transactions, by CREATE and by CREATE2, and what can go wrong with them."""
    workload = Workload("deploy", "contract creations by transactions, by CREATE and by CREATE2; some fail")
    creator, user = wallets("deploy account", 2)
    traffic = CreationTraffic(workload, code)
    workload.traffic = [traffic]

    workload.block()
    tokens = []
    for kind in TOKEN_KINDS:
        call, address = traffic.create_token(creator, kind)
        workload.send(call)
        tokens.append(address)
    call, deployer = traffic.create(creator, code.creation_code("Deployer"))
    workload.send(call)
    call, _ = traffic.create(user, code.creation_code("Collectible"), logs=1)
    workload.send(call)

    workload.block()
    solidity = SOLIDITY.creation_code(code)
    for salt in (None, None, bytes(32), bytes(31) + b"\1", bytes(32)):  # the last one is taken: fails
        call, _ = traffic.through_deployer(user, deployer, solidity, salt=salt, logs=1)
        workload.send(call)
    unborn = code.creation_code("Unborn")
    for salt in (None, bytes(32)):
        call, _ = traffic.through_deployer(user, deployer, unborn, salt=salt, fails=True)
        workload.send(call)
    call, _ = traffic.through_deployer(user, deployer, code.creation_code("Vault"), salt=bytes(32))
    workload.send(call)

    workload.block()
    for init, gas, succeeds in (
        (unborn, 100_000, False),
        (RESERVED_CODE, 100_000, False),
        (OVERSIZED_CODE, 6_000_000, False),  # pays for the code first
        (solidity, 500_000, False),  # not enough for the code
        (SELF_DESTRUCTING, 100_000, True),
        (NO_CODE, 100_000, True),
    ):
        call, _ = traffic.create(user, init, succeeds=succeeds, remains=False, gas=gas)
        workload.send(call)

    workload.block()
    call, factory = traffic.create(
        creator, code.creation_code("UniswapV2Factory") + arguments_data("(address)", creator.address)
    )
    workload.send(call)
    call, wrapped = traffic.create(creator, code.creation_code("WETH9"))
    workload.send(call)
    router = code.creation_code("UniswapV2Router02") + arguments_data("(address,address)", factory, wrapped)
    call, _ = traffic.create(creator, router)
    workload.send(call)
    for first, second in ((tokens[0], tokens[1]), (tokens[1], tokens[0]), (tokens[2], wrapped)):  # the second fails
        workload.send(traffic.pair(user, factory, pair_address(factory, first, second), first, second))
    # The new tokens work.
    for token in tokens:
        data = call_data("transfer(address,uint256)", user.address, ETHER)
        workload.send(Call(creator, token, 100_000, data, logs=1))
    return workload


def keccak(code: CodeSource) -> Workload:
    """Hashes of one word, of one block of Keccak-f and around it, of a kilobyte and more, and of nothing."""
    workload = Workload("keccak", "1M gas of Keccak-256")
    traffic = KeccakTraffic(wallet("keccak"))
    workload.traffic = [traffic]
    call = partial(partial, traffic.hash)
    return _blocks(
        workload,
        [call(2_600, 32), call(1_200, 136)],
        [],
        [call(620, 1_024)],
        [call(55, 16_384), call(20, 0), call(20, 135), call(20, 137)],
    )


def sstore(code: CodeSource) -> Workload:
    """Slots that are new, changed, cleared (with refunds), left as they are, changed twice, and reverted."""
    workload = Workload("sstore", "1M gas of storage writes")
    traffic = StoreTraffic(wallet("sstore"))
    workload.traffic = [traffic]
    call, filled = partial(partial, traffic.write), traffic.FILLED
    return _blocks(
        workload,
        [call(1, 7, 1, 1), call(filled, 38, 7, 7)],
        [call(filled + 40, 50, 0, 0), call(filled + 90, 20, 3, 4), call(100, 3, 5, 0, reverts=True)],
        [call(1, 7, 0, 9), call(filled + 120, 20, 0, filled)],
    )


def modexp(code: CodeSource) -> Workload:
    """Short and long numbers, RSA's exponents, an inversion in a field, and an even modulus."""
    workload = Workload("modexp", "1M gas of modular exponentiation (precompile 5)")
    traffic = ModexpTraffic(wallet("modexp"))
    workload.traffic = [traffic]
    call, prime = partial(partial, traffic.power), CURVE_PRIME
    return _blocks(
        workload,
        [call(200, 5, prime - 2, prime, 32), call(150, 3, 3, prime, 32)],
        [call(52, 3, 65_537, RSA_MODULUS, 256)],
        [call(50, 7, 3, 10**50, 21), call(1, 7, 2**1024 - 105, 2**1024 - 105, 128)],
    )


def calls(code: CodeSource) -> Workload:
    """All kinds of calls: that write, read, revert, pay, break a rule, and call themselves."""
    workload = Workload("calls", "1M gas of message calls")
    traffic = CallTraffic(wallet("calls"))
    workload.traffic = [traffic]
    call = partial
    return _blocks(
        workload,
        [call(traffic.add, kind, 72) for kind in ("call", "delegatecall", "callcode")],
        [
            call(traffic.add, "staticcall", 3, 100_000),
            call(traffic.read, "staticcall", 150),
            call(traffic.revert, "call", 3),
            call(traffic.revert, "delegatecall", 3),
            call(traffic.pay, 8, wallet("calls, paid").address),
        ],
        [call(traffic.recurse, 8), call(traffic.recurse, 4), call(traffic.recurse, 7)],
    )


def copy(code: CodeSource) -> Workload:
    """Copies of all kinds: aligned and not, over the end of the source, overlapping, of nothing."""
    workload = Workload("copy", "1M gas of copies of calldata, code, return data and memory")
    traffic = CopyTraffic(wallet("copy"))
    workload.traffic = [traffic]
    call = partial(partial, traffic.copy)
    data = bytes((7 * position + 1) % 256 for position in range(3_000))
    return _blocks(
        workload,
        [
            call("calldatacopy", 240, 3_000, 64, 0, data),
            call("codecopy", 120, 333, 7, 5, b""),
            call("extcodecopy", 120, 100, 7, 5, b""),
            call("mcopy", 100, 0, 0, 0, b""),
        ],
        [
            call("returndatacopy", 240, 2_999, 1, 3, data),
            call("mcopy", 110, 2_000, 0, 1, data),
            call("mcopy", 110, 2_000, 32, 0, data),
        ],
        [call("mcopy", 200, 32, 0, 32, data[:64]), call("mcopy", 12, 16_384, 32, 0, data)],
    )


def precompiles(code: CodeSource) -> Workload:
    """All precompiles, a few times each, and some of the ways in which they fail."""
    workload = Workload("precompiles", "every precompile of Cancun, a few calls each; some fail")
    traffic = PrecompileTraffic(wallet("precompiles"))
    workload.traffic = [traffic]
    call, data = partial, bytes(range(100))
    return _blocks(
        workload,
        [
            call(traffic.recover, 3),
            call(traffic.recover_nothing, 1),
            *(call(traffic.hash, number, 3, data) for number in (2, 3, 4)),
            call(traffic.power, 2, 3, 65_537, 2**512 - 569, 64),
        ],
        [
            call(traffic.add, 3, 5, 7),
            call(traffic.multiply, 2, 5, 2**200 + 3),
            call(traffic.pair, 1, (2, 3), (-6, 1)),
            call(traffic.compress, 3),
        ],
        [call(traffic.evaluate, 2, 5, 5), call(traffic.evaluate, 1, 5, 6)],
    )


def snailtracer(code: CodeSource) -> Workload:
    """Four pixels of the scene."""
    workload = Workload("snailtracer", "a ray tracer: four pixels, one sample each")
    traffic = SnailtracerTraffic(wallet("snailtracer"))
    workload.traffic = [traffic]
    call = partial(partial, traffic.pixel)
    return _blocks(workload, [call(512, 384, 1), call(325, 540, 1)], [call(600, 600, 1), call(522, 524, 1)])


def snailtracer_pixel(code: CodeSource) -> Workload:
    """One pixel of the scene."""
    workload = Workload("snailtracer-pixel", "a ray tracer: one pixel, one sample")
    traffic = SnailtracerTraffic(wallet("snailtracer"))
    workload.traffic = [traffic]
    return _blocks(workload, [partial(traffic.pixel, 512, 384, 1)])


def snailtracer_full(code: CodeSource) -> Workload:
    """The standard benchmark of interpreters, whole, in a block of more gas than usual."""
    workload = Workload("snailtracer-full", "a ray tracer: the whole benchmark of interpreters", gas_limit=200_000_000)
    traffic = SnailtracerTraffic(wallet("snailtracer"), scene=False)
    workload.traffic = [traffic]
    return _blocks(workload, [traffic.benchmark])


def mixed(code: CodeSource) -> Workload:
    """Twenty blocks with all of the above, in about the shares of an L2: transfers, tokens and swaps first of all."""
    workload = Workload("mixed", "an L2 batch of 20 blocks: transfers, tokens, swaps, collectibles, creations and more")
    accounts = wallets("mixed account", 16)
    ether = EtherTraffic(workload, accounts, wallets("mixed receiver", 16))
    solidity, second, vyper, yul = (
        TokenTraffic(workload, kind, f"mixed {name}", accounts)
        for name, kind in (("token", SOLIDITY), ("second token", SOLIDITY), ("vyper", VYPER), ("yul", YUL))
    )
    exchange = exchange_with_liquidity(workload, "mixed exchange", [solidity, second], accounts)
    collectibles = CollectibleTraffic(workload, "mixed collection", accounts)
    creations = CreationTraffic(workload, code)
    tester = wallet("mixed resources")
    hashes, stores, powers = KeccakTraffic(tester), StoreTraffic(tester), ModexpTraffic(tester)
    messages, copies, pixels = CallTraffic(tester), CopyTraffic(tester), SnailtracerTraffic(tester)
    workload.traffic = [ether, solidity, second, vyper, yul, exchange, collectibles, creations]
    workload.traffic += [hashes, stores, powers, messages, copies, pixels]

    chance = workload.chance
    usual: list[tuple[int, Callable[[], Call]]] = [
        (35, ether.next),
        (15, solidity.next),
        (6, second.next),
        (6, vyper.next),
        (6, yul.next),
        (18, exchange.next),
        (10, collectibles.next),
        (1, lambda: hashes.hash(20, chance.choice((32, 64, 100, 136, 500)))),
        (1, lambda: stores.write(1 + chance.randrange(100), 4, chance.randrange(3), chance.randrange(3))),
        (1, lambda: messages.add(chance.choice(("call", "delegatecall", "callcode")), 4)),
    ]
    weights = [weight for weight, _ in usual]
    # Each of the rare ones in a block of its own.
    rare: dict[int, Callable[[], Call]] = {
        2: lambda: creations.create_token(accounts[3], SOLIDITY)[0],
        4: lambda: copies.copy("returndatacopy", 10, 500, 1, 3, bytes(range(256)) * 2),
        6: lambda: powers.power(1, 3, 65_537, RSA_MODULUS, 256),
        8: lambda: creations.create_token(accounts[4], VYPER)[0],
        10: lambda: messages.recurse(5),
        12: lambda: copies.copy("mcopy", 10, 100, 0, 1, bytes(range(256))),
        14: lambda: pixels.pixel(512, 384, 1),
        16: lambda: creations.create(accounts[5], code.creation_code("Unborn"), succeeds=False)[0],
        18: lambda: messages.read("staticcall", 10),
    }
    for number in range(20):
        workload.block()
        for _ in range(chance.randrange(4, 20) if number != 9 else 0):  # one block is empty
            _, following = chance.choices(usual, weights)[0]
            workload.send(following())
        if number in rare:
            workload.send(rare[number]())
    return workload


WORKLOADS: dict[str, Callable[[CodeSource], Workload]] = {
    "erc20": erc20,
    "erc20-vyper": erc20_vyper,
    "erc20-yul": erc20_yul,
    "nft": nft,
    "uniswap": uniswap,
    "deploy": deploy,
    "snailtracer": snailtracer,
    "snailtracer-pixel": snailtracer_pixel,
    "snailtracer-full": snailtracer_full,
    "keccak": keccak,
    "sstore": sstore,
    "modexp": modexp,
    "calls": calls,
    "copy": copy,
    "precompiles": precompiles,
    "mixed": mixed,
}
