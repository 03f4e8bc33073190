"""The plan of a project: `plan.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from eth_utils.crypto import keccak
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from executor.forks import FORKS
from executor.json_values import parse_data
from zkevm.projects.errors import ProjectError
from zkevm.projects.lines import Document, Place

NAME = "plan.yaml"

UNITS = {"wei": 1, "gwei": 10**9, "ether": 10**18}

_WORD = r"[A-Za-z_][A-Za-z0-9_-]*"
_FROM_ENVIRONMENT = "env:"


def parse_amount(value: Any) -> int:
    """Wei: an integer, or text of a number and a unit: `2 gwei`, `0.5 ether`.

    Raises:
        ValueError: anything else, or a fraction of a wei.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    number, _, unit = value.partition(" ") if isinstance(value, str) else ("", "", "")
    try:
        amount = Decimal(number.replace("_", "")) * UNITS[unit.strip() or "wei"]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{value!r} is no amount: write an integer of wei, or `0.5 ether`, `2 gwei`") from None
    if not amount.is_finite() or amount < 0 or amount != amount.to_integral_value():
        raise ValueError(f"{value!r} is no whole number of wei")
    return int(amount)


def _key(value: Any) -> bytes:
    if isinstance(value, str) and value.startswith(_FROM_ENVIRONMENT):
        name = value.removeprefix(_FROM_ENVIRONMENT)
        if name not in os.environ:
            raise ValueError(f"the environment has no {name}")
        value = os.environ[name]
    try:
        return parse_data(value, 32)
    except ValueError:
        raise ValueError("no key: write 32 bytes in hexadecimal, or env:NAME for a variable that has them") from None


def _of_balance(value: Any) -> Any:
    return value if isinstance(value, dict) else {"balance": value}


def _of_source(value: Any) -> Any:
    return value if isinstance(value, dict) else {"source": value}


def _of_transactions(value: Any) -> Any:
    return value if isinstance(value, dict) else {"transactions": value}


Amount = Annotated[
    int,
    BeforeValidator(parse_amount),
    Field(lt=2**256),
    WithJsonSchema({"title": "amount", "type": ["integer", "string"]}),
]
"""Wei."""

Key = Annotated[bytes, BeforeValidator(_key), WithJsonSchema({"title": "key", "type": "string"})]
"""Of an account, 32 bytes."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Chain(_Model):
    """The chain and its blocks."""

    id: Annotated[int, Field(strict=True, ge=1, lt=2**64)] = 1337
    """Chain id that transactions are signed for."""
    fork: str = "osaka"
    """Rules of all blocks: cancun, prague, osaka, bpo1 to bpo4."""
    gas_limit: Annotated[int, Field(strict=True, ge=5000, lt=2**63)] = 30_000_000
    """Of every block, gas."""
    base_fee: Amount = 10**9
    """Of the block before the first one, wei per gas; those of blocks follow."""
    timestamp: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 1_800_000_000
    """Of the block before the first one, Unix time in seconds."""
    block_seconds: Annotated[int, Field(strict=True, ge=1, lt=2**32)] = 12
    """From one block to the next."""

    @model_validator(mode="after")
    def _known(self) -> Chain:
        if self.fork not in FORKS:
            raise ValueError(f"there is no fork {self.fork!r}, only {', '.join(FORKS)}")
        return self


class Compiler(_Model):
    """How sources are compiled."""

    evm: str = "cancun"
    """Fork that the compiler makes code for; later ones run it, too."""
    optimizer_runs: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 200
    """Of the Solidity compiler's optimizer; 0 turns it off."""


class Account(_Model):
    """Who signs transactions."""

    balance: Amount = 0
    """Before the batch."""
    key: Key | None = None
    """32 bytes in hexadecimal, or env:NAME for one in the environment; by default a test key made of the name."""


class Contract(_Model):
    """Where the code of a contract is from."""

    source: str
    """From the plan's folder: a .sol, .vy or .yul, an artifact (.json), or a folder of Foundry's or Hardhat's."""
    name: str | None = None
    """Name of the contract in there; by default the one that it has in the plan."""


