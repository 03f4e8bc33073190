"""Generate the verifying keys that `verifier/keys` pins, the listings of programs, and what is known of the circuits.

Then the keys of trees of proofs, which follow from these: of their leaves, and of the nodes above.

Run after every change of a circuit: `python -m scripts.pin_keys`. With `--check` nothing is written; the exit status
says whether the pinned keys are the ones the circuits generate.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterable
from itertools import product

import zkevm_native

from circuits import segment
from circuits.air.circuit import Circuit
from circuits.fields import listings
from circuits.statement import CIRCUIT_VERSION, Form
from executor.forks import CIRCUIT_FORKS
from verifier import keys, trees


def generate(circuit: Circuit, heights: Iterable[int] = keys.SUPPORTED_HEIGHTS) -> tuple[keys.Manifest, bytes]:
    """Generate verifying keys of a segment circuit.

    Args:
        circuit: with its expressions.
        heights: values of `log_stacked_height`, one key for each.

    Returns:
        Their manifest, and what all of them share.
    """
    document = circuit.export()
    made = [zkevm_native.keygen(document, height).verifying_key() for height in heights]
    encodings = [key.to_bytes() for key in made]
    heads, shared, tails = keys.split(encodings)
    entries = [
        keys.KeyEntry(
            key.log_stacked_height,
            bytes(key.digest).hex(),
            hashlib.sha256(encoding).hexdigest(),
            head.hex(),
            tail.hex(),
        )
        for key, encoding, head, tail in zip(made, encodings, heads, tails, strict=True)
    ]
    return keys.Manifest(CIRCUIT_VERSION, circuit.digest, tuple(circuit.names), tuple(entries)), shared


def generate_nodes(sets: Iterable[tuple[str, int]]) -> tuple[trees.Nodes, bytes]:
    """Generate the keys of trees of proofs, from the pinned keys of segments.

    Args:
        sets: key sets and stacked heights (log2) of segments.

    Returns:
        What is pinned of trees, and the encoding of the key of recursive nodes.

    Raises:
        ValueError: recursive nodes are not the same for all segments, or a node is proven to fewer than 100 bits.
    """
    leaves: dict[tuple[str, int], trees.Leaves] = {}
    found: set[tuple[trees.Commit, bytes]] = set()
    least = math.inf
    for fork, height in sets:
        key = zkevm_native.VerifyingKey.from_bytes(keys.encoding(fork, height), known=True)
        made = zkevm_native.Aggregator(key, trees.stating_tables(keys.manifest(fork).tables))
        commits = {name: tuple(commit) for name, commit in made.commits().items()}
        leaf, for_leaf, recursive = made.keys()
        bits = min(k.security()["total"] for k in (key, leaf))
        inner_bits = min(k.security()["total"] for k in (for_leaf, recursive))
        leaves[fork, height] = trees.Leaves(commits["segment"], commits["leaf"], commits["for_leaf"], bits)
        found.add((commits["recursive"], recursive.to_bytes()))
        least = min(least, inner_bits)
        if min(bits, inner_bits) < zkevm_native.SECURITY_BITS:
            raise ValueError(f"{fork}, log stacked height {height}: a tree is proven to {min(bits, inner_bits)} bits")
    ((itself, encoding),) = found
    digest = bytes(zkevm_native.VerifyingKey.from_bytes(encoding, known=True).digest).hex()
    return trees.Nodes(digest, hashlib.sha256(encoding).hexdigest(), itself, least, leaves), encoding


def main() -> int:
    """Write the keys, or compare them. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the pinned keys and write nothing")
    arguments = parser.parse_args()
    if not arguments.check:
        # First: the circuits that are generated take the listings from there.
        listings.store(listings.assembled())
    current = True
    for fork, form in product(CIRCUIT_FORKS.values(), Form):
        circuit, path = segment.circuit_of_sources(fork, form), segment.store_of(fork, form)
        name = segment.key_set(fork, form)
        manifest, shared = generate(circuit)
        if arguments.check:
            current &= manifest == keys.manifest(name) and segment.stored(path) == circuit.description
            continue
        keys.write(keys.FOLDER / name, manifest, shared)
        segment.store(circuit.description, path)
        for entry in manifest.keys:
            print(f"{name}, log stacked height {entry.log_stacked_height}: digest {entry.digest}")
        print(f"{name}/{keys.CIRCUIT}: {len(shared):,} bytes")
    every = [(circuit, height) for circuit in trees.CIRCUITS for height in trees.HEIGHTS]
    nodes, encoding = generate_nodes(every)
    if arguments.check:
        current &= nodes == trees.pinned()
    else:
        trees.write(nodes, encoding)
        print(f"{trees.NODE_FOLDER}: digest {nodes.digest}, {nodes.security_bits:.2f} bits")
    if arguments.check:
        current &= {n: found.messages() for n, found in listings.listed().items()} == listings.assembled()
        print("the pinned keys are current" if current else "the pinned keys are not those of the circuits")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
