"""Tokens (in Solidity, Vyper and Yul) and collectibles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eth_utils.crypto import keccak

from scripts.workloads.predeployment import Predeployment, created_address
from scripts.workloads.toolchain import VYPER_TOKEN, YUL_TOKEN, CodeSource
from scripts.workloads.traffic import (
    AccessList,
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
from scripts.workloads.transfers import ETHER

SUPPLY = 1_000_000 * ETHER
TRANSFER_GAS = 100_000
TOO_LITTLE_GAS = 24_000  # pays for the transaction, not for two cold slots


@dataclass(frozen=True)
class TokenKind:
    """A token contract and where it keeps balances."""

    contract: str
    constructor: str
    balance_slot: Callable[[bytes], int]
    titled: bool = True  # the constructor takes name and symbol too

    def creation_code(self, code: CodeSource, name: str = "Token", symbol: str = "TKN") -> bytes:
        """Creation code with arguments; the creator gets the supply."""
        arguments = (name, symbol, SUPPLY) if self.titled else (SUPPLY,)
        return code.creation_code(self.contract) + arguments_data(self.constructor, *arguments)


SOLIDITY = TokenKind("Token", "(string,string,uint256)", lambda account: mapping_slot(0, account))
# Vyper hashes the slot of a mapping before the key; `vyper -f layout` gives 5 for the balances.
VYPER = TokenKind(
    VYPER_TOKEN,
    "(string,string,uint256)",
    lambda account: int.from_bytes(keccak((5).to_bytes(32, "big") + account.rjust(32, b"\0"))),
)
YUL = TokenKind(YUL_TOKEN, "(uint256)", lambda account: 1 << 160 | int.from_bytes(account), titled=False)


class TokenTraffic(Traffic):
    """Transfers of a token between accounts, half of which have none at first.

    Args:
        kind: of the contract.
        name: of the token's creator: another name gives a token at another address.
        accounts: that transfer.
    """

    def __init__(self, workload: Workload, kind: TokenKind, name: str, accounts: list[Wallet]) -> None:
        self._workload = workload
        self._kind = kind
        self._creator = wallet(name)
        self._accounts = accounts
        self.address = created_address(self._creator.address, 0)
        holders = accounts[: len(accounts) // 2]
        self._grants = {holder.address: 100 * (1 + number) * ETHER for number, holder in enumerate(holders)}
        self.balance = {account.address: self._grants.get(account.address, 0) for account in accounts}
        self.balance[self._creator.address] = SUPPLY - sum(self._grants.values())

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Create the token and give the holders theirs."""
        if state.create(self._creator.address, self._kind.creation_code(code)) != self.address:
            raise ValueError("the creator has sent transactions before")
        for holder, amount in self._grants.items():
            state.call(self._creator.address, self.address, call_data("transfer(address,uint256)", holder, amount))

    def storage(self) -> Storage:
        """The balances."""
        return {(self.address, self._kind.balance_slot(owner)): amount for owner, amount in self.balance.items()}

    def transfer(self, sender: Wallet, to: Wallet, amount: int, *, gas: int = TRANSFER_GAS, warm: bool = False) -> Call:
        """One transfer; with ``warm``, an access list names the slots it uses."""
        succeeds = amount <= self.balance[sender.address] and gas >= TRANSFER_GAS
        if succeeds:
            self.balance[sender.address] -= amount
            self.balance[to.address] += amount
        slots = sorted({self._kind.balance_slot(owner.address) for owner in (sender, to)})
        access_list: AccessList | None = ((self.address, tuple(slots)),) if warm else None
        data = call_data("transfer(address,uint256)", to.address, amount)
        return Call(sender, self.address, gas, data, succeeds=succeeds, logs=int(succeeds), access_list=access_list)

    def next(self) -> Call:
        """A transfer by chance: most within the balance, some of everything, of nothing or of too much."""
        chance = self._workload.chance
        holders = [account for account in self._accounts if self.balance[account.address]]
        sender, to = chance.choice(holders), chance.choice(self._accounts)
        warm = chance.randrange(4) == 0
        balance = self.balance[sender.address]
        match chance.randrange(20):
            case 0 | 1:
                return self.transfer(sender, to, balance + 1 + chance.randrange(ETHER), warm=warm)
            case 2:
                return self.transfer(chance.choice(self._accounts), to, 0, warm=warm)
            case 3:
                return self.transfer(sender, to, balance, warm=warm)
            case 4:
                return self.transfer(sender, sender, balance // 2, warm=warm)
            case 5:
                return self.transfer(sender, to, balance // 2, gas=TOO_LITTLE_GAS)
            case _:
                return self.transfer(sender, to, 1 + chance.randrange(balance), warm=warm)


class CollectibleTraffic(Traffic):
    """A collection: minting by its owner, approvals, transfers, and safe transfers to a contract.

    Args:
        accounts: that hold collectibles; the first one owns the collection.
    """

    # Storage layout: OpenZeppelin's ERC721 (name, symbol, owners, balances, token approvals), then Ownable.
    OWNERS, BALANCES, APPROVALS = 2, 3, 4
    GAS = 200_000

    def __init__(self, workload: Workload, name: str, accounts: list[Wallet]) -> None:
        self._workload = workload
        self._creator = wallet(name)
        self._accounts = accounts
        self.owner = accounts[0]
        self.address = created_address(self._creator.address, 0)
        self.vault = created_address(self._creator.address, 1)
        self._owners: dict[int, bytes] = {}
        self._approved: dict[int, bytes] = {}
        self._by_address = {account.address: account for account in accounts}

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Create the collection and the vault."""
        creator = self._creator.address
        created = [state.create(creator, code.creation_code(contract)) for contract in ("Collectible", "Vault")]
        if created != [self.address, self.vault]:
            raise ValueError("the creator has sent transactions before")
        state.call(creator, self.address, call_data("transferOwnership(address)", self.owner.address))

    def storage(self) -> Storage:
        """Owner and approved account of every collectible, and how many each account has."""
        slots: Storage = {}
        for item, owner in self._owners.items():
            key = item.to_bytes(32, "big")
            slots[self.address, mapping_slot(self.OWNERS, key)] = int.from_bytes(owner)
            slots[self.address, mapping_slot(self.APPROVALS, key)] = int.from_bytes(self._approved.get(item, b""))
        for holder in {*self._by_address, self.vault}:
            count = sum(owner == holder for owner in self._owners.values())
            slots[self.address, mapping_slot(self.BALANCES, holder)] = count
        return slots

    def mint(self, sender: Wallet, to: bytes, *, safe: bool = False) -> Call:
        """Mint the next collectible; only the owner can."""
        item = 1 + len(self._owners)
        succeeds = sender == self.owner
        if succeeds:
            self._owners[item] = to
        data = call_data("safeMint(address,uint256)" if safe else "mint(address,uint256)", to, item)
        return self._call(sender, data, succeeds)

    def approve(self, sender: Wallet, to: Wallet, item: int) -> Call:
        """Allow ``to`` to transfer; only the holder can."""
        succeeds = self._owners.get(item) == sender.address
        if succeeds:
            self._approved[item] = to.address
        return self._call(sender, call_data("approve(address,uint256)", to.address, item), succeeds)

    def transfer(self, sender: Wallet, owner: bytes, to: bytes, item: int, *, safe: bool = False) -> Call:
        """Transfer by the holder or the approved account. A contract must accept a safe transfer: the vault does."""
        allowed = sender.address == owner or self._approved.get(item) == sender.address
        refused = safe and to == self.address
        succeeds = self._owners.get(item) == owner and allowed and not refused
        if succeeds:
            self._owners[item] = to
            self._approved.pop(item, None)
        function = "safeTransferFrom" if safe else "transferFrom"
        return self._call(sender, call_data(f"{function}(address,address,uint256)", owner, to, item), succeeds)

    def next(self) -> Call:
        """A call by chance: minting, approving, transfers of several kinds, and some that must fail."""
        chance = self._workload.chance
        to, other = chance.choice(self._accounts), chance.choice(self._accounts)
        movable = [item for item, owner in self._owners.items() if owner != self.vault]
        choice = chance.randrange(20)
        if not movable or choice < 5:
            return self.mint(self.owner, to.address, safe=choice < 2)
        item = chance.choice(movable)
        owner = self._by_address[self._owners[item]]
        approved = self._by_address.get(self._approved.get(item, b""), owner)
        match choice:
            case 5 | 6 | 7 | 8:
                return self.approve(owner, to, item)
            case 9 | 10 | 11:
                return self.transfer(approved, owner.address, to.address, item)
            case 12 | 13:
                return self.transfer(approved, owner.address, to.address, item, safe=True)
            case 14:
                return self.transfer(owner, owner.address, self.vault, item, safe=True)
            case 15:
                return self.transfer(owner, owner.address, self.address, item, safe=True)
            case 16:
                return self.mint(self._accounts[1], to.address)
            case 17:
                return self.approve(other, to, item)
            case 18:
                return self.transfer(other, owner.address, to.address, item)
            case _:
                return self.transfer(owner, owner.address, to.address, item)

    def _call(self, sender: Wallet, data: bytes, succeeds: bool) -> Call:
        return Call(sender, self.address, self.GAS, data, succeeds=succeeds, logs=int(succeeds))
