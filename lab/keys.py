"""Keys of variants: made of their circuits when they are needed, and pinned nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import zkevm_native

from lab.variant import Circuits


@dataclass(frozen=True)
class Key:
    """The key of a variant for a size of segments.

    Attributes:
        tables: names, in its order.
        log_stacked_height: the engine's parameter.
        verifying: the verifying half as the engine encodes it.
        proving: the other half.
    """

    tables: tuple[str, ...]
    log_stacked_height: int
    verifying: bytes = field(repr=False)
    proving: zkevm_native.ProvingKey = field(repr=False)

    @classmethod
    def of(cls, circuits: Circuits, log_stacked_height: int) -> Key:
        """Made of a circuit; takes seconds."""
        proving = zkevm_native.keygen(circuits.circuit.export(), log_stacked_height)
        encoding = proving.verifying_key().to_bytes()
        return cls(tuple(circuits.circuit.names), log_stacked_height, encoding, proving)

    @property
    def digest(self) -> str:
        """The engine's, hexadecimal."""
        return self.proving.verifying_key().digest.hex()
