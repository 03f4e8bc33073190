"""Codes, opened in parts: true answers only, for codes that the verifier knows, and at their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.air.layout import TraceView
from circuits.batch.code_trees import CodeTrees, chunk_elements
from circuits.batch.execution import Execution
from circuits.frames import buffer, code, push_sites
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CODE, CODE_NODE, CODE_PART, INSTRUCTION
from circuits.functions.buses import BITWISE_BYTES, HASH_WORD, KNOWN_CODE, POSEIDON2
from circuits.functions.poseidon2 import compress
from circuits.instructions import copies, stack
from circuits.state.buses import CODE_LEAF
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import BYTES, RANGES, objections, row_where

FAMILY = (*stack.COMPONENTS, *push_sites.COMPONENTS, *code.COMPONENTS)
CHECKED = (*FAMILY, RANGES, BYTES)
#: With the instructions that copy a code.
COPYING = (*copies.COMPONENTS, *copies.COPY_COMPONENTS, *buffer.COMPONENTS)

ONES = "0x" + "ff" * 32
LONG = f"7 0 0x0102 0x010203 0x01020304 0x0102030405 0x{'1234' * 15} {ONES} 0x8000000000 dup9 swap3 pop stop"
#: The last PUSH32 has one byte of data, the others lie behind the end; the first byte is data that looks like PUSH1.
CUT = bytes.fromhex("6160ff7f05")
#: Runs its first instructions only, of twenty chunks.
SPARSE = assemble("7 0x0102 pop pop stop") + bytes(range(1, 95)) * 10
#: Copies 70 bytes from byte 5 of itself.
COPIES = assemble("70 5 0 codecopy stop") + bytes(range(100, 250))


def of_codes(*codes: bytes) -> Execution:
    """A batch that runs each of these codes."""
    building = Builder()
    transactions = []
    for number, bytes_ in enumerate(codes):
        address = bytes([0xA0 + number]) * 20
        building.alloc(address, code="0x" + bytes_.hex())
        transactions.append(call_contract(building, to=address))
    return execution_of(building.block(*transactions).execute())


def table(name: str, traces: list[Any], family: tuple[Any, ...] = FAMILY) -> TraceView:
    place = [c.table.name for c in family].index(name)
    assert traces[place] is not None
    return TraceView(family[place].table.layout, traces[place])


def id_of(execution: Execution, bytes_: bytes) -> int:
    codes = execution.trace.codes
    found = [execution.trace.bytes_at(codes.start[row], codes.size[row]) for row in execution.codes]
    return found.index(bytes_)


def as_queries(*rows: list[int]) -> NDArray[np.uint32]:
    return np.array(rows, dtype=np.uint32)


def test_honest_codes_are_accepted() -> None:
    execution = of_codes(assemble(LONG), CUT, bytes.fromhex("00"), assemble("0x60 5 pop pop") * 20, SPARSE)
    assert not check_family(CHECKED, execution)


def test_copied_codes_are_accepted() -> None:
    execution = of_codes(COPIES, CUT)
    family = (*FAMILY[: -len(code.COMPONENTS)], *COPYING, *code.COMPONENTS)
    findings = check_family(family, execution)
    assert not [f for f in findings if getattr(f, "bus", "") in {BUFFER.name, CODE_PART.name, CODE_NODE.name}]
    words = table("code_word", fill_family(family, execution), family)
    # Bytes 5 to 74: words 0, 1 and 2.
    assert sorted(words.index[words.real == 1].tolist()) == [0, 1, 2]


def test_nobody_asks_nobody_answers() -> None:
    assert not any(fill_family(code.COMPONENTS, of_codes(assemble(LONG))))


def test_only_what_runs_is_opened() -> None:
    execution = of_codes(SPARSE)
    traces = fill_family(FAMILY, execution)
    chunks, nodes = table("code_chunk", traces), table("code_node", traces)
    assert (chunks.real.sum(), nodes.real.sum()) == (1, execution.code_trees.depths[0])
    assert len(execution.code_trees.cells) > 16
    assert chunks.index[chunks.real == 1].tolist() == [0]


def test_codes_are_looked_up_in_the_tree_by_their_hash() -> None:
    codes = [assemble(LONG), CUT, assemble("5 pop") * 30]
    execution = of_codes(*codes)
    open_ = np.array(open_messages(FAMILY, execution, CODE_LEAF))
    trace = execution.trace
    rows = zip(trace.codes.start, trace.codes.size, trace.codes.hash, strict=True)
    hashes = {trace.bytes_at(start, size): hash_.tolist() for start, size, hash_ in rows}
    trees = CodeTrees.of(codes)
    roots = zip(codes, trees.roots.tolist(), trees.depths.tolist(), strict=True)
    wanted = [[*hashes[c], *root, len(c), depth] for c, root, depth in roots]
    assert sorted(open_.tolist()) == sorted(wanted)


class TestAnswers:
    """What the tables answer, and that they leave false queries alone."""

    EXECUTION = of_codes(assemble(LONG), CUT)
    ID = id_of(EXECUTION, CUT)
    OTHER = 1 - ID
    WORD = np.frombuffer(CUT.ljust(32, b"\0"), dtype=">u2")[::-1].tolist()
    HASH = EXECUTION.trace.codes.hash[EXECUTION.codes[ID]].tolist()

    def test_instructions_and_parts(self) -> None:
        i, upper = self.ID, self.WORD[8:]
        instructions = as_queries([i, 3, 0x7F, 1], [i, 3, 0x7F, 1], [i, 1, 0x60, 0], [i, 37, 0, 1])
        matrix = code.fill_code_chunk(self.EXECUTION, instructions, as_queries([i, 0, *upper], [i, 2, *[0] * 8]))
        assert matrix is not None
        rows = TraceView(code.CodeChunkColumns, matrix)
        assert len(rows.real) == 1
        assert rows.instructions[0, [3, 1, 37]].tolist() == [2, 1, 1]
        assert rows.instructions.sum() == 4
        assert rows.halves[0].tolist() == [1, 0, 1]

    def test_false_instructions_and_parts(self) -> None:
        i, j, upper = self.ID, self.OTHER, self.WORD[8:]
        # Another start, another byte, behind the end, another code, no code, a code that is being created.
        false = as_queries(
            [i, 3, 0x7F, 0], [i, 3, 0x7E, 1], [i, 64, 0, 1], [j, 3, 0x7F, 1], [9999, 0, 0x61, 1], [1 << 25, 0, 0x61, 1]
        )
        parts = as_queries([i, 1, *upper], [j, 0, *upper], [9999, 0, *upper], [i, 3, *[0] * 8], [1 << 25, 0, *upper])
        assert code.fill_code_chunk(self.EXECUTION, false, parts) is None

    def test_words(self) -> None:
        i, word = self.ID, self.WORD
        copied, compared = as_queries(*[[1, i, 0, *word]] * 3), as_queries(*[[KNOWN_CODE, i, 0, *word]] * 2)
        matrix = code.fill_code_word(self.EXECUTION, copied, compared)
        assert matrix is not None
        rows = TraceView(code.CodeWordColumns, matrix)
        assert (rows.id.tolist(), rows.index.tolist()) == ([i], [0])
        assert (rows.asked.tolist(), rows.compared.tolist()) == ([3], [2])

    def test_words_that_are_copied_or_compared_only(self) -> None:
        i, word = self.ID, self.WORD
        copied, compared = as_queries([1, i, 0, *word]), as_queries([KNOWN_CODE, i, 0, *word])
        for queries, counts in (((copied, compared[:0]), ([1], [0])), ((copied[:0], compared), ([0], [1]))):
            matrix = code.fill_code_word(self.EXECUTION, *queries)
            assert matrix is not None
            rows = TraceView(code.CodeWordColumns, matrix)
            assert (rows.asked.tolist(), rows.compared.tolist()) == counts

    def test_false_words(self) -> None:
        i, word = self.ID, self.WORD
        # Another index, another code, behind the end, a code that is being created.
        false = [[i, 1, *word], [1 - i, 0, *word], [i, 9999, *word], [1 << 25, 0, *word]]
        copied = as_queries([0, i, 0, *word], *([1, *query] for query in false))
        compared = as_queries(
            *([function, i, 0, *word] for function in range(KNOWN_CODE)), *([KNOWN_CODE, *query] for query in false)
        )
        assert code.fill_code_word(self.EXECUTION, copied, compared) is None

    def test_codes_and_sizes(self) -> None:
        i, size = self.ID, len(CUT)
        root = self.EXECUTION.code_trees.roots[i].tolist()
        matrix = code.fill_code(
            self.EXECUTION,
            as_queries([i, *self.HASH, size]),
            as_queries([1, i, size], [1, i, size]),
            as_queries([i, 0, 0, *root]),
        )
        assert matrix is not None
        rows = TraceView(code.CodeColumns, matrix)
        assert (rows.codes[i], rows.sizes[i], rows.roots[i]) == (1, 2, 1)
        assert sum(getattr(rows, name).sum() for name in ("codes", "sizes", "roots")) == 4

    def test_false_codes_and_sizes(self) -> None:
        i, size = self.ID, len(CUT)
        root = self.EXECUTION.code_trees.roots[i].tolist()
        matrix = code.fill_code(
            self.EXECUTION,
            as_queries([i, *self.HASH, 6], [i, *self.HASH[::-1], size], [1 - i, *self.HASH, size]),
            as_queries([0, i, size], [1, i, 32], [1, 1 - i, size], [1, 1 << 25, size]),
            as_queries([i, 1, 0, *root], [i, 0, 1, *root], [1 - i, 0, 0, *root], [i, 0, 0, *root[::-1]]),
        )
        assert matrix is not None
        rows = TraceView(code.CodeColumns, matrix)
        assert not any(getattr(rows, name).any() for name in ("codes", "sizes", "roots"))


@pytest.mark.parametrize("seed", range(2))
def test_mutations_are_rejected(seed: int) -> None:
    # No two sites hold the same data: a site moved to another one would state another truth.
    execution = of_codes(assemble(LONG), CUT, assemble(" ".join(f"{256 + n} pop" for n in range(30))))
    report = mutate_family(FAMILY, execution, seed=seed)
    assert not report.survivors, str(report)
    assert {"code", "code_node", "code_chunk"} <= set(report.coverage)


def test_mutations_of_copied_words_are_rejected() -> None:
    family = (*COPYING, *code.COMPONENTS)
    report = mutate_family(family, of_codes(COPIES))
    assert not report.survivors, str(report)
    assert {"code_word", "code_chunk", "code_node"} <= set(report.coverage)


def rehash(rows: TraceView, row: int) -> None:
    """The digest of a chunk follows its bytes and starts."""
    rows.xor[row] = rows.data[row, 0::2] ^ rows.data[row, 1::2]
    elements = chunk_elements(rows.data[row : row + 1].astype(np.uint8), rows.start[row : row + 1].astype(np.uint8))
    rows.digest[row] = compress(elements[:, :8], elements[:, 8:])[0]


class TestLies:
    """The other tables follow as far as they can; what objects is what no table can put right."""

    #: Two codes of one depth with different chunks, all of which are opened.
    ONE = assemble(" ".join(f"{256 + n} pop" for n in range(30)))
    TWO = assemble(" ".join(f"{356 + n} pop" for n in range(30)))
    EXECUTION = of_codes(ONE, TWO, SPARSE)

    def objections(self, **lies: Any) -> set[str]:
        return objections(FAMILY, self.EXECUTION, lies)

    def test_honest(self) -> None:
        assert not self.objections()

    def test_a_chunk_of_another_code(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.id[row_where(rows.id == id_of(self.EXECUTION, self.ONE))] = id_of(self.EXECUTION, self.TWO)

        assert CODE_NODE.name in self.objections(code_chunk=lie)

    def test_a_chunk_of_another_place(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.index[row_where(rows.index == 1)] = 2

        assert CODE_NODE.name in self.objections(code_chunk=lie)

    def test_two_chunks_that_change_places(self) -> None:
        def lie(rows: TraceView) -> None:
            first, second = row_where(rows.index == 0), row_where(rows.index == 1)
            rows.index[first], rows.index[second] = 1, 0

        assert CODE_NODE.name in self.objections(code_chunk=lie)

    def test_a_shifted_chunk(self) -> None:
        """All bytes stand one further."""

        def lie(rows: TraceView) -> None:
            row = row_where(rows.index == 0)
            rows.data[row], rows.start[row] = np.roll(rows.data[row], 1), np.roll(rows.start[row], 1)
            rehash(rows, row)

        assert CODE_NODE.name in self.objections(code_chunk=lie)
        # A number between two of them shifts a chunk, too: half of the bytes would be those of the next one.
        half = pow(2, -1, 2013265921)

        def between(rows: TraceView) -> None:
            rows.index[row_where(rows.index == 1)] = half

        assert CODE_NODE.name in self.objections(code_chunk=between)

    def test_a_node_as_a_chunk(self) -> None:
        """Its children are no bytes, and it is a node of another level."""
        nodes = table("code_node", fill_family(FAMILY, self.EXECUTION))
        node = row_where((nodes.level == 1) & (nodes.index == 0))

        def lie(rows: TraceView) -> None:
            row = row_where((rows.index == 0) & (rows.id == nodes.id[node]))
            rows.data[row], rows.start[row], rows.xor[row] = 0, 0, 0
            rows.data[row, 0::3] = nodes.children[node].reshape(-1)
            rows.digest[row] = nodes.digest[node]

        assert {CODE_NODE.name, BITWISE_BYTES.name} <= self.objections(code_chunk=lie)

    def test_a_chunk_as_a_node(self) -> None:
        """The chunk's elements pass for digests of the level below, where chunks would be as the liar likes."""

        def lie(rows: TraceView) -> None:
            row = row_where((rows.level == 1) & (rows.index == 0))
            rows.level[row] = 0

        assert CODE_NODE.name in self.objections(code_node=lie)

    def test_a_start_flag_flipped(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.start[row_where(rows.index == 0), 1] ^= 1

        def hashed(rows: TraceView) -> None:
            lie(rows)
            rehash(rows, row_where(rows.index == 0))

        assert POSEIDON2.name in self.objections(code_chunk=lie)
        assert CODE_NODE.name in self.objections(code_chunk=hashed)

    def test_a_node_that_provides_what_it_does_not_hash(self) -> None:
        def chunk(rows: TraceView) -> None:
            row = row_where((rows.index == 0) & (rows.id == id_of(self.EXECUTION, self.ONE)))
            rows.data[row, 3] ^= 1
            rehash(rows, row)

        def node(rows: TraceView) -> None:
            row = row_where((rows.level == 1) & (rows.index == 0) & (rows.id == id_of(self.EXECUTION, self.ONE)))
            chunks = table("code_chunk", fill_family(FAMILY, self.EXECUTION, {"code_chunk": chunk}))
            lied = row_where((chunks.index == 0) & (chunks.id == id_of(self.EXECUTION, self.ONE)))
            rows.children[row, 0] = chunks.digest[lied]
            rows.asked[row, 0] = 1

        def hashed(rows: TraceView) -> None:
            node(rows)
            row = row_where((rows.level == 1) & (rows.index == 0) & (rows.id == id_of(self.EXECUTION, self.ONE)))
            rows.digest[row] = compress(*(rows.children[row : row + 1, side] for side in range(2)))[0]

        # The false chunk opens no path by itself; a true one beside it does.
        assert POSEIDON2.name in self.objections(code_chunk=chunk, code_node=node)
        found = self.objections(code_chunk=chunk, code_node=hashed)
        assert CODE_NODE.name in found
        assert POSEIDON2.name not in found

    @pytest.mark.parametrize("column", ["size", "depth", "hash", "root"])
    def test_a_leaf_that_says_something_else(self, column: str) -> None:
        def lie(rows: TraceView) -> None:
            cells = getattr(rows, column)
            cells[0] += 1

        assert CODE_LEAF.name in self.objections(code=lie)

    def test_a_code_that_is_opened_twice(self) -> None:
        """Two codes have one id, so that it depends on the liar which byte stands at a place."""

        def lie(rows: TraceView) -> None:
            rows.id[1] = 0

        assert "rows are numbered" in self.objections(code=lie)

    def test_a_chunk_that_is_opened_twice(self) -> None:
        """The copy differs in a byte, which an instruction of another opcode asks for."""

        def lie(rows: TraceView) -> None:
            row, padding = row_where(rows.index == 0), row_where(rows.real == 0)
            rows._matrix[padding] = rows._matrix[row]
            rows.data[padding, 3] ^= 1
            rehash(rows, padding)

        assert CODE_NODE.name in self.objections(code_chunk=lie)

    @pytest.mark.parametrize("name", ["code", "code_node", "code_chunk"])
    def test_padding_that_answers(self, name: str) -> None:
        columns = {
            "code": ("codes", "sizes", "roots"),
            "code_node": ("asked",),
            "code_chunk": ("instructions", "halves"),
        }

        for column in columns[name]:

            def lie(rows: TraceView, column: str = column) -> None:
                getattr(rows, column)[row_where(rows.real == 0)] = 1

            assert any("padding" in place for place in self.objections(**{name: lie}))

    def test_a_chunk_behind_the_end(self) -> None:
        """There the tree has zeros, which nothing hashes to."""

        def lie(rows: TraceView) -> None:
            row = row_where(rows.real == 0)
            rows.real[row], rows.id[row] = 1, id_of(self.EXECUTION, SPARSE)
            rows.index[row] = int(self.EXECUTION.code_trees.counts[0][rows.id[row]])
            rows.start[row] = 1

        assert POSEIDON2.name in self.objections(code_chunk=lie)

    def test_bytes_are_bytes(self) -> None:
        """A start moved into a byte, or a byte into its neighbour, leaves the hashed element as it is."""

        def neighbour(rows: TraceView) -> None:
            rows.data[0, 0] += 256
            rows.data[0, 1] -= 1
            rows.xor[0, 0] = rows.data[0, 0] ^ rows.data[0, 1]

        def start(rows: TraceView) -> None:
            assert rows.start[0, 0] == 1
            rows.start[0, 0] = 0
            rows.data[0, 2] += 256
            rows.xor[0, 1] = rows.data[0, 2] ^ rows.data[0, 3]

        for lie in (neighbour, start):
            found = self.objections(code_chunk=lie)
            assert BITWISE_BYTES.name in found
            assert POSEIDON2.name not in found


class TestLiesAboutWords:
    """The words that a code's copy reads."""

    EXECUTION = of_codes(COPIES)
    FAMILY = (*COPYING, *code.COMPONENTS)

    def objections(self, lie: Any) -> set[str]:
        return objections(self.FAMILY, self.EXECUTION, {"code_word": lie})

    def test_another_word(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.word[0, 3] += 1

        assert CODE_PART.name in self.objections(lie)

    def test_another_place(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.index[0] += 1

        assert CODE_PART.name in self.objections(lie)

    def test_halves_that_change_places(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.word[0] = np.roll(rows.word[0], 8)

        assert CODE_PART.name in self.objections(lie)

    def test_a_word_between_two_indices(self) -> None:
        """The second half of one word and the first of the next, at an index that is half an integer."""
        half = pow(2, -1, 2013265921)

        def lie(rows: TraceView) -> None:
            first, second = row_where(rows.index == 0), row_where(rows.index == 1)
            word = np.concatenate([rows.word[second, 8:], rows.word[first, :8]])
            rows.index[first], rows.word[first] = half, word

        found = self.objections(lie)
        assert "range16" in found
        assert CODE_PART.name not in found

    def test_padding_that_answers(self) -> None:
        def lie(rows: TraceView) -> None:
            rows.asked[row_where(rows.real == 0)] = 1

        assert "padding answers nothing" in self.objections(lie)


def test_tables_ask_only_the_buses_they_should() -> None:
    asked = {i.bus for c in code.COMPONENTS for i in c.table.air.interactions if not i.provides}
    answered = {i.bus for c in code.COMPONENTS for i in c.table.air.interactions if i.provides}
    assert {bus.name for bus in asked} == {
        "code_leaf",
        "code_node",
        "code_part",
        "poseidon2",
        "bitwise_bytes",
        "range16",
    }
    assert answered == {INSTRUCTION, CODE, BUFFER, BUFFER_SIZE, CODE_NODE, CODE_PART, HASH_WORD}


def test_codes_of_other_accounts_are_there() -> None:
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(f"0x{OTHER.hex()} extcodesize pop stop").hex())
    building.alloc(OTHER, code="0x" + CUT.hex())
    execution = execution_of(building.block(call_contract(building)).execute())
    assert sorted(execution.trace.codes.size[execution.codes].tolist()) == [5, 24]
    assert not check_family(FAMILY, execution)
