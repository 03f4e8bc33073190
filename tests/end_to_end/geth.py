"""A geth of one's own, and the chains that the tests have it mine.

Nothing in these chains is left to chance or to the clock, so that the same version of geth gives the same blocks again:
``python -m tests.end_to_end.geth`` records them, and the tests hold what runs against what was recorded.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from eth_utils.crypto import keccak
from py_ecc.optimized_bls12_381 import G1, multiply, normalize

from executor.fetch import Fetched, Node, NodeError, fetch
from executor.forks import HISTORY_STORAGE_ADDRESS, WITHDRAWAL_REQUESTS_ADDRESS
from executor.signing import sign_transaction
from scripts.workloads.assembler import assemble
from scripts.workloads.predeployment import created_address
from scripts.workloads.traffic import WALLET_BALANCE, Wallet, arguments_data, call_data, mapping_slot, wallets
from scripts.workloads.traffic_tokens import SOLIDITY
from scripts.workloads.transfers import ETHER, FEE_RECIPIENT, GENESIS_TIME, GWEI, SECONDS_PER_BLOCK
from tests.scripts.examples import RecordedCode

FIXTURES = Path(__file__).parent.parent / "executor" / "fixtures"
VERSION = "1.17.10"
PATIENCE = 60.0  # seconds

ALICE, BOB, CAROL = wallets("geth account", 3)
STRANGER = bytes(19) + b"\xaa"  # who has nothing before
UNLIMITED = 2**256 - 1
TRANSFER_GAS = 21_000
CALL_GAS = 400_000
CREATION_GAS = 6_000_000

TRANSFERRED = keccak(text="Transfer(address,address,uint256)")
SWAPPED = keccak(text="Swap(address,uint256,uint256,uint256,uint256,address)")

#: Adds one to the first slot, logs it with the caller, and returns it.
COUNTER = assemble("0 sload 1 add  dup1 0 sstore  0 mstore  caller 32 0 log1  32 0 return")
#: Calls the account in the first word of its calldata with the rest, and logs what that returns, how many leading
#: zeros its first word has (EIP-7939), and whether it succeeded.
PROBE = (
    assemble(
        "32 calldatasize sub 32 0 calldatacopy  0 0  32 calldatasize sub 0  0 calldataload gas staticcall "
        "returndatasize 0 0 returndatacopy  0 mload"
    )
    + b"\x1e"  # CLZ
    + assemble("returndatasize 0 log2")
)

P256VERIFY = (0x100).to_bytes(20, "big")
BLS12_G1ADD = (0x0B).to_bytes(20, "big")

#: Calls the account in its calldata with gas that is not enough for looking at anything cold (EIP-2929).
MISER = assemble("0 0 0 0  0 calldataload 300 staticcall pop")
UNSEEN = bytes(19) + b"\xbb"
#: What it calls: each looks at something cold.
LOOKS = tuple(
    assemble(source)
    for source in (
        f"{int.from_bytes(UNSEEN)} balance",
        f"{int.from_bytes(UNSEEN) + 1} extcodesize",
        f"{int.from_bytes(UNSEEN) + 2} extcodehash",
        f"0 0 0 0  {int.from_bytes(UNSEEN) + 3} gas staticcall",
        "7 sload",
    )
)
UNSEEN_SLOTS = 16

#: Times from which blocks are of a fork.
OSAKA_TIMES: Mapping[str, int] = dict.fromkeys(("cancun", "prague", "osaka"), 0)
#: One block of each fork.
CROSSING_TIMES: Mapping[str, int] = {"cancun": 0} | {
    name: GENESIS_TIME + number * SECONDS_PER_BLOCK
    for number, name in enumerate(("prague", "osaka", "bpo1", "bpo2"), start=2)
}
#: Blob schedules of EIP-7892, as configurations have them.
BLOBS: Mapping[str, Mapping[str, int]] = {
    "bpo1": {"target": 10, "max": 15, "baseFeeUpdateFraction": 8_346_193},
    "bpo2": {"target": 14, "max": 21, "baseFeeUpdateFraction": 11_684_671},
}


class Geth:
    """A geth that mines a block when it is told to, of what it is told.

    Args:
        node: it, when it listens.
        url: where.
    """

    def __init__(self, node: Node, url: str) -> None:
        self.node, self.url = node, url
        self._chain_id = int(node.call("eth_chainId"), 16)
        self._blocks = 0
        self._nonces: dict[bytes, int] = {}

    def sign(
        self,
        sender: Wallet,
        to: bytes | None,
        data: bytes = b"",
        value: int = 0,
        gas: int = CALL_GAS,
        codes: Mapping[Wallet, bytes] | None = None,
        **more: Any,
    ) -> str:
        """A raw transaction: one with dynamic fees, where ``more`` has no gas price.

        ``codes`` are contracts whose codes accounts take over with it (EIP-7702).
        """
        request = self._signed_by(sender) | {"gas": hex(gas), "value": hex(value), "data": _hex(data)} | more
        if "gasPrice" not in more:
            request |= {"maxFeePerGas": hex(9 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
        if to is not None:
            request["to"] = _hex(to)
        if codes is not None:
            request["authorizationList"] = [
                self._signed_by(account) | {"address": _hex(code)} for account, code in codes.items()
            ]
        return _hex(sign_transaction(request, self._chain_id))

    def create(self, sender: Wallet, code: bytes) -> tuple[str, bytes]:
        """A raw transaction that creates a contract, and its address."""
        address = created_address(sender.address, self._nonces.get(sender.address, 0))
        return self.sign(sender, None, code, gas=CREATION_GAS), address

    def _signed_by(self, account: Wallet) -> dict[str, str]:
        """What signs something with the account's next nonce."""
        nonce = self._nonces.get(account.address, 0)
        self._nonces[account.address] = nonce + 1
        return {"secretKey": _hex(account.key), "nonce": hex(nonce)}

    def mine(self, *transactions: str, withdrawals: tuple[Mapping[str, str], ...] = ()) -> list[dict[str, Any]]:
        """Mine a block of exactly these transactions; returns the logs."""
        self._blocks += 1
        attributes = {
            "timestamp": hex(GENESIS_TIME + self._blocks * SECONDS_PER_BLOCK),
            "prevRandao": _hex(keccak(text=f"randao of block {self._blocks}")),
            "suggestedFeeRecipient": _hex(FEE_RECIPIENT),
            "withdrawals": withdrawals,
            "parentBeaconBlockRoot": _hex(keccak(text=f"beacon root before block {self._blocks}")),
        }
        block = self.node.call("testing_commitBlockV1", attributes, transactions, _hex(b"zkevm"))
        receipts = self.node.call("eth_getBlockReceipts", block)
        assert len(receipts) == len(transactions)
        return [log for receipt in receipts for log in _logs(receipt)]

    def send(self, transaction: str) -> list[dict[str, Any]]:
        """Send a transaction, and wait until a block has it; returns the logs."""
        sent = self.node.call("eth_sendRawTransaction", transaction)
        deadline = time.monotonic() + PATIENCE
        while (receipt := self._receipt(sent)) is None:
            assert time.monotonic() < deadline, "no block"
            time.sleep(0.1)
        return _logs(receipt)

    def _receipt(self, transaction: str) -> dict[str, Any] | None:
        """What a transaction did, if a block has it that the node can find."""
        try:
            found: dict[str, Any] | None = self.node.call("eth_getTransactionReceipt", transaction)
        except NodeError as error:
            if "indexing" not in str(error):  # a node that has just begun does not know yet
                raise
            return None
        return found


