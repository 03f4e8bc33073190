"""The contracts that blocks call, as the main network has them: what a fork expects in a genesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executor.forks import (
    CANCUN,
    CONSOLIDATION_REQUESTS_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
    Fork,
    SystemCall,
)
from executor.transactions import floor_gas

#: Queue of requests for withdrawals (EIP-7002).
WITHDRAWAL_REQUESTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d565b90939004925050"
    "5036603814608857366101f457346101f4575f5260205ff35b34106101f45760015460010160015560035480600302600401338155600101"
    "5f35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b6003546002548082038060101160df575060105b"
    "5f5b8181146101835782810160030260040181604c02815460601b8152601401816001015481526020019060020154807fffffffffffffff"
    "ffffffffffffffffff00000000000000000000000000000000168252906010019060401c908160381c81600701538160301c816006015381"
    "60281c81600501538160201c81600401538160181c81600301538160101c81600201538160081c81600101535360010160e1565b91018092"
    "1461019557906002556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd"
)

#: Queue of requests to consolidate validators (EIP-7251).
CONSOLIDATION_REQUESTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffff1461019a57600182026001905f5b5f82111560685781019083028483029004916001019190604d565b90939004925050"
    "50366060146088573661019a573461019a575f5260205ff35b341061019a5760015460010160015560035480600402600401338155600101"
    "5f358155600101602035815560010160403590553360601b5f5260605f60143760745fa0600101600355005b600354600254808203806002"
    "1160e7575060025b5f5b8181146101295782810160040260040181607402815460601b815260140181600101548152602001816002015481"
    "526020019060030154905260010160e9565b910180921461013b5790600255610146565b90505f6002555f6003555b5f54807fffffffffff"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e56"
    "5b01600190035b5f555f6001556074025ff35b5f5ffd"
)

_CODES: Mapping[bytes, bytes] = {
    WITHDRAWAL_REQUESTS_ADDRESS: WITHDRAWAL_REQUESTS_CODE,
    CONSOLIDATION_REQUESTS_ADDRESS: CONSOLIDATION_REQUESTS_CODE,
}


def under(document: dict[str, Any], fork: Fork) -> dict[str, Any]:
    """A batch of Cancun with a genesis as one of a later fork, with the contracts that its blocks call.

    Gas limits of transactions that are still to be signed are brought within the fork's rules.
    """
    alloc = document["genesis"]["alloc"] | system_contracts(fork)
    blocks = [
        block | {"transactions": [t if isinstance(t, str) else allowed(t, fork) for t in block["transactions"]]}
        for block in document["blocks"]
    ]
    return document | {"fork": fork.name, "genesis": document["genesis"] | {"alloc": alloc}, "blocks": blocks}


def allowed(request: dict[str, Any], fork: Fork) -> dict[str, Any]:
    """A transaction to be signed, with a gas limit between the floor of its calldata and the most that there may be."""
    gas = max(request["gas"], floor_gas(bytes.fromhex(request.get("data", "0x")[2:]), fork.floor_gas_per_token))
    return request | {"gas": gas if fork.max_transaction_gas is None else min(gas, fork.max_transaction_gas)}


def system_contracts(fork: Fork, since: Fork | None = CANCUN) -> dict[str, dict[str, Any]]:
    """The system contracts of a fork with empty storage, as ``alloc`` of a genesis; those of `since` left out."""
    known = since.system_contracts if since else ()
    return {
        "0x" + call.address.hex(): {"balance": "0x0", "nonce": "0x1", "code": "0x" + _code(call).hex()}
        for call in (*fork.block_start_calls, *fork.block_end_calls)
        if call.address not in known
    }


def _code(call: SystemCall) -> bytes:
    return call.code or _CODES[call.address]
