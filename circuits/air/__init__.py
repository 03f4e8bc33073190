"""The circuit language: layouts, expressions, buses, tables, and what is derived from them.

A table is declared once (`Table`: a `Layout` of columns plus constraints). From that one definition come the export to
the proof engine, the independent checker, the statistics, the digest and the mutation harness.

May import: nothing of the project.
"""

from circuits.air.bus import Bus, BusField, BusKind
from circuits.air.circuit import Circuit, TableStatistics
from circuits.air.expression import Expression
from circuits.air.field import MODULUS
from circuits.air.layout import RANGE, C, Layout, Size, bit, byte, element, limb, nested, word
from circuits.air.table import Air, Table

__all__ = [
    "MODULUS",
    "RANGE",
    "Air",
    "Bus",
    "BusField",
    "BusKind",
    "C",
    "Circuit",
    "Expression",
    "Layout",
    "Size",
    "Table",
    "TableStatistics",
    "bit",
    "byte",
    "element",
    "limb",
    "nested",
    "word",
]
