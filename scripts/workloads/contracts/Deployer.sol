// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

/// Creates contracts, at the address of its next nonce or at that of a salt.
contract Deployer {
    event Deployed(address indexed at);

    function create(bytes memory code) external returns (address at) {
        assembly ("memory-safe") {
            at := create(0, add(code, 32), mload(code))
            if iszero(at) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
        emit Deployed(at);
    }

    function create2(bytes32 salt, bytes memory code) external returns (address at) {
        at = Create2.deploy(0, salt, code);
        emit Deployed(at);
    }
}

/// Cannot be created: its constructor always reverts.
contract Unborn {
    error NeverCreated(address by);

    constructor() {
        revert NeverCreated(msg.sender);
    }
}