class Transaction(_Model):
    """One of `deploy`, `call` and `send`, by an account."""

    model_config = ConfigDict(populate_by_name=True)

    deploy: str | None = None
    """A contract of the plan, to be created."""
    as_: Annotated[str | None, Field(alias="as", pattern=f"^{_WORD}$")] = None
    """What the new contract is called from here on; by default as in the plan."""
    call: str | None = None
    """CONTRACT.FUNCTION, or CONTRACT.FUNCTION(TYPE,...) where there is no ABI or several functions of that name."""
    send: Amount | None = None
    """Ether to be sent."""
    to: str | None = None
    """Of `send`: an account, a contract or an address."""
    from_: Annotated[str, Field(alias="from")]
    """The account that signs and pays."""
    args: list[Any] = []
    """Of the constructor or of the function, in order; names of accounts and contracts are addresses."""
    types: list[str] | None = None
    """ABI types of the constructor's arguments, where there is no ABI."""
    value: Amount = 0
    """Ether that goes along."""
    gas: Annotated[int, Field(strict=True, ge=21_000, lt=2**63)] = 2_000_000
    """Limit."""
    max_fee: Amount = 10 * 10**9
    """The most that is paid, wei per gas."""
    priority_fee: Amount = 10**9
    """What the block's coinbase gets, wei per gas."""
    reverts: bool = False
    """Whether it is meant to fail."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Transaction:
        kinds = {"deploy": self.deploy, "call": self.call, "send": self.send}
        chosen = [name for name, value in kinds.items() if value is not None]
        if len(chosen) != 1:
            raise ValueError(f"a transaction is one of deploy, call and send, not {' and '.join(chosen) or 'none'}")
        only = {"as": ("deploy", self.as_), "types": ("deploy", self.types), "to": ("send", self.to)}
        for name, (kind, value) in only.items():
            if value is not None and chosen != [kind]:
                raise ValueError(f"`{name}` belongs to `{kind}`")
        if self.send is not None and (self.to is None or self.args or self.value):
            raise ValueError("`send` has `to`, and neither `args` nor `value`")
        return self


class Block(_Model):
    """A block; a list is its transactions."""

    transactions: list[Transaction] = []
    """In order."""
    seconds: Annotated[int, Field(strict=True, ge=1, lt=2**32)] | None = None
    """Since the block before; by default the chain's `block_seconds`."""
    coinbase: str = "coinbase"
    """Who gets the priority fees: an account, a contract or an address; by default an account of that name."""


class Plan(_Model):
    """What happens on a chain."""

    description: str = ""
    """For people."""
    chain: Chain = Chain()
    """The chain and its blocks."""
    compiler: Compiler = Compiler()
    """How sources are compiled."""
    accounts: dict[Annotated[str, Field(pattern=f"^{_WORD}$")], Annotated[Account, BeforeValidator(_of_balance)]]
    """By name; a balance alone is enough."""
    contracts: dict[Annotated[str, Field(pattern=f"^{_WORD}$")], Annotated[Contract, BeforeValidator(_of_source)]] = {}
    """By name; a source alone is enough."""
    blocks: list[Annotated[Block, BeforeValidator(_of_transactions)]]
    """In order."""


class PlanFile:
    """A plan, and where its parts stand in its file.

    Args:
        folder: the project's.

    Raises:
        ProjectError: there is none, or it is malformed.
    """

    def __init__(self, folder: Path) -> None:
        if folder.is_file():
            raise ProjectError("no folder of a project", folder, hint=f"name the one that it is in: {folder.parent}")
        self.file = folder / NAME
        try:
            text = self.file.read_text()
        except OSError as error:
            hint = f"`zkevm new {folder}` makes a project" if not self.file.exists() else ""
            raise ProjectError(f"cannot be read: {error.strerror}", self.file, hint=hint) from None
        except UnicodeDecodeError:
            raise ProjectError("not a text", self.file) from None
        self._document = Document(self.file, text)
        if not isinstance(self._document.value, dict):
            raise ProjectError("not a mapping of chain, accounts, contracts and blocks", self.file)
        try:
            self.plan = Plan.model_validate(self._document.value)
        except ValidationError as error:
            # A field that is misspelt is there and is missing: what is there shows where.
            errors = error.errors(include_url=False, include_context=False)
            first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
            raise self.error(_reason(first), tuple(first["loc"])) from None

    def error(self, reason: str, place: Place, hint: str = "") -> ProjectError:
        """What is wrong with a value of the plan."""
        return ProjectError(reason, self.file, self._document.line(self._known(place)), hint)

    def transaction_place(self, block: int, number: int) -> Place:
        """Where a transaction stands."""
        return self._known(("blocks", block, "transactions", number))

    def line(self, place: Place) -> int:
        """The line of a value of the plan, from 1."""
        return self._document.line(self._known(place))

    def _known(self, place: Place) -> Place:
        """A place without what is only in the model: short forms, keys, alternatives."""
        value: Any = self._document.value
        found: list[str | int] = []
        for step in place:
            if isinstance(value, list | dict) and (
                step in value if isinstance(value, dict) else isinstance(step, int) and step < len(value)
            ):
                value = value[step]  # type: ignore[index]
                found.append(step)
        return tuple(found)


def _reason(error: Mapping[str, Any]) -> str:
    """The complaint of pydantic, in the words of a plan."""
    names = [str(step) for step in error["loc"] if step != "[key]"]
    field = names[-1] if names and not names[-1].isdigit() else ""
    match error["type"]:
        case "extra_forbidden":
            return f"there is no field `{field}`"
        case "missing":
            return f"`{field}` is missing"
        case "string_pattern_mismatch":
            return f"{field!r} is no name: letters, digits, _ and -"
    reason = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {reason}" if field and error["type"] != "value_error" else reason


def known_key(name: str) -> bytes:
    """The key of an account without one: anybody can make it, so it is for tests."""
    return keccak(text=f"zkevm test account {name}")


def signature_of(text: str) -> tuple[str, str | None]:
    """The name of a function, and its types in brackets, if they are there."""
    name, bracket, types = text.partition("(")
    return name.strip(), re.sub(r"\s", "", bracket + types) if bracket else None
