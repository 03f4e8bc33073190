"""Calls of all precompiles of Cancun, each with what it must return by another library than the executor's."""

from __future__ import annotations

import hashlib

from Crypto.Hash import RIPEMD160
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak
from py_ecc.bls.ciphersuites import G2ProofOfPossession
from py_ecc.optimized_bn128.optimized_curve import G1, G2, curve_order, multiply, normalize

from scripts.workloads.traffic import Call, Wallet, wallet
from scripts.workloads.traffic_resources import WORD, ResourceTraffic, counted_loop, encoded_words

#: BLAKE2b's first state for digests of 64 bytes without a key (RFC 7693, 2.5 and 2.6).
_BLAKE2B_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_BLAKE2B_PARAMETERS = 0x01010040
_BLAKE2B_ROUNDS = 12

#: EIP-4844: what a point evaluation returns.
_FIELD_ELEMENTS_PER_BLOB = 4096
_BLS_MODULUS = 52435875175126190479447740508185965837690552500527637822603658699938581184513
_INFINITY = b"\xc0" + bytes(47)


class PrecompileTraffic(ResourceTraffic):
    """Static calls of precompiles, which count the successes and hash them with the last output."""

    HEAD = 5 * WORD  # words of calldata before the input
    _INPUT = 4096  # where it lies in memory
    # Words 1 to 4: slot of the result, number of the precompile, bytes of its output, gas.
    CODE = counted_loop(
        start=f"{HEAD} calldatasize sub  {HEAD} {_INPUT} calldatacopy",
        body=f"96 calldataload {WORD}  {HEAD} calldatasize sub {_INPUT}  64 calldataload 128 calldataload staticcall "
        "0 mload add 0 mstore",
        end=f"96 calldataload {WORD} add 0 sha3  32 calldataload sstore",
    )

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self.address = self._put("precompiles", self.CODE)

    def call(self, number: int, count: int, gas: int, data: bytes, output: bytes, size: int | None = None) -> Call:
        """``count`` calls with this input, each with this gas.

        ``output`` is what they return. Where they fail, ``size`` says how many bytes were expected.
        """
        slot = len(self._storage)
        room = len(output) if size is None else size
        succeeded = count if size is None else 0
        result = keccak(encoded_words(succeeded) + output.ljust(room, b"\0"))
        self._storage[self.address, slot] = int.from_bytes(result)
        return self._call(self.address, encoded_words(count, slot, number, room, gas) + data)

    def recover(self, count: int) -> Call:
        """The address that signed a hash."""
        signer, digest = wallet("signer of a hash"), keccak(text="signed")
        signature = PrivateKey(signer.key).sign_msg_hash(digest)
        data = digest + encoded_words(27 + int(signature.v), int(signature.r), int(signature.s))
        address = bytes.fromhex(Account.from_key(signer.key).address[2:])
        return self.call(1, count, 3_000, data, address.rjust(WORD, b"\0"))

    def recover_nothing(self, count: int) -> Call:
        """A signature with an s of 0: the call succeeds and returns nothing."""
        data = keccak(text="signed") + encoded_words(27, 1, 0)
        return self.call(1, count, 3_000, data, bytes(WORD))

    def hash(self, number: int, count: int, data: bytes) -> Call:
        """SHA-256 (2), RIPEMD-160 (3) or the identity (4)."""
        output = {
            2: hashlib.sha256(data).digest(),
            3: RIPEMD160.new(data).digest().rjust(WORD, b"\0"),
            4: data,
        }[number]
        return self.call(number, count, 60_000, data, output)

    def power(self, count: int, base: int, exponent: int, modulus: int, size: int) -> Call:
        """A power modulo a number, all in numbers of so many bytes."""
        numbers = b"".join(value.to_bytes(size, "big") for value in (base, exponent, modulus))
        output = pow(base, exponent, modulus).to_bytes(size, "big")
        return self.call(5, count, 100_000, encoded_words(size, size, size) + numbers, output)

    def add(self, count: int, a: int, b: int) -> Call:
        """The sum of two multiples of alt_bn128's generator."""
        return self.call(6, count, 150, _g1(a) + _g1(b), _g1(a + b))

    def multiply(self, count: int, a: int, k: int) -> Call:
        """A multiple of a multiple of it."""
        return self.call(7, count, 6_000, _g1(a) + encoded_words(k), _g1(a * k))

    def pair(self, count: int, *factors: tuple[int, int]) -> Call:
        """The pairing check on multiples of the generators of both groups of alt_bn128."""
        data = b"".join(_g1(a) + _g2(b) for a, b in factors)
        holds = sum(a * b for a, b in factors) % curve_order == 0
        return self.call(8, count, 45_000 + 34_000 * len(factors), data, encoded_words(holds))

    def compress(self, count: int) -> Call:
        """BLAKE2b of one block of a message: its 12 rounds."""
        message = bytes(range(128))
        first = (_BLAKE2B_IV[0] ^ _BLAKE2B_PARAMETERS, *_BLAKE2B_IV[1:])
        state = b"".join(value.to_bytes(8, "little") for value in first)
        length = len(message).to_bytes(16, "little")
        data = _BLAKE2B_ROUNDS.to_bytes(4, "big") + state + message + length + b"\1"
        return self.call(9, count, _BLAKE2B_ROUNDS, data, hashlib.blake2b(message).digest())

    def evaluate(self, count: int, value: int, claimed: int) -> Call:
        """The value of a constant polynomial at some point.

        Its commitment is the public key of a secret key of BLS signatures, and the point at infinity proves its value.
        """
        commitment = bytes(G2ProofOfPossession.SkToPk(value))
        versioned = b"\x01" + hashlib.sha256(commitment).digest()[1:]
        data = versioned + encoded_words(77, claimed) + commitment
        answer = encoded_words(_FIELD_ELEMENTS_PER_BLOB, _BLS_MODULUS)
        if claimed == value:
            return self.call(10, count, 50_000, data + _INFINITY, answer)
        return self.call(10, count, 50_000, data + bytes(G2ProofOfPossession.SkToPk(claimed)), b"", len(answer))


def _g1(k: int) -> bytes:
    """A multiple of alt_bn128's generator, as EIP-196 has it."""
    if k % curve_order == 0:
        return bytes(2 * WORD)
    x, y = normalize(multiply(G1, k % curve_order))
    return encoded_words(int(x), int(y))


def _g2(k: int) -> bytes:
    """A multiple of the generator of the second group, as EIP-197 has it: imaginary parts first."""
    x, y = normalize(multiply(G2, k % curve_order))
    return encoded_words(*(int(c) for part in (x, y) for c in reversed(part.coeffs)))