def _logs(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    assert receipt["status"] == "0x1"
    logs: list[dict[str, Any]] = receipt["logs"]
    return logs


@contextmanager
def running(program: str, folder: Path, times: Mapping[str, int], apis: str = "eth,debug,testing") -> Iterator[Geth]:
    """A geth in developer mode whose blocks are of some forks from these times on (Unix, in seconds).

    Its own genesis for developers has prices of a fork that is still in the making, too (``bogotaTime``).
    """
    genesis = json.loads(_output(program, "--dev", "dumpgenesis"))
    config = {name: value for name, value in genesis["config"].items() if not name.endswith("Time")}
    config |= {"shanghaiTime": 0} | {f"{name}Time": time for name, time in times.items()}
    config["blobSchedule"] |= {name: blobs for name, blobs in BLOBS.items() if name in times}
    genesis |= {"config": config, "timestamp": hex(GENESIS_TIME), "gasLimit": hex(30_000_000)}
    genesis["alloc"] |= {_hex(account.address): {"balance": hex(WALLET_BALANCE)} for account in (ALICE, BOB, CAROL)}
    path, data = folder / "genesis.json", folder / "data"
    path.write_text(json.dumps(genesis))
    _output(program, "init", "--datadir", str(data), str(path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--dev", "--datadir", str(data), "--ipcdisable", "--nodiscover", "--port", "0"]
    command += ["--http", "--http.port", str(port), "--http.api", apis]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Whatever proxy there is, it is not asked for what runs here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            url = f"http://127.0.0.1:{port}"
            yield Geth(listening(url, process), url)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def is_recorded_version(program: str) -> bool:
    """Whether a geth is the one that the fixtures are of."""
    return f"Version: {VERSION}-" in _output(program, "version")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def listening(url: str, process: subprocess.Popen[bytes]) -> Node:
    """A node that has just been started, when it listens."""
    node, deadline = Node(url), time.monotonic() + PATIENCE
    while True:
        try:
            node.call("eth_chainId")
        except NodeError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        else:
            return node


def mine_cancun(geth: Geth) -> None:
    """A transfer, a creation and a call, each in a block."""
    creation, counter = geth.create(ALICE, _returning(COUNTER))
    geth.mine(geth.sign(BOB, STRANGER, value=5, gas=TRANSFER_GAS))
    geth.mine(creation)
    geth.mine(geth.sign(BOB, counter))


def mine_osaka(geth: Geth) -> None:
    """Transfers, tokens, an exchange, collectibles, set code, precompiles, requests: seven blocks."""
    code = RecordedCode()
    creation, token = geth.create(ALICE, SOLIDITY.creation_code(code))
    listed = [{"address": _hex(token), "storageKeys": [_hex(mapping_slot(0, ALICE.address).to_bytes(32, "big"))]}]
    geth.mine(
        creation,
        geth.sign(BOB, STRANGER, value=5, gas=TRANSFER_GAS, gasPrice=hex(3 * GWEI)),
        geth.sign(BOB, CAROL.address, value=ETHER, gas=TRANSFER_GAS),
        geth.sign(CAROL, token, call_data("approve(address,uint256)", BOB.address, 1), accessList=listed),
    )

    wrapping, weth = geth.create(BOB, code.creation_code("WETH9"))
    founding, factory = geth.create(
        BOB, code.creation_code("UniswapV2Factory") + arguments_data("(address)", BOB.address)
    )
    routing, router = geth.create(
        BOB, code.creation_code("UniswapV2Router02") + arguments_data("(address,address)", factory, weth)
    )
    collecting, collection = geth.create(CAROL, code.creation_code("Collectible"))
    geth.mine(wrapping, founding, routing, collecting)

    sent = call_data("transfer(address,uint256)", CAROL.address, 7 * ETHER)
    logs = geth.mine(
        geth.sign(ALICE, token, sent, gasPrice=hex(4 * GWEI), accessList=listed),
        geth.sign(ALICE, token, call_data("approve(address,uint256)", router, UNLIMITED)),
        geth.sign(CAROL, collection, call_data("safeMint(address,uint256)", BOB.address, 1)),
    )
    assert [log["address"] for log in logs if log["topics"][0] == _hex(TRANSFERRED)] == [_hex(token), _hex(collection)]

    deadline = GENESIS_TIME + 3600
    signature = "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)"
    added = call_data(signature, token, 50 * ETHER, 0, 0, ALICE.address, deadline)
    signature = "swapExactETHForTokens(uint256,address[],address,uint256)"
    swapped = call_data(signature, 1, [weth, token], STRANGER, deadline)
    logs = geth.mine(
        geth.sign(ALICE, router, added, value=2 * ETHER, gas=CREATION_GAS),
        geth.sign(ALICE, router, swapped, value=ETHER // 100),
    )
    assert [log["topics"][0] for log in logs].count(_hex(SWAPPED)) == 1

    withdrawal = {"index": "0x0", "validatorIndex": "0x7", "address": _hex(STRANGER), "amount": "0x9"}
    geth.mine(withdrawals=(withdrawal,))

    counting, counter = geth.create(CAROL, _returning(COUNTER))
    probing, probe = geth.create(CAROL, _returning(PROBE))
    geth.mine(
        counting,
        probing,
        geth.sign(ALICE, BOB.address, codes={BOB: counter}),  # runs it
        geth.sign(CAROL, BOB.address, value=1),
        geth.sign(CAROL, STRANGER, codes={CAROL: token, BOB: bytes(20)}),  # its own code, and one that goes
    )
    geth.mine(
        geth.sign(ALICE, probe, _probing(P256VERIFY, _p256_signature())),
        geth.sign(ALICE, probe, _probing(BLS12_G1ADD, _g1(2) + _g1(3))),
        geth.sign(ALICE, probe, _probing(HISTORY_STORAGE_ADDRESS, (3).to_bytes(32, "big"))),
        geth.sign(BOB, WITHDRAWAL_REQUESTS_ADDRESS, bytes(range(48)) + bytes(8), value=1),
    )


def mine_crossing(geth: Geth) -> None:
    """Five blocks, each of another fork and with what that fork has."""
    counting, counter = geth.create(ALICE, _returning(COUNTER))
    probing, probe = geth.create(ALICE, _returning(PROBE))
    geth.mine(counting, probing, geth.sign(BOB, counter))
    geth.mine(geth.sign(ALICE, CAROL.address, codes={CAROL: counter}))
    geth.mine(geth.sign(BOB, counter), geth.sign(ALICE, probe, _probing(P256VERIFY, _p256_signature())))
    geth.mine(geth.sign(BOB, CAROL.address))
    geth.mine(geth.sign(BOB, counter))


def mine_unseen(geth: Geth) -> None:
    """Accounts and a contract with some slots, and then calls that have not the gas to look at them: two blocks."""
    hiring, miser = geth.create(ALICE, _returning(MISER))
    looking = [geth.create(ALICE, _storing(UNSEEN_SLOTS, code)) for code in LOOKS]
    paying = [
        geth.sign(BOB, (int.from_bytes(UNSEEN) + number).to_bytes(20), value=1, gas=TRANSFER_GAS) for number in range(4)
    ]
    geth.mine(hiring, *(creation for creation, _ in looking), *paying)
    geth.mine(*(geth.sign(BOB, miser, address.rjust(32, b"\0")) for _, address in looking))


#: What is recorded, by the name of the fixture: times of forks, and who mines.
CHAINS: Mapping[str, tuple[Mapping[str, int], Callable[[Geth], None]]] = {
    "geth_cancun": ({"cancun": 0}, mine_cancun),
    "geth_osaka": (OSAKA_TIMES, mine_osaka),
    "geth_crossing": (CROSSING_TIMES, mine_crossing),
}


def recorded(name: str) -> Path:
    """The batch file of a chain that was recorded."""
    return FIXTURES / f"{name}.json.gz"


def _returning(code: bytes) -> bytes:
    """Creation code of a contract."""
    head = assemble(f"{len(code)} dup1 12 0 codecopy 0 return")
    return head.ljust(12, b"\0") + code


def _storing(slots: int, code: bytes) -> bytes:
    """Creation code of a contract whose first slots hold something."""
    stores = assemble(" ".join(f"1 {slot} sstore" for slot in range(slots)))
    head = assemble(f"{len(code)} dup1 {len(stores) + 14} 0 codecopy 0 return")
    return stores + head.ljust(14, b"\0") + code


class RecordedNode:
    """A node whose answers are recorded, or which gives those that were.

    Args:
        answers: by method and parameters as JSON; they grow where there is a node.
        node: that is asked.
    """

    def __init__(self, answers: dict[str, Any], node: Node | None = None) -> None:
        self.answers, self._node = answers, node

    def call(self, method: str, *params: Any) -> Any:
        """As that of `executor.fetch.Node`."""
        asked = json.dumps([method, *params])
        if self._node is not None:
            self.answers[asked] = self._node.call(method, *params)
        return self.answers[asked]


#: What geth answered about the second block of `mine_unseen`.
UNSEEN_ANSWERS = FIXTURES / "geth_unseen.json.gz"


def fetch_unseen(node: Any) -> Fetched:
    """What a node says of that block."""
    return fetch(node, "0x2", "0x2", OSAKA_TIMES)


def _probing(address: bytes, data: bytes) -> bytes:
    return address.rjust(32, b"\0") + data


def _p256_signature() -> bytes:
    """Input of P256VERIFY (EIP-7951): a digest, its signature, the public key."""
    key = ECC.construct(curve="P-256", d=int.from_bytes(keccak(text="a key of secp256r1")[1:]))
    digest = SHA256.new(b"signed")
    signature = DSS.new(key, "deterministic-rfc6979").sign(digest)
    return digest.digest() + signature + b"".join(int(c).to_bytes(32, "big") for c in (key.pointQ.x, key.pointQ.y))


def _g1(factor: int) -> bytes:
    """A multiple of the generator of BLS12-381's first group, as EIP-2537 has it."""
    return b"".join(int(c).to_bytes(64, "big") for c in normalize(multiply(G1, factor)))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def main() -> None:
    """Record the chains."""
    program = shutil.which("geth")
    if program is None or not is_recorded_version(program):
        raise SystemExit(f"needs geth: go install github.com/ethereum/go-ethereum/cmd/geth@v{VERSION}")
    for name, (times, mine) in CHAINS.items():
        with tempfile.TemporaryDirectory() as folder, running(program, Path(folder), times) as geth:
            mine(geth)
            document = fetch(geth.node, "0x1", "latest", times).document
        recorded(name).write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, running(program, Path(folder), OSAKA_TIMES) as geth:
        mine_unseen(geth)
        fetch_unseen(RecordedNode(answers, geth.node))
    UNSEEN_ANSWERS.write_bytes(gzip.compress(json.dumps(answers).encode(), mtime=0))


if __name__ == "__main__":
    main()
