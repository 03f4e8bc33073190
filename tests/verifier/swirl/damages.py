"""Structured damage to proofs: of every field of every message, in every way that comes to mind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from circuits.air.field import MODULUS
from verifier.swirl.key import VerifyingKey
from verifier.swirl.proof import Proof, decode, layout

#: Bytes of a base element and of a length prefix.
WORD = 4


@dataclass(frozen=True)
class Damage:
    """What is done to a proof: other bytes in the place of those from `start` to `end`."""

    what: str
    start: int
    end: int
    content: bytes

    def of(self, encoding: bytes) -> bytes:
        """The damaged proof."""
        return encoding[: self.start] + self.content + encoding[self.end :]


def damages(key: VerifyingKey, encoding: bytes, rng: np.random.Generator) -> list[Damage]:
    """All kinds of damage to a proof that change it."""
    proof = decode(key, encoding)
    made = (
        *_of_start(encoding, proof),
        *_of_prefixes(key, encoding, proof),
        *(damage for name in proof.fields for damage in _of_elements(encoding, proof, name, rng)),
        *_of_length(encoding),
    )
    return [damage for damage in made if damage.content != encoding[damage.start : damage.end]]


def _word(what: str, at: int, value: int) -> Damage:
    return Damage(what, at, at + WORD, (value % (1 << 32)).to_bytes(WORD, "little"))


def _read(encoding: bytes, at: int) -> int:
    return int.from_bytes(encoding[at : at + WORD], "little")


def _off(what: str, encoding: bytes, at: int) -> Iterator[Damage]:
    value = _read(encoding, at)
    for other in (value + 1, value - 1, 0, value ^ 1 << 31):
        yield _word(f"{what} {value} -> {other}", at, other)


def _of_start(encoding: bytes, proof: Proof) -> Iterator[Damage]:
    """Version, number of tables, which are present, heights."""
    yield from _off("version", encoding, 0)
    tables_at = proof.places["commitment"] + 8 * WORD
    yield from _off("number of tables", encoding, tables_at)
    bits_at = tables_at + WORD
    for bit in range(-(-len(proof.log_heights) // 8) * 8):
        at = bits_at + bit // 8
        yield Damage(f"presence of table {bit}", at, at + 1, bytes([encoding[at] ^ 1 << bit % 8]))
    at = bits_at + -(-len(proof.log_heights) // 8)
    for number, (height, cached) in enumerate(zip(proof.log_heights, proof.cached, strict=True)):
        if height is not None:
            yield from _off(f"height of table {number}", encoding, at)
            yield from _off(f"cached parts of table {number}", encoding, at + WORD)
            at += 2 * WORD
            for place in range(cached.size):
                yield from _off(f"cached commitment {place} of table {number}", encoding, at)
                at += WORD


def _of_prefixes(key: VerifyingKey, encoding: bytes, proof: Proof) -> Iterator[Damage]:
    """Each length before a field."""
    for field in layout(key, proof.traces, proof.log_heights, proof.placement.widths):
        for number in range(len(field.prefixes)):
            at = proof.places[field.name] - WORD * (len(field.prefixes) - number)
            yield from _off(f"prefix {number} of {field.name}", encoding, at)


def _of_elements(encoding: bytes, proof: Proof, name: str, rng: np.random.Generator) -> Iterator[Damage]:
    """The first, the last and some element of a field; and the field as a whole."""
    cells = proof.fields[name]
    if not cells.size:
        return
    start = proof.places[name]
    for index in dict.fromkeys((0, cells.size - 1, int(rng.integers(cells.size)))):
        at = start + WORD * index
        value = _read(encoding, at)
        others = {
            "plus one": (value + 1) % MODULUS,
            "negated": -value % MODULUS,
            "zero": 0,
            "random": int(rng.integers(MODULUS)),
            "not reduced": value + MODULUS,
            "largest word": (1 << 32) - 1,
        }
        for what, other in others.items():
            if other < 1 << 32:
                yield _word(f"{name}[{index}] {what}", at, other)
    flat = cells.ravel()
    wholes = {"zeros": np.zeros_like(flat), "reversed": flat[::-1], "rotated": np.roll(flat, 1)}
    for what, whole in wholes.items():
        yield Damage(f"{name} {what}", start, start + WORD * flat.size, whole.astype("<u4").tobytes())


def _of_length(encoding: bytes) -> Iterator[Damage]:
    for cut in (0, 1, WORD, len(encoding) // 2, len(encoding) - 1):
        yield Damage(f"cut to {cut} bytes", cut, len(encoding), b"")
    yield Damage("one byte more", len(encoding), len(encoding), b"\0")
    yield Damage("twice", len(encoding), len(encoding), encoding)
