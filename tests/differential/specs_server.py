"""Ethereum's execution specs as a process: a batch per line on standard input, what it gives on standard output.

Run by the Python of the environment that holds the specs, so it imports nothing but them and the standard library. The
first argument is the fork. Lines are JSON. A request::

    {"chainId": .., "genesis": {"alloc": {..}, ..}, "parent": RLP, "ancestorHashes": [..], "blocks": [..],
     "constants": {"module:NAME": number}, "steps": true}

``parent`` stands in for the header that follows from the genesis, ``constants`` changes numbers in the specs for this
request (to see whether a difference is noticed), ``steps`` asks for the instructions one by one. Bytes are hexadecimal.
The answer is documented in :class:`tests.differential.specs.Answer`, its reader.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import traceback
from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from typing import Any

from ethereum import trace
from ethereum.crypto.hash import keccak256
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes, Bytes8, Bytes32, Bytes256
from ethereum_types.numeric import U64, U256, Uint

FORK = sys.argv[1]


def _of_fork(module: str) -> Any:
    """A module of the fork's specs."""
    return import_module(f"ethereum.forks.{FORK}" + (f".{module}" if module else ""))


fork, vm, blocks, states, tries = map(_of_fork, ("fork", "vm", "blocks", "state", "trie"))
Account, Address = (getattr(_of_fork("fork_types"), name) for name in ("Account", "Address"))
#: From Prague on a block makes requests, and its header has their hash (EIP-7685).
HAS_REQUESTS = hasattr(fork, "process_general_purpose_requests")
EMPTY_TRIE_ROOT = keccak256(rlp.encode(b""))


