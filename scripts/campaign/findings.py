"""Findings: changes that nothing rejects. They are minimised, saved, and told again."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from circuits.air.mutation.judge import PUBLIC_ROW, Provided
from executor.errors import BatchError, UnsupportedFeature
from prover.store import write_atomically
from scripts.campaign.batches import Document
from scripts.campaign.cells import cell_of, changes_of, edits_of, survives
from scripts.campaign.changes import Change
from scripts.campaign.crossing import Crossing
from scripts.campaign.lies import UntellableError, objections, outcome, told
from scripts.campaign.target import Honest, Target
from scripts.forging.segments import Part

#: Rows that the changes are moved to in a smaller batch.
_PLACES = 64


@dataclass(frozen=True)
class Finding:
    """A lie that is accepted.

    Attributes:
        attack: "lies": everything else follows it; "cells", "witnesses": all other cells stay; "crossings": all parts
            of a run are meant, and what they carry follows.
        kind: what was done, in short.
        note: what is accepted.
        changes: all that is said otherwise.
        provided: what a changed message of a function table means (`Provided`); of cells.
        document: the batch.
        part: the segment's operations `first .. end - 1`; None: all of them.
        cuts: steps of these before which a segment ends.
        number: which of the segments that are cut so.
    """

    attack: str
    kind: str
    note: str
    changes: tuple[Change, ...]
    provided: str
    document: Document
    part: Part | None = None
    cuts: tuple[int, ...] = ()
    number: int = 0

    @property
    def name(self) -> str:
        """A name for its file, equal for equal findings."""
        digest = hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()
        return f"{self.attack}-{digest[:12]}.json"

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.note}", *(f"  {change}" for change in self.changes[:8])]
        more = len(self.changes) - 8
        return "\n".join(lines + [f"  and {more} more"] * (more > 0))

    def save(self, folder: Path) -> Path:
        """Write it to the folder; returns the file."""
        path = folder / self.name
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(self._content(), indent=1).encode())
        return path

    @classmethod
    def read(cls, path: Path) -> Finding:
        """A saved finding."""
        content: dict[str, Any] = json.loads(path.read_text())
        changes = tuple(Change(*change) for change in content["changes"])
        part = tuple(content["part"]) if content.get("part") else None  # older ones have none
        cuts = tuple(content.get("cuts", ()))
        return cls(**content | {"changes": changes, "part": part, "cuts": cuts})

    def _content(self) -> dict[str, Any]:
        return asdict(self) | {"changes": [list(change) for change in self.changes]}

    def is_accepted(self, target: Target) -> bool:
        """Whether the target still accepts it.

        Raises:
            LookupError: the target has no such table or cell any more; the finding is out of date.
        """
        return accepts(Honest(target, self.document, self.part, self.cuts, self.number), self)


def accepts(honest: Honest, finding: Finding) -> bool:
    """Whether these changes are accepted in this batch, which need not be the finding's own.

    Raises:
        LookupError: there is nothing to change.
    """
    if finding.attack == "crossings":
        crossing = Crossing(honest)
        segments = crossing.told(finding.changes)
        return not crossing.objections(segments) and crossing.outcome(segments) is not None
    if finding.attack == "lies":
        segment = told(honest, finding.changes)
        return not objections(honest, segment) and outcome(honest, segment, finding.changes) is not None
    return survives(honest, edits_of(honest, finding.changes), finding.kind, Provided(finding.provided))


def minimised(finding: Finding, honest: Honest, seconds: float) -> Finding:
    """The finding with as few changes, and in as small a batch, as are found in so much time."""
    deadline = time.monotonic() + seconds

    def still(smaller: Finding, at: Honest) -> bool:
        try:
            return accepts(at, smaller)
        except (LookupError, UntellableError):
            return False

    finding = _fewer_changes(finding, lambda smaller: still(smaller, honest), deadline)
    progress = True
    # Where a run is cut means something else in another batch.
    while progress and not finding.cuts and time.monotonic() < deadline:
        progress = False
        for document, part in _smaller_segments(finding):
            if time.monotonic() > deadline:
                break
            try:
                at = Honest(honest.target, document, part)
                candidates = list(_moved(finding, honest, at))
            except (BatchError, UnsupportedFeature, LookupError, ValueError):
                continue  # nothing is left of it, or nothing that can be proved
            found = next((c for c in candidates if time.monotonic() < deadline and still(c, at)), None)
            if found is not None:
                finding, honest, progress = replace(found, document=document, part=part), at, True
                break
    return finding


def _fewer_changes(finding: Finding, accepted: Callable[[Finding], bool], deadline: float) -> Finding:
    """Leave out halves, quarters and so on down to single changes, as long as what remains is accepted."""
    changes = finding.changes
    size = len(changes) // 2
    while size and time.monotonic() < deadline:
        start = 0
        while start < len(changes) and time.monotonic() < deadline:
            rest = (*changes[:start], *changes[start + size :])
            if rest and accepted(replace(finding, changes=rest)):
                changes = rest
            else:
                start += size
        size = min(size // 2, len(changes) // 2)
    return replace(finding, changes=changes)


def _smaller_segments(finding: Finding) -> Iterator[tuple[Document, Part | None]]:
    """Smaller batches; of part of one all operations, then the part, and one that is an operation less."""
    for document in _smaller(finding.document):
        yield document, None
        if finding.part is not None:
            first, end = finding.part
            yield document, finding.part
            if first:
                yield document, (first - 1, end - 1)
            if end - first > 1:
                yield document, (first, end - 1)


def _smaller(document: Document) -> Iterator[Document]:
    """The batch without its last blocks, its first ones, or single transactions and withdrawals."""
    blocks = document["blocks"]
    for count in (len(blocks) // 2, len(blocks) - 1):
        if 0 < count < len(blocks):
            yield document | {"blocks": blocks[:count]}
    for number, block in enumerate(blocks):
        for name in ("transactions", "withdrawals"):
            items = block.get(name, [])
            halves = [range(len(items) // 2, len(items)), range(len(items) // 2)] if len(items) > 3 else []
            for left_out in (*halves, *([n] for n in range(len(items)))):
                smaller = copy.deepcopy(document)
                removed = [smaller["blocks"][number][name].pop(n) for n in sorted(left_out, reverse=True)]
                if name == "transactions" and not _nonces_fixed(smaller, number, list(left_out), removed):
                    continue
                yield smaller


def _nonces_fixed(document: Document, block: int, places: Sequence[int], removed: Sequence[Any]) -> bool:
    """Lower the nonces of later transactions of the same senders; False where a transaction is signed already."""
    if any(not isinstance(request, dict) for request in removed):
        return False
    for place, gone in zip(sorted(places, reverse=True), removed, strict=True):
        later = document["blocks"][block]["transactions"][place:]
        later = [*later, *(request for b in document["blocks"][block + 1 :] for request in b["transactions"])]
        for request in later:
            if not isinstance(request, dict):
                return False
            if request["secretKey"] == gone["secretKey"]:
                request["nonce"] -= 1
    return True


def _moved(finding: Finding, old: Honest, new: Honest) -> Iterator[Finding]:
    """The same changes at other rows of another batch: cells by the same differences, all rows by the same distance."""
    yield finding
    first = finding.changes[0].row
    rows = [first - shift for shift in range(min(_PLACES, first + 1))] if first != PUBLIC_ROW else []
    if finding.attack == "lies":
        for row in rows[1:]:
            yield replace(finding, changes=tuple(c._replace(row=c.row + row - first) for c in finding.changes))
        return
    for row in rows:
        moved = tuple(c._replace(row=c.row + row - first) if c.row >= 0 else c for c in finding.changes)
        if any(change.row < PUBLIC_ROW for change in moved):
            continue
        try:
            at = edits_of(new, moved)
        except LookupError:
            continue
        by = [edit[3] - cell_of(old, edit) for edit in edits_of(old, finding.changes)]
        edits = [(*edit[:3], cell_of(new, edit) + step) for edit, step in zip(at, by, strict=True)]
        yield replace(finding, changes=changes_of(new, edits))
