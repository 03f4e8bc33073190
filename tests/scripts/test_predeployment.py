"""The pre-state that deployments leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.workloads.assembler import assemble
from scripts.workloads.predeployment import Predeployment, created2_address, created_address
from scripts.workloads.toolchain import Toolchain, ToolchainError

CREATOR = b"\xc0" * 20
# Stores 7 in slot 1 and 8 in slot 2, clears slot 1, and leaves the code `0 sload stop`.
CODE = assemble("7 1 sstore 8 2 sstore 0 1 sstore 0x5f5400 0 mstore 3 29 return")


def predeployment() -> Predeployment:
    return Predeployment(chain_id=1, timestamp=1)


def test_a_contract_is_what_its_constructor_leaves() -> None:
    state = predeployment()
    address = state.create(CREATOR, CODE)
    assert address == created_address(CREATOR, 0)
    account = state.alloc()["0x" + address.hex()]
    slot = "0x" + (2).to_bytes(32, "big").hex()
    assert account == {"balance": "0x0", "nonce": "0x1", "code": "0x5f5400", "storage": {slot: "0x8"}}
    assert state.written(address) == {1: 7, 2: 8}
    assert state.alloc()["0x" + CREATOR.hex()] == {"balance": "0x0", "nonce": "0x1"}


def test_calls_change_storage_and_balances_and_empty_accounts_are_left_out() -> None:
    state = predeployment()
    contract, payer, stranger = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
    state.put_code(contract, assemble("callvalue 5 sstore 32 0 return"))
    state.fund(payer, 10)
    state.fund(stranger, 0)
    assert state.call(payer, contract, b"", value=4) == bytes(32)
    alloc = state.alloc()
    assert set(alloc) == {"0x" + contract.hex(), "0x" + payer.hex()}
    assert alloc["0x" + payer.hex()] == {"balance": "0x6"}
    assert list(alloc["0x" + contract.hex()]["storage"].values()) == ["0x4"]


def test_addresses_of_created_contracts() -> None:
    # The second example of EIP-1014, and the first contract of an account of Hardhat's test mnemonic.
    deployer = bytes.fromhex("deadbeef" + "00" * 16)
    assert created2_address(deployer, bytes(32), b"\0").hex() == "b928f69bb1d91cd65274e3c79d8986362984fda3"
    account = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
    assert created_address(account, 0).hex() == "5fbdb2315678afecb367f032d93f642f64180aa3"


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ToolchainError, match="npm is needed"):
        Toolchain(tmp_path).creation_code("Token")
