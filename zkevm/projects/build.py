"""From a project to its batch: contracts are compiled, calls encoded and signed, and all is executed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp
from eth_account import Account as Signer
from eth_utils.crypto import keccak

from executor.batch import Batch
from executor.errors import BatchError
from executor.forks import FORKS
from executor.signing import sign_transaction
from executor.system_contracts import system_contracts
from zkevm.execution import Execution, execute, read_batch
from zkevm.projects.artifacts import Artifact, ArtifactError, find_artifact, read_artifact
from zkevm.projects.compilers import Compiled, CompilerError, compile_source
from zkevm.projects.errors import ProjectError
from zkevm.projects.lines import Place
from zkevm.projects.plan import PlanFile, Transaction, known_key, signature_of
from zkevm.projects.values import (
    ValueMismatch,
    address_of,
    encoded,
    reason_of,
    selector_of,
    split_types,
    type_of,
    types_of,
)
from zkevm.proof import Progress

SOURCES = (".sol", ".yul", ".vy")


@dataclass(frozen=True)
class BuiltTransaction:
    """A transaction of a plan, and what it did.

    Attributes:
        block, transaction: its place in the batch, from 0.
        line: in the plan.
        what: in words: `deploy Token`, `call token.transfer`.
        sender: name of the account that paid.
        succeeded: whether it did not fail.
        gas_used: after the refund, gas.
        output: what it returned; of a creation nothing.
    """

    block: int
    transaction: int
    line: int
    what: str
    sender: str
    succeeded: bool
    gas_used: int
    output: bytes


@dataclass(frozen=True, eq=False)
class BuiltBatch:
    """The batch of a project.

    Attributes:
        document: the object of its batch file.
        execution: it, executed.
        accounts: addresses by name, 20 bytes.
        contracts: addresses of what was deployed, by name.
        compilers: what made each contract's code, by name.
        transactions: in order.
    """

    document: Mapping[str, Any]
    execution: Execution = field(repr=False)
    accounts: Mapping[str, bytes]
    contracts: Mapping[str, bytes]
    compilers: Mapping[str, str]
    transactions: tuple[BuiltTransaction, ...]

    @property
    def batch(self) -> Batch:
        """It, as it was read."""
        return self.execution.batch


def build_project(folder: str | Path, *, progress: Progress | None = None) -> BuiltBatch:
    """Make the batch of a project: of its `plan.yaml`, and of sources or artifacts that it names.

    Args:
        folder: of the project.
        progress: called with `execute` after every transaction.

    Raises:
        ProjectError: the plan is malformed, a contract cannot be compiled, an argument does not fit, or a transaction
            fails that is not meant to: says the file, the line, what is wrong, and what to do.
    """
    return _Build(Path(folder)).result(progress)


@dataclass
class _Deployed:
    """A contract that was created: where, and what is known of it."""

    address: bytes
    artifact: Artifact


class _Build:
    """One build: names get their addresses as the plan goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = PlanFile(folder)
        self._plan = self._file.plan
        self._keys = {name: own.key or known_key(name) for name, own in self._plan.accounts.items()}
        self._accounts: dict[str, bytes] = {}
        for name, key in self._keys.items():
            try:
                self._accounts[name] = bytes.fromhex(Signer.from_key(key).address[2:])
            except Exception as error:  # several kinds
                raise self._file.error(f"no key: {error}", ("accounts", name, "key")) from None
        self._nonces = dict.fromkeys(self._accounts, 0)
        self._deployed: dict[str, _Deployed] = {}
        self._compiled: dict[Path, Compiled] = {}
        self._artifacts: dict[str, Artifact] = {}

    def result(self, progress: Progress | None) -> BuiltBatch:
        plan, chain = self._plan, self._plan.chain
        places: list[tuple[int, int, Transaction]] = []
        blocks = []
        time = chain.timestamp
        for number, block in enumerate(plan.blocks):
            time += block.seconds or chain.block_seconds
            raw = []
            for index, transaction in enumerate(block.transactions):
                raw.append(f"0x{self._signed(transaction, self._file.transaction_place(number, index)).hex()}")
                places.append((number, index, transaction))
            blocks.append(
                {
                    "coinbase": self._hex(self._coinbase(block.coinbase, ("blocks", number, "coinbase"))),
                    "timestamp": time,
                    "gasLimit": chain.gas_limit,
                    "transactions": raw,
                }
            )
        alloc = {
            self._hex(address): {"balance": hex(plan.accounts[name].balance)}
            for name, address in self._accounts.items()
        }
        document = {
            "format": "zkevm-batch/1",
            "description": plan.description,
            "chainId": chain.id,
            "fork": chain.fork,
            "genesis": {
                "gasLimit": chain.gas_limit,
                "baseFeePerGas": chain.base_fee,
                "timestamp": chain.timestamp,
                "alloc": alloc | system_contracts(FORKS[chain.fork], since=None),
            },
            "blocks": blocks,
        }
        execution = self._executed(document, progress)
        return BuiltBatch(
            document=document,
            execution=execution,
            accounts=self._accounts,
            contracts={name: own.address for name, own in self._deployed.items()},
            compilers={name: artifact.compiler for name, artifact in self._artifacts.items()},
            transactions=tuple(self._outcomes(execution, places)),
        )

    def _executed(self, document: Mapping[str, Any], progress: Progress | None) -> Execution:
        try:
            return execute(read_batch(document), progress=progress)
        except BatchError as error:
            place: Place = ()
            if error.block is not None:
                place = ("blocks", error.block)
                if error.transaction is not None:
                    place = self._file.transaction_place(error.block, error.transaction)
            reason = f"{error.field}: {error.reason}" if error.field else error.reason
            raise self._file.error(f"not a valid batch: {reason}", place) from error

    def _outcomes(self, execution: Execution, places: Sequence[tuple[int, int, Transaction]]) -> list[BuiltTransaction]:
        """What each transaction did; raises `ProjectError` for what did not do what it is meant to."""
        trace = execution.trace
        columns = ("status", "gas_used", "first_frame", "end_frame")
        rows = trace["transactions"].select(columns).to_pylist()
        outputs = trace["frames"].select(("output_start", "output_size")).to_pylist()
        found = []
        for row, (number, index, transaction) in zip(rows, places, strict=True):
            output = b""
            if row["end_frame"] > row["first_frame"] and not (transaction.deploy and row["status"]):
                own = outputs[row["first_frame"]]
                output = trace.bytes_at(own["output_start"], own["output_size"])
            place = self._file.transaction_place(number, index)
            succeeded = bool(row["status"])
            if succeeded == transaction.reverts:
                self._fail(transaction, place, succeeded, output, row["gas_used"])
            found.append(
                BuiltTransaction(
                    block=number,
                    transaction=index,
                    line=self._file.line(place),
                    what=_what(transaction),
                    sender=transaction.from_,
                    succeeded=succeeded,
                    gas_used=row["gas_used"],
                    output=output,
                )
            )
        return found

    def _fail(self, transaction: Transaction, place: Place, succeeded: bool, output: bytes, gas_used: int) -> None:
        what = f"{_what(transaction)} by {transaction.from_}"
        if succeeded:
            raise self._file.error(f"{what} succeeds, and has `reverts: true`", place, "leave that out")
        if gas_used == transaction.gas:
            hint = f"give it more than `gas: {transaction.gas}`, or `reverts: true` if it is meant to fail"
            raise self._file.error(f"{what} takes all of its gas", place, hint)
        abi = [entry for own in self._deployed.values() for entry in own.artifact.abi or ()]
        abi += [entry for own in self._artifacts.values() for entry in own.abi or ()]
        reason = reason_of(output, abi)
        raise self._file.error(f"{what} reverts: {reason}", place, "write `reverts: true` if it is meant to")

    # -- transactions

    def _signed(self, transaction: Transaction, place: Place) -> bytes:
        sender = transaction.from_
        if sender not in self._accounts:
            known = ", ".join(self._accounts) or "there are none"
            raise self._file.error(f"no account {sender!r}", (*place, "from"), f"accounts: {known}")
        nonce = self._nonces[sender]
        self._nonces[sender] += 1
        request: dict[str, Any] = {
            "secretKey": self._hex(self._keys[sender]),
            "nonce": nonce,
            "gas": transaction.gas,
            "value": transaction.value,
            "maxFeePerGas": transaction.max_fee,
            "maxPriorityFeePerGas": transaction.priority_fee,
        }
        if transaction.deploy is not None:
            request["data"] = self._hex(self._creation(transaction, transaction.deploy, place))
            address = keccak(rlp.encode([self._accounts[sender], nonce]))[12:]
            name = transaction.as_ or transaction.deploy
            if name in self._accounts or name in self._deployed:
                raise self._file.error(f"{name} is there already", place, "call it otherwise with `as: NAME`")
            self._deployed[name] = _Deployed(address, self._artifacts[transaction.deploy])
        elif transaction.call is not None:
            address, data = self._call(transaction, transaction.call, place)
            request |= {"to": self._hex(address), "data": self._hex(data)}
        else:
            request |= {"to": self._hex(self._address(transaction.to, (*place, "to"))), "value": transaction.send}
        try:
            return sign_transaction(request, self._plan.chain.id)
        except BatchError as error:
            raise self._file.error(error.reason, place) from error

    def _creation(self, transaction: Transaction, name: str, place: Place) -> bytes:
        """Creation code with its arguments."""
        artifact = self._artifact(name, (*place, "deploy"))
        constructor = next((entry for entry in artifact.abi or () if entry.get("type") == "constructor"), {})
        types = types_of(constructor)
        if transaction.types is not None:
            if artifact.abi is not None and transaction.types != types:
                raise self._file.error(f"the constructor takes ({','.join(types)})", (*place, "types"))
            types = self._types(f"({','.join(transaction.types)})", (*place, "types"))
        elif artifact.abi is None and transaction.args:
            raise self._file.error("there is no ABI", (*place, "args"), "name the types: `types: [uint256]`")
        return artifact.code + self._encoded(types, transaction, place, constructor)

    def _call(self, transaction: Transaction, text: str, place: Place) -> tuple[bytes, bytes]:
        """The contract that is called, and the calldata."""
        where = (*place, "call")
        target, dot, function = text.partition(".")
        if not dot:
            raise self._file.error(f"{text!r} is no call", where, "write CONTRACT.FUNCTION")
        deployed = self._deployed.get(target)
        address = deployed.address if deployed else self._address(target, where)
        name, signature = signature_of(function)
        entries = [
            entry
            for entry in (deployed.artifact.abi or () if deployed else ())
            if entry.get("type") == "function" and entry.get("name") == name
        ]
        if signature is not None:
            types = self._types(signature, where)
            entry = next((each for each in entries if types_of(each) == types), None)
            if deployed and deployed.artifact.abi is not None and entry is None:
                raise self._no_function(deployed.artifact, f"{name}{signature}", where)
            selector = keccak(text=f"{name}({','.join(types)})")[:4]
            return address, selector + self._encoded(types, transaction, place, entry)
        if not deployed or deployed.artifact.abi is None:
            hint = f"name the types: `call: {text}(uint256)`"
            raise self._file.error(f"there is no ABI of {target}", where, hint)
        fitting = [entry for entry in entries if len(entry.get("inputs", ())) == len(transaction.args)] or entries
        if not fitting:
            raise self._no_function(deployed.artifact, name, where)
        if len(fitting) > 1:
            listed = ", ".join(f"{name}({','.join(types_of(entry))})" for entry in fitting)
            raise self._file.error(f"several functions {name}", where, f"name one with its types: {listed}")
        (entry,) = fitting
        return address, selector_of(entry) + self._encoded(types_of(entry), transaction, place, entry)

    def _no_function(self, artifact: Artifact, name: str, place: Place) -> ProjectError:
        names = [
            f"{entry['name']}({','.join(types_of(entry))})"
            for entry in artifact.abi or ()
            if entry.get("type") == "function"
        ]
        return self._file.error(f"no function {name}", place, f"functions: {', '.join(names) or 'none'}")

    def _encoded(
        self, types: Sequence[str], transaction: Transaction, place: Place, entry: Mapping[str, Any] | None
    ) -> bytes:
        known = self._accounts | {name: own.address for name, own in self._deployed.items()}
        inputs = (entry or {}).get("inputs", ())
        try:
            return encoded(types, transaction.args, known, inputs)
        except ValueMismatch as error:
            where: Place = (*place, "args") if error.index is None else (*place, "args", error.index)
            names = ", ".join(f"{type_of(each)} {each.get('name', '')}".strip() for each in inputs)
            raise self._file.error(str(error), where, f"arguments: {names}" if names else "") from None

    def _types(self, text: str, place: Place) -> list[str]:
        try:
            return split_types(text)
        except ValueError as error:
            raise self._file.error(str(error), place) from None

    def _coinbase(self, name: str, place: Place) -> bytes:
        """As any address; the default is an account that nobody has to name."""
        if name == "coinbase" and name not in self._accounts:
            return bytes.fromhex(Signer.from_key(known_key(name)).address[2:])
        return self._address(name, place)

    def _address(self, text: Any, place: Place) -> bytes:
        known = self._accounts | {name: own.address for name, own in self._deployed.items()}
        try:
            return address_of(text, known)
        except ValueError as error:
            later = [own.as_ or own.deploy for block in self._plan.blocks for own in block.transactions]
            hint = "it is deployed later on" if text in later else ""
            raise self._file.error(f"{text!r} is {error}", place, hint) from None

    # -- contracts

    def _artifact(self, name: str, place: Place) -> Artifact:
        """The code and ABI of a contract of the plan; compiled when it is first deployed."""
        if name not in self._artifacts:
            if name not in self._plan.contracts:
                known = ", ".join(self._plan.contracts) or "there are none"
                raise self._file.error(f"no contract {name!r}", place, f"contracts: {known}")
            self._artifacts[name] = self._found(name)
        return self._artifacts[name]

    def _found(self, name: str) -> Artifact:
        own = self._plan.contracts[name]
        wanted, path = own.name or name, self._folder / own.source
        place: Place = ("contracts", name)
        try:
            if path.is_dir():
                return read_artifact(find_artifact(path, wanted))
            if path.suffix == ".json":
                return read_artifact(path)
            if path.suffix not in SOURCES:
                kinds = ", ".join(SOURCES)
                raise ArtifactError(f"{own.source} is neither a folder nor one of {kinds}, .json")
            if path not in self._compiled:
                self._compiled[path] = compile_source(path, self._folder, self._plan.compiler)
        except CompilerError as error:
            if error.line is not None:
                raise ProjectError(str(error), path, error.line, error.hint) from None
            raise self._file.error(f"{own.source}: {error}", place, error.hint) from None
        except ArtifactError as error:
            raise self._file.error(f"{own.source}: {error}", place, error.hint) from None
        contracts = self._compiled[path].contracts
        if path.suffix == ".vy":
            return next(iter(contracts.values()))
        if wanted not in contracts:
            hint = f"contracts in there: {', '.join(contracts) or 'none with code'}; name one with `name: NAME`"
            raise self._file.error(f"no contract {wanted} in {own.source}", place, hint)
        return contracts[wanted]

    @staticmethod
    def _hex(value: bytes) -> str:
        return f"0x{value.hex()}"


def _what(transaction: Transaction) -> str:
    if transaction.deploy is not None:
        name = transaction.as_
        return f"deploy {transaction.deploy}" + (f" as {name}" if name and name != transaction.deploy else "")
    if transaction.call is not None:
        return f"call {transaction.call}"
    return f"send to {transaction.to}"
