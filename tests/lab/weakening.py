"""Variants that are weaker than those that are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from circuits.component import Component
from lab.variant import Changes, Rewriting, Variant, rewritten


def weakened(variant: Variant, table: str, rewriting: Rewriting) -> Variant:
    """A variant one of whose own tables is rewritten."""

    def changes(components: Mapping[str, Component]) -> Changes:
        made = variant.changes(components)
        own = {c.table.name: c for c in made.added}
        weak = replace(own[table], table=rewritten(own[table].table, rewriting))
        assert weak.table is not own[table].table, "nothing to weaken"
        return replace(made, added=tuple({**own, table: weak}.values()))

    return Variant(f"weak {variant.name}", "", changes, variant.committed, variant.sample)
