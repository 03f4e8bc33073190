"""Constants of Poseidon2 over BabyBear, width 16, as the proof engine uses them.

Round constants: HorizenLabs' `poseidon2_instance_babybear` (RC16). External matrix: the 4x4 MDS matrix
circ(2, 3, 1, 1) in Plonky3's arrangement. Internal matrix: all ones plus the diagonal of `p3-baby-bear`.
Source of the construction: Poseidon2, https://eprint.iacr.org/2023/323.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import MODULUS

WIDTH = 16
FULL_ROUNDS = 8
PARTIAL_ROUNDS = 13

_EXTERNAL_INITIAL = [
    0x69CBB6AF,
    0x46AD93F9,
    0x60A00F4E,
    0x6B1297CD,
    0x23189AFE,
    0x732E7BEF,
    0x72C246DE,
    0x2C941900,
    0x0557EEDE,
    0x1580496F,
    0x3A3EA77B,
    0x54F3F271,
    0x0F49B029,
    0x47872FE1,
    0x221E2E36,
    0x1AB7202E,
    0x487779A6,
    0x3851C9D8,
    0x38DC17C0,
    0x209F8849,
    0x268DCEE8,
    0x350C48DA,
    0x5B9AD32E,
    0x0523272B,
    0x3F89055B,
    0x01E894B2,
    0x13DDEDDE,
    0x1B2EF334,
    0x7507D8B4,
    0x6CEEB94E,
    0x52EB6BA2,
    0x50642905,
    0x05453F3F,
    0x06349EFC,
    0x6922787C,
    0x04BFFF9C,
    0x768C714A,
    0x3E9FF21A,
    0x15737C9C,
    0x2229C807,
    0x0D47F88C,
    0x097E0ECC,
    0x27EADBA0,
    0x2D7D29E4,
    0x3502AAA0,
    0x0F475FD7,
    0x29FBDA49,
    0x018AFFFD,
    0x0315B618,
    0x6D4497D1,
    0x1B171D9E,
    0x52861ABD,
    0x2E5D0501,
    0x3EC8646C,
    0x6E5F250A,
    0x148AE8E6,
    0x17F5FA4A,
    0x3E66D284,
    0x0051AA3B,
    0x483F7913,
    0x2CFE5F15,
    0x023427CA,
    0x2CC78315,
    0x1E36EA47,
]
_EXTERNAL_FINAL = [
    0x7290A80D,
    0x6F7E5329,
    0x598EC8A8,
    0x76A859A0,
    0x6559E868,
    0x657B83AF,
    0x13271D3F,
    0x1F876063,
    0x0AEEAE37,
    0x706E9CA6,
    0x46400CEE,
    0x72A05C26,
    0x2C589C9E,
    0x20BD37A7,
    0x6A2D3D10,
    0x20523767,
    0x5B8FE9C4,
    0x2AA501D6,
    0x1E01AC3E,
    0x1448BC54,
    0x5CE5AD1C,
    0x4918A14D,
    0x2C46A83F,
    0x4FCF6876,
    0x61D8D5C8,
    0x6DDF4FF9,
    0x11FDA4D3,
    0x02933A8F,
    0x170EAF81,
    0x5A9C314F,
    0x49A12590,
    0x35EC52A1,
    0x58EB1611,
    0x5E481E65,
    0x367125C9,
    0x0EBA33BA,
    0x1FC28DED,
    0x066399AD,
    0x0CBEC0EA,
    0x75FD1AF0,
    0x50F5BF4E,
    0x643D5F41,
    0x6F4FE718,
    0x5B3CBBDE,
    0x1E3AFB3E,
    0x296FB027,
    0x45E1547B,
    0x4A8DB2AB,
    0x59986D19,
    0x30BCDFA3,
    0x1DB63932,
    0x1D7C2824,
    0x53B33681,
    0x0673B747,
    0x038A98A3,
    0x2C5BCE60,
    0x351979CD,
    0x5008FB73,
    0x547BCA78,
    0x711AF481,
    0x3F93BF64,
    0x644D987B,
    0x3C8BCD87,
    0x608758B8,
]
_INTERNAL = [
    0x5A8053C0,
    0x693BE639,
    0x3858867D,
    0x19334F6B,
    0x128F0FD8,
    0x4E2B1CCB,
    0x61210CE0,
    0x3C318939,
    0x0B5B2F22,
    0x2EDB11D5,
    0x213EFFDF,
    0x0CAC4606,
    0x241AF16D,
]

EXTERNAL_INITIAL = np.array(_EXTERNAL_INITIAL, dtype=np.uint64).reshape(4, WIDTH)
EXTERNAL_FINAL = np.array(_EXTERNAL_FINAL, dtype=np.uint64).reshape(4, WIDTH)
INTERNAL = np.array(_INTERNAL, dtype=np.uint64)


def _fraction(numerator: int, log_denominator: int) -> int:
    return numerator * pow(2, -log_denominator, MODULUS) % MODULUS


#: The internal layer maps x to sum(x) + diagonal * x.
INTERNAL_DIAGONAL = np.array(
    [
        MODULUS - 2,
        1,
        2,
        _fraction(1, 1),
        3,
        4,
        _fraction(-1, 1),
        MODULUS - 3,
        MODULUS - 4,
        _fraction(1, 8),
        _fraction(1, 2),
        _fraction(1, 3),
        _fraction(1, 27),
        _fraction(-1, 8),
        _fraction(-1, 4),
        _fraction(-1, 27),
    ],
    dtype=np.uint64,
)

_M4 = np.array([[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]], dtype=np.uint64)

#: The external layer: 2 * M4 on the diagonal blocks, M4 elsewhere; entries at most 6, row sums at most 35.
EXTERNAL_MATRIX = np.kron(np.ones((4, 4), dtype=np.uint64) + np.eye(4, dtype=np.uint64), _M4)
