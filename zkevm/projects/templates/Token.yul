// SPDX-License-Identifier: MIT

// A token with a fixed supply that belongs to its creator at first. The supply is the creation's only argument, 32 bytes
// behind the code. Slot 0: supply; slot 2^160 + account: its balance; keccak256(owner, spender): an allowance.
object "Token" {
    code {
        let size := datasize("Token")
        codecopy(0, size, 32)
        let supply := mload(0)
        sstore(0, supply)
        sstore(or(shl(160, 1), caller()), supply)
        log3(0, 32, 0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef, 0, caller())
        datacopy(0, dataoffset("runtime"), datasize("runtime"))
        return(0, datasize("runtime"))
    }
    object "runtime" {
        code {
            if callvalue() { revert(0, 0) }
            switch shr(224, calldataload(0))
            case 0xa9059cbb /* transfer(address,uint256) */ {
                move(caller(), account(4), word(36))
                finish(1)
            }
            case 0x23b872dd /* transferFrom(address,address,uint256) */ {
                let owner := account(4)
                let amount := word(68)
                let slot := allowanceSlot(owner, caller())
                let allowed := sload(slot)
                if lt(allowed, amount) { revert(0, 0) }
                sstore(slot, sub(allowed, amount))
                move(owner, account(36), amount)
                finish(1)
            }
            case 0x095ea7b3 /* approve(address,uint256) */ {
                let spender := account(4)
                let amount := word(36)
                sstore(allowanceSlot(caller(), spender), amount)
                mstore(0, amount)
                log3(0, 32, 0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925, caller(), spender)
                finish(1)
            }
            case 0x70a08231 /* balanceOf(address) */ { finish(sload(balanceSlot(account(4)))) }
            case 0xdd62ed3e /* allowance(address,address) */ { finish(sload(allowanceSlot(account(4), account(36)))) }
            case 0x18160ddd /* totalSupply() */ { finish(sload(0)) }
            default { revert(0, 0) }

            function move(owner, to, amount) {
                let slot := balanceSlot(owner)
                let balance_ := sload(slot)
                if or(lt(balance_, amount), iszero(to)) { revert(0, 0) }
                sstore(slot, sub(balance_, amount))
                // Read after the write: the owner may be the receiver.
                slot := balanceSlot(to)
                sstore(slot, add(sload(slot), amount))
                mstore(0, amount)
                log3(0, 32, 0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef, owner, to)
            }
            function balanceSlot(owner) -> slot { slot := or(shl(160, 1), owner) }
            function allowanceSlot(owner, spender) -> slot {
                mstore(0, owner)
                mstore(32, spender)
                slot := keccak256(0, 64)
            }
            function word(offset) -> value {
                if lt(calldatasize(), add(offset, 32)) { revert(0, 0) }
                value := calldataload(offset)
            }
            function account(offset) -> value {
                value := word(offset)
                if shr(160, value) { revert(0, 0) }
            }
            function finish(value) {
                mstore(0, value)
                return(0, 32)
            }
        }
    }
}
