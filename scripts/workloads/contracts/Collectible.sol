// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";

/// Numbered collectibles that the owner of the collection mints.
contract Collectible is ERC721, Ownable {
    constructor() ERC721("Collectible", "CLB") Ownable(msg.sender) {}

    function mint(address to, uint256 id) external onlyOwner {
        _mint(to, id);
    }

    function safeMint(address to, uint256 id) external onlyOwner {
        _safeMint(to, id);
    }
}

/// Accepts collectibles in safe transfers.
contract Vault is ERC721Holder {}