class Recorder:
    """Counts instructions and outputs; with ``steps`` it also writes down every instruction."""

    def __init__(self, steps: bool) -> None:
        self.begun: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.halts: Counter[str] = Counter()  # exceptional halts and reverts by their kind
        self.precompiles: Counter[str] = Counter()
        self.ended: Any = None  # of the last outermost frame
        self._running: dict[int, str] = {}
        self._steps = steps
        self.pc, self.gas, self.opcode = array("I"), array("Q"), array("B")
        self.depth, self.stack_height, self.memory_size = array("H"), array("H"), array("I")
        self.top = bytearray()  # the top of the stack before the instruction, 32 bytes, 0 for an empty stack

    def __call__(self, evm: Any, event: Any) -> None:
        match event:
            case trace.OpStart():
                # By depth: a call ends after the instructions of the frames that it opened.
                self._running[evm.message.depth] = event.op.name
                self.begun[event.op.name] += 1
                self._step(evm, event.op.value)
            case trace.OpEnd():
                self.done[self._running[evm.message.depth]] += 1
            case trace.OpException():
                if isinstance(event.error, _of_fork("vm.exceptions").InvalidOpcode):
                    self.begun["INVALID"] += 1
                    self._step(evm, event.error.code)
                self.halts[type(event.error).__name__] += 1
            case trace.PrecompileStart():
                self.precompiles[str(int.from_bytes(event.address, "big"))] += 1
            case trace.EvmStop():
                # The specs stop at the end of the code without an instruction.
                if evm.running and evm.code:
                    self._step(evm, 0)
            case trace.TransactionEnd():
                self.ended = event

    def _step(self, evm: Any, opcode: int) -> None:
        if not self._steps:
            return
        self.pc.append(int(evm.pc))
        self.gas.append(int(evm.gas_left))
        self.opcode.append(opcode)
        self.depth.append(int(evm.message.depth))
        self.stack_height.append(len(evm.stack))
        self.memory_size.append(len(evm.memory))
        self.top += int(evm.stack[-1]).to_bytes(32, "big") if evm.stack else bytes(32)

    def columns(self) -> dict[str, str]:
        columns = ("pc", "gas", "opcode", "depth", "stack_height", "memory_size", "top")
        return {name: base64.b64encode(bytes(getattr(self, name))).decode() for name in columns}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run a batch."""
    state = _pre_state(request["genesis"]["alloc"])
    parent = _parent(request, state)
    # What validate_header and get_last_256_block_hashes look at: headers, and before them the hashes that are given.
    chain = fork.BlockChain([blocks.Block(parent, (), (), ())], state, U64(request["chainId"]))
    earlier = [Bytes32(_bytes(item)) for item in reversed(request["ancestorHashes"])]
    recorder = Recorder(bool(request.get("steps")))
    done: list[dict[str, Any]] = []
    result: dict[str, Any] = {"blocks": done}
    trace.set_evm_trace(recorder)
    with _changed(request.get("constants", {})):
        for block in request["blocks"]:
            transactions: list[dict[str, Any]] = []
            try:
                header = _run_block(block, chain, earlier, recorder, transactions)
            except EthereumException as error:
                place = {"block": len(done), "transaction": len(transactions)}
                result["refused"] = place | {"reason": f"{type(error).__name__}: {error}"}
                break
            done.append({"header": rlp.encode(header).hex(), "transactions": transactions})
    result["accounts"] = _accounts(state)
    result["counts"] = {name: dict(getattr(recorder, name)) for name in ("begun", "done", "halts", "precompiles")}
    if request.get("steps"):
        result["steps"] = recorder.columns()
    return result


def _run_block(
    block: dict[str, Any],
    chain: Any,
    earlier: list[Bytes32],
    recorder: Recorder,
    done: list[dict[str, Any]],
) -> Any:
    """Run a block as the specs' ``state_transition`` does, but find out the header instead of comparing it."""
    parent = chain.blocks[-1].header
    environment = vm.BlockEnvironment(
        chain_id=chain.chain_id,
        state=chain.state,
        block_gas_limit=Uint(block["gasLimit"]),
        block_hashes=(earlier + _own_hashes(chain, bool(earlier)))[-256:],
        coinbase=Address(_bytes(block["coinbase"])),
        number=parent.number + Uint(1),
        base_fee_per_gas=fork.calculate_base_fee_per_gas(
            Uint(block["gasLimit"]), parent.gas_limit, parent.gas_used, parent.base_fee_per_gas
        ),
        time=U256(block["timestamp"]),
        prev_randao=Bytes32(_bytes(block["prevRandao"])),
        excess_blob_gas=_of_fork("vm.gas").calculate_excess_blob_gas(parent),
        parent_beacon_block_root=Bytes32(_bytes(block["parentBeaconBlockRoot"])),
    )
    output = vm.BlockOutput()
    # As apply_body.
    fork.process_unchecked_system_transaction(
        environment, fork.BEACON_ROOTS_ADDRESS, environment.parent_beacon_block_root
    )
    if HAS_REQUESTS:
        fork.process_unchecked_system_transaction(
            environment, fork.HISTORY_STORAGE_ADDRESS, environment.block_hashes[-1]
        )
    transactions = _of_fork("transactions")
    gas_used = 0
    for number, raw in enumerate(block["transactions"]):
        recorder.ended = None
        encoded = _bytes(raw)
        transaction = transactions.decode_transaction(
            Bytes(encoded) if encoded[0] < 0x80 else rlp.decode_to(transactions.LegacyTransaction, encoded)
        )
        fork.process_transaction(environment, output, transaction, Uint(number))
        receipt = tries.trie_get(output.receipts_trie, output.receipt_keys[-1])
        ended = recorder.ended
        done.append(
            {
                "receipt": (receipt if isinstance(receipt, bytes) else rlp.encode(receipt)).hex(),
                "status": int(blocks.decode_receipt(receipt).succeeded),
                "gasUsed": int(output.block_gas_used) - gas_used,
                "logs": [
                    [log.address.hex(), [topic.hex() for topic in log.topics], log.data.hex()]
                    for log in blocks.decode_receipt(receipt).logs
                ],
                # Nothing ran where the address of a creation was taken.
                "output": ended.output.hex() if ended is not None else "",
                "halt": type(ended.error).__name__ if ended is not None and ended.error else "",
            }
        )
        gas_used = int(output.block_gas_used)
    fork.process_withdrawals(environment, output, tuple(_withdrawal(item) for item in block["withdrawals"]))
    requests = {}
    if HAS_REQUESTS:
        fork.process_general_purpose_requests(environment, output)
        requests["requests_hash"] = _of_fork("requests").compute_requests_hash(output.requests)
    header = blocks.Header(
        parent_hash=keccak256(rlp.encode(parent)),
        ommers_hash=fork.EMPTY_OMMER_HASH,
        coinbase=environment.coinbase,
        state_root=states.state_root(environment.state),
        transactions_root=tries.root(output.transactions_trie),
        receipt_root=tries.root(output.receipts_trie),
        bloom=_of_fork("bloom").logs_bloom(output.block_logs),
        difficulty=Uint(0),
        number=environment.number,
        gas_limit=environment.block_gas_limit,
        gas_used=output.block_gas_used,
        timestamp=environment.time,
        extra_data=Bytes(_bytes(block["extraData"])),
        prev_randao=environment.prev_randao,
        nonce=Bytes8(bytes(8)),
        base_fee_per_gas=environment.base_fee_per_gas,
        withdrawals_root=tries.root(output.withdrawals_trie),
        blob_gas_used=output.blob_gas_used,
        excess_blob_gas=environment.excess_blob_gas,
        parent_beacon_block_root=environment.parent_beacon_block_root,
        **requests,
    )
    fork.validate_header(chain, header)
    chain.blocks.append(blocks.Block(header, (), (), ()))
    return header


