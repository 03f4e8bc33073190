"""Programs of the field machine: straight-line arithmetic modulo large numbers, and what they compute.

`program` is their language; `curves` and `towers` have the formulas, and the modules with names of the execution specs'
precompiled contracts the programs of those. No circuit is here: `circuits.fields` proves that a program was run.

May import: functions.
"""
