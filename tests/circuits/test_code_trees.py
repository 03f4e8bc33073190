"""Trees over the chunks of codes: against a plain reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.batch.code_trees import CHUNK_BYTES, CODE_PADDING, CodeTrees, chunk_elements, instruction_starts
from circuits.batch.leaves import LeafCodes
from circuits.functions.poseidon2 import compress, in_python, permute_state
from executor.opcodes import OPCODES

MODULUS = 2013265921
PUSH1, PUSH32 = OPCODES["PUSH1"], OPCODES["PUSH32"]


def random_code(rng: np.random.Generator, size: int) -> bytes:
    """Half of the bytes are PUSHes."""
    code = rng.integers(0, 256, size, dtype=np.uint8)
    push = rng.integers(0, 2, size, dtype=bool)
    code[push] = rng.integers(PUSH1, PUSH32 + 1, int(push.sum()), dtype=np.uint8)
    return code.tobytes()


def starts_of(code: bytes) -> list[int]:
    """One instruction after the other."""
    starts, pc = [0] * len(code), 0
    while pc < len(code):
        starts[pc] = 1
        pc += 1 + (code[pc] - PUSH1 + 1 if PUSH1 <= code[pc] <= PUSH32 else 0)
    return starts


def hash_(left: list[int], right: list[int]) -> list[int]:
    return [(a + b) % MODULUS for a, b in zip(permute_state([*left, *right])[:8], left, strict=True)]


def tree_of(code: bytes) -> tuple[list[int], int]:
    """Root and depth, by the definition."""
    padded = code + bytes(CODE_PADDING)
    padded += bytes(-len(padded) % 48)
    starts = starts_of(padded)
    elements = [
        sum((padded[i + k] << 8 * k) + (starts[i + k] << 24 + k) for k in range(3)) for i in range(0, len(padded), 3)
    ]
    level = [hash_(elements[i : i + 8], elements[i + 8 : i + 16]) for i in range(0, len(elements), 16)]
    depth = 0
    while len(level) > 1:
        level += [[0] * 8] * (len(level) % 2)
        level = [hash_(level[i], level[i + 1]) for i in range(0, len(level), 2)]
        depth += 1
    return level[0], depth


@pytest.mark.parametrize("size", [0, 1, 2, 33, 500])
def test_starts_are_those_of_one_instruction_after_the_other(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(20):
        code = random_code(rng, size)
        assert instruction_starts(np.frombuffer(code, dtype=np.uint8)).tolist() == starts_of(code)


@pytest.mark.parametrize("code", [b"\x60", b"\x7f", b"\x7f" * 40, b"\x60\x61" * 20, b"\x00" * 40, b"\x5f\x80" * 20])
def test_starts_at_the_edges_of_pushes(code: bytes) -> None:
    assert instruction_starts(np.frombuffer(code, dtype=np.uint8)).tolist() == starts_of(code)


def test_trees_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    # One chunk holds 15 bytes and the padding; the others stand at the edges of a level, or within it.
    codes = [random_code(rng, size) for size in (0, 1, 15, 16, 63, 64, 111, 112, 210, 700, 5)]
    trees = CodeTrees.of(codes)
    roots, depths = zip(*map(tree_of, codes), strict=True)
    assert trees.roots.tolist() == list(roots)
    assert trees.depths.tolist() == list(depths)
    assert {0, 1, 2, 3, 4} <= set(depths)
    # A code's tree is its own, whatever others there are.
    assert all(CodeTrees.of([code]).roots.tolist() == [root] for code, root in zip(codes, roots, strict=True))
    with in_python():
        assert CodeTrees.of(codes).roots.tolist() == list(roots)


def test_data_of_one_code_does_not_reach_into_the_next() -> None:
    codes = [b"\0" * 14 + bytes([PUSH32]), bytes([PUSH1, 0x5B]), b"\x5b"]
    trees = CodeTrees.of(codes)
    assert trees.starts[1].tolist() == starts_of(codes[1].ljust(48, b"\0"))
    assert trees.starts[2].tolist() == [1] * 48


def test_nodes_hash_their_children_and_are_zero_behind_the_end() -> None:
    rng = np.random.default_rng(2)
    codes = [random_code(rng, size) for size in (1, 230, 400)]
    trees = CodeTrees.of(codes)
    assert trees.depths.tolist() == [0, 3, 4]
    for number in (1, 2):
        for level in range(1, int(trees.depths[number]) + 1):
            index = np.arange(int(trees.counts[level][number]))
            ids = np.full_like(index, number)
            children = [trees.nodes(level - 1, ids, 2 * index + side) for side in range(2)]
            assert (trees.nodes(level, ids, index) == compress(*children)).all()
    behind = trees.nodes(0, np.array([0, 1, 2]), trees.counts[0])
    assert not behind.any()
    rows = trees.chunk(np.array([0, 1, 1, 2, 2]), np.array([0, 0, 5, 1, -1]))
    assert rows.tolist() == [0, 1, 6, 8, -1]
    assert trees.chunk(np.array([0, 1, 2]), trees.counts[0]).tolist() == [-1] * 3


def test_elements_tell_all_bytes_and_starts() -> None:
    cells, starts = np.zeros((2, CHUNK_BYTES), dtype=np.uint8), np.zeros((2, CHUNK_BYTES), dtype=np.uint8)
    cells[0, :6], starts[0, :6] = (1, 2, 3, 255, 255, 255), (1, 0, 1, 1, 1, 1)
    elements = chunk_elements(cells, starts)
    assert elements[0, :3].tolist() == [1 + (2 << 8) + (3 << 16) + (0b101 << 24), (1 << 27) - 1, 0]
    assert elements.shape == (2, 16)
    assert not elements[1].any()


def test_no_codes() -> None:
    trees = CodeTrees.of([])
    assert trees.roots.shape == (0, 8)
    assert not len(trees.depths)
    assert not len(LeafCodes.of([]).size)


def test_leaves_hold_root_size_and_depth() -> None:
    codes = [b"\1" * 100, b"\2"]
    leaves, trees = LeafCodes.of(codes), CodeTrees.of(codes)
    assert leaves.size.tolist() == [100, 1]
    assert leaves.depth.tolist() == [2, 0]
    assert (leaves.root == trees.roots).all()
    assert leaves.at(np.array([1])).size.tolist() == [1]
