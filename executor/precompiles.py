"""Precompiled contracts where py-evm's are not those of the protocol, or take long for no reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from eth.precompiles import point_evaluation
from eth.precompiles.modexp import extract_lengths

Precompile = Callable[[Any], Any]

# py-evm reads the setup of the ceremony anew for each point evaluation, which takes seconds; blocks can have hundreds.
vars(point_evaluation)["load_trusted_setup"] = cache(vars(point_evaluation)["load_trusted_setup"])

MODEXP = (5).to_bytes(20, "big")  # EIP-198


def corrected(precompiles: Mapping[Any, Precompile]) -> dict[Any, Precompile]:
    """The precompiles of a fork by address, with MODEXP as in EIP-198 for an empty base.

    py-evm 0.12.1b1 gives 0 whenever the base has no bytes. But 0**0 is 1 (``ethereum/tests``, ``modexp.json``).
    """
    return dict(precompiles) | {MODEXP: _modexp(precompiles[MODEXP])}


def _modexp(precompile: Precompile) -> Precompile:
    def modexp(computation: Any) -> Any:
        precompile(computation)
        data: bytes = computation.msg.data_as_bytes
        base_length, exponent_length, modulus_length = extract_lengths(data)
        if base_length == 0 and modulus_length > 0:
            # What the input does not have is zeros; the gas charged bounds the modulus, not the exponent.
            exponent = int.from_bytes(data[96 : 96 + exponent_length], "big")
            modulus = data[96 + exponent_length : 96 + exponent_length + modulus_length].ljust(modulus_length, b"\0")
            power = 1 if exponent == 0 and int.from_bytes(modulus, "big") > 1 else 0
            computation.output = power.to_bytes(modulus_length, "big")
        return computation

    return modexp
