"""The moduli that programs know, as the machine's rows name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modulus:
    """A modulus of programs.

    Attributes:
        number: its name in rows.
        name: for messages.
        value: 0: equations are ones of integers.
    """

    number: int
    name: str
    value: int

    def digits(self, limbs: int) -> list[int]:
        """Signed bytes, the least significant first: at most limbs + 1 of them, without zeros at the end."""
        rest, found = self.value, []
        while rest:
            digit = (rest + 128) % 256 - 128
            found.append(digit)
            rest = (rest - digit) >> 8
        if len(found) > limbs + 1:
            raise ValueError(f"{self.name} has more than {limbs} bytes")
        return found


INTEGERS = Modulus(0, "no modulus", 0)

#: SEC 2: secp256k1, its field and the order of its group.
SECP256K1_P = Modulus(1, "secp256k1's p", 2**256 - 2**32 - 977)
SECP256K1_N = Modulus(2, "secp256k1's n", 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141)
#: EIP-196: alt_bn128, its field and the order of its groups.
BN254_P = Modulus(3, "alt_bn128's p", 21888242871839275222246405745257275088696311157297823662689037894645226208583)
BN254_N = Modulus(4, "alt_bn128's n", 21888242871839275222246405745257275088548364400416034343698204186575808495617)
#: EIP-2537: BLS12-381, its field and the order of its groups.
BLS12_381_P = Modulus(
    5,
    "BLS12-381's p",
    0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB,
)
BLS12_381_R = Modulus(6, "BLS12-381's r", 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001)
#: EIP-7951, FIPS 186: P-256.
P256_P = Modulus(7, "P-256's p", 2**256 - 2**224 + 2**192 + 2**96 - 1)
P256_N = Modulus(8, "P-256's n", 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551)

#: Powers of two, which numbers are compared with.
TWO_96 = Modulus(9, "2^96", 1 << 96)
TWO_128 = Modulus(10, "2^128", 1 << 128)
TWO_160 = Modulus(11, "2^160", 1 << 160)
#: What bounds the digits of short scalars: 33 and 65 digits of 2 bits.
TWO_66 = Modulus(12, "2^66", 1 << 66)
TWO_130 = Modulus(13, "2^130", 1 << 130)

MODULI = (
    INTEGERS,
    SECP256K1_P,
    SECP256K1_N,
    BN254_P,
    BN254_N,
    BLS12_381_P,
    BLS12_381_R,
    P256_P,
    P256_N,
    TWO_96,
    TWO_128,
    TWO_160,
    TWO_66,
    TWO_130,
)