def _own_hashes(chain: Any, known_before: bool) -> list[Bytes32]:
    """The hashes of the last blocks of the chain; the parent of the first is left out where it is known already."""
    return fork.get_last_256_block_hashes(chain)[1 if known_before else 0 :]


def _pre_state(alloc: dict[str, Any]) -> Any:
    state = states.State()
    for address, account in alloc.items():
        key = Address(_bytes(address))
        nonce, balance = Uint(account["nonce"]), U256(account["balance"])
        states.set_account(state, key, Account(nonce, balance, Bytes(_bytes(account["code"]))))
        for slot, value in account["storage"].items():
            if value:
                states.set_storage(state, key, Bytes32(int(slot).to_bytes(32, "big")), U256(value))
    return state


def _parent(request: dict[str, Any], state: Any) -> Any:
    if request.get("parent"):
        return rlp.decode_to(blocks.Header, _bytes(request["parent"]))
    genesis = request["genesis"]
    requests = {"requests_hash": Bytes32(sha256().digest())} if HAS_REQUESTS else {}
    return blocks.Header(
        parent_hash=Bytes32(_bytes(genesis["parentHash"])),
        ommers_hash=fork.EMPTY_OMMER_HASH,
        coinbase=Address(_bytes(genesis["coinbase"])),
        state_root=states.state_root(state),
        transactions_root=EMPTY_TRIE_ROOT,
        receipt_root=EMPTY_TRIE_ROOT,
        bloom=Bytes256(bytes(256)),
        difficulty=Uint(0),
        number=Uint(genesis["number"]),
        gas_limit=Uint(genesis["gasLimit"]),
        gas_used=Uint(genesis["gasUsed"]),
        timestamp=U256(genesis["timestamp"]),
        extra_data=Bytes(_bytes(genesis["extraData"])),
        prev_randao=Bytes32(_bytes(genesis["mixHash"])),
        nonce=Bytes8(bytes(8)),
        base_fee_per_gas=Uint(genesis["baseFeePerGas"]),
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=U64(genesis["blobGasUsed"]),
        excess_blob_gas=U64(genesis["excessBlobGas"]),
        parent_beacon_block_root=Bytes32(_bytes(genesis["parentBeaconBlockRoot"])),
        **requests,
    )


def _withdrawal(item: dict[str, Any]) -> Any:
    return blocks.Withdrawal(
        U64(item["index"]), U64(item["validatorIndex"]), Address(_bytes(item["address"])), U256(item["amount"])
    )


def _accounts(state: Any) -> dict[str, Any]:
    return {
        address.hex(): {
            "nonce": int(account.nonce),
            "balance": str(account.balance),
            "code": account.code.hex(),
            "storage": {
                str(int.from_bytes(slot, "big")): str(value)
                for slot, value in getattr(state._storage_tries.get(address), "_data", {}).items()
            },
        }
        for address, account in state._main_trie._data.items()
        if account is not None
    }


@contextlib.contextmanager
def _changed(constants: dict[str, int]) -> Iterator[None]:
    """Give constants of the specs other values for a while."""
    before = []
    try:
        for place, value in constants.items():
            module_name, _, name = place.partition(":")
            module = _of_fork(module_name)
            old = getattr(module, name)
            before.append((module, name, old))
            setattr(module, name, type(old)(value))
        yield
    finally:
        for module, name, old in before:
            setattr(module, name, old)


def _bytes(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x"))


def main() -> None:
    """Answer requests until the end of the input."""
    sys.setrecursionlimit(2**16)  # a call in the EVM is some ten calls in Python, and 1,024 of them may nest
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # the specs, too, may have defects: the test is told
            reply = {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
