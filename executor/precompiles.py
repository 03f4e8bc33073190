"""Precompiled contracts where py-evm's are not those of the protocol, or take long for no reason, or are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from eth.exceptions import VMError
from eth.precompiles import point_evaluation
from eth.precompiles.modexp import extract_lengths

from executor.forks import CANCUN, Fork, ModexpRules
from executor.modexp import WORD_BYTES, ModexpInput

Precompile = Callable[[Any], Any]

# py-evm reads the setup of the ceremony anew for each point evaluation, which takes seconds; blocks can have hundreds.
vars(point_evaluation)["load_trusted_setup"] = cache(vars(point_evaluation)["load_trusted_setup"])

MODEXP = (5).to_bytes(20, "big")  # EIP-198
BLS12_381 = range(0x0B, 0x12)  # EIP-2537
P256VERIFY = (0x100).to_bytes(20, "big")  # EIP-7951

# The curve secp256r1 (FIPS 186-5, "P-256"): its field and its order.
P256_FIELD = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
P256VERIFY_GAS = 6_900
P256VERIFY_INPUT_BYTES = 5 * WORD_BYTES


def precompiles_of(fork: Fork, known: Mapping[Any, Precompile]) -> dict[Any, Precompile]:
    """The precompiles of a fork by address: those that py-evm has, corrected, and those that it lacks.

    py-evm 0.12.1b1 gives 0 whenever MODEXP's base has no bytes. But 0**0 is 1 (``ethereum/tests``, ``modexp.json``).
    """
    modexp = _modexp(known[MODEXP]) if fork.modexp == CANCUN.modexp else modexp_by(fork.modexp)
    curve = {number.to_bytes(20, "big"): _of_bls12_381(number) for number in BLS12_381}
    all_known = {**known, **curve, MODEXP: modexp, P256VERIFY: p256verify}
    return {address: all_known[address] for address in fork.precompiles}


def _of_bls12_381(number: int) -> Precompile:
    def precompile(computation: Any) -> Any:
        # Loaded with the first call: see `executor.postponed`.
        from executor import bls12_381

        return bls12_381.PRECOMPILES[number](computation)

    return precompile


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


def modexp_by(rules: ModexpRules) -> Precompile:
    """MODEXP where its numbers have a bound (EIP-7823): all of a call can be read before it is paid."""
    most = rules.max_number_bytes
    if most is None:
        raise ValueError("the numbers have no bound")

    def modexp(computation: Any) -> Any:
        given = ModexpInput(computation.msg.data_as_bytes)
        if max(given.lengths) > most:
            raise VMError(f"MODEXP of a number of {max(given.lengths)} bytes, more than {most} (EIP-7823)")
        computation.consume_gas(given.gas(rules), reason="MODEXP")
        power = pow(given.base, given.exponent, given.modulus) if given.computes else 0
        computation.output = power.to_bytes(given.lengths[2], "big")
        return computation

    return modexp


def p256verify(computation: Any) -> Any:
    """P256VERIFY (EIP-7951): 1 in a word for a signature of secp256r1, nothing for anything else."""
    computation.consume_gas(P256VERIFY_GAS, reason="P256VERIFY")
    data: bytes = computation.msg.data_as_bytes
    if len(data) == P256VERIFY_INPUT_BYTES:
        words = (int.from_bytes(data[start : start + WORD_BYTES], "big") for start in range(0, len(data), WORD_BYTES))
        if is_p256_signature(*words):
            computation.output = (1).to_bytes(WORD_BYTES, "big")
    return computation


def is_p256_signature(digest: int, r: int, s: int, x: int, y: int) -> bool:
    """Whether (r, s) is a signature of the digest with the public key (x, y); all are numbers of 256 bits."""
    # Loaded with the first signature: like `executor.bls12_381`.
    from Crypto.PublicKey.ECC import EccPoint

    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER and x < P256_FIELD and y < P256_FIELD) or x == y == 0:
        return False
    try:
        key = EccPoint(x, y, curve="P-256")
    except ValueError:  # not on the curve
        return False
    inverse = pow(s, -1, P256_ORDER)
    generator = EccPoint(*P256_GENERATOR, curve="P-256")
    point = generator * (digest * inverse % P256_ORDER) + key * (r * inverse % P256_ORDER)
    return not point.is_point_at_infinity() and int(point.x) % P256_ORDER == r
