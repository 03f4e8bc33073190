"""The implementations of the proof system's verifier, behind one interface.

- `native`: the audited engine's own, in Rust.
- `python`: `verifier.swirl`, written from the protocol's description; shares no code with the other.

Both are given the same encoded keys and proofs, and must give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from verifier.errors import Invalid


@dataclass(frozen=True, slots=True)
class VerifiedSegment:
    """What a proof that verifies says, and how sure that is.

    Attributes:
        public_values: of each table of the key; empty for one without rows.
        log_heights: of each table, None for one without rows.
        security_bits: proven at these heights.
        cached_commits: to the parts of each table that its proofs may share, 8 elements each; no segment has any.
    """

    public_values: Sequence[Sequence[int]]
    log_heights: Sequence[int | None]
    security_bits: float
    cached_commits: Sequence[Sequence[Sequence[int]]] = ()


class VerifyingKey(Protocol):
    """A decoded key."""

    @property
    def digest(self) -> bytes:
        """What the engine calls the key by, 32 bytes."""

    def verify(self, proof: bytes) -> VerifiedSegment:
        """Verify a proof.

        Raises:
            Invalid: if it is malformed, does not verify or has sizes that the security analysis does not cover.
        """


class NativeKey:
    """A key of the native engine.

    Attributes:
        decoded: the engine's own (`zkevm_native.VerifyingKey`).
    """

    def __init__(self, encoding: bytes) -> None:
        # Only here: whoever verifies in Python needs no native code.
        import zkevm_native

        self._native = zkevm_native
        try:
            self.decoded = zkevm_native.VerifyingKey.from_bytes(encoding, known=True)
        except zkevm_native.EngineError as error:
            raise Invalid(str(error)) from error

    @property
    def digest(self) -> bytes:
        return bytes(self.decoded.digest)

    def verify(self, proof: bytes) -> VerifiedSegment:
        try:
            verified = self._native.verify(self.decoded, proof)
        except self._native.EngineError as error:
            raise Invalid(f"the engine refuses the proof: {error}") from error
        bits = float(self.decoded.security(verified.log_heights)["total"])
        return VerifiedSegment(verified.public_values, verified.log_heights, bits, verified.cached_commits)


class PythonKey:
    """A key of the verifier in Python.

    Args:
        encoding: the engine's.
        of_nodes: whether it is a key of nodes of a tree of proofs.
    """

    def __init__(self, encoding: bytes, of_nodes: bool = False) -> None:
        from verifier.swirl import key

        self._key = (key.decode_node if of_nodes else key.decode)(encoding)

    @property
    def digest(self) -> bytes:
        return b"".join(element.to_bytes(4, "little") for element in self._key.digest)

    def verify(self, proof: bytes) -> VerifiedSegment:
        from verifier.swirl.verify import verify

        try:
            verified = verify(self._key, proof)
        except Invalid as error:
            raise Invalid(f"the engine refuses the proof: {error}") from error
        return VerifiedSegment(
            verified.public_values, verified.log_heights, verified.security.total, verified.cached_commits
        )


ENGINES: Final[Mapping[str, Callable[[bytes], VerifyingKey]]] = {"native": NativeKey, "python": PythonKey}
"""How each engine decodes a key that is known by a hash of its encoding; raises `Invalid` for what is no key."""


def node_key(encoding: bytes, engine: str) -> VerifyingKey:
    """The key of nodes of a tree of proofs, which is known by a hash of its encoding.

    Raises:
        Invalid: for what is no key.
    """
    return PythonKey(encoding, of_nodes=True) if engine == "python" else NativeKey(encoding)


def native_is_installed() -> bool:
    """Whether the native engine can be imported."""
    try:
        import zkevm_native  # noqa: F401
    except ImportError:
        return False
    return True
