"""The plan of the segments, their writes and public values, and the verdict on a single segment proof."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from circuits.batch.leaves import LeafKind, leaf_digests, levels
from circuits.functions.poseidon2 import compress_chain
from circuits.limbs import u64_from_ints, words_from_ints, words_to_ints
from circuits.statement import CIRCUIT_VERSION, LAST_TABLES, LINKS_START, WRITES_START, PublicColumns, initial
from scripts.batches.chain import ACCOUNT, CONTRACT, SENDERS, STORAGE, Chain
from tests.verifier.swirl.small import Small, fibonacci
from verifier.container import CodeWrites, Links, OpenEnd, ProofFile, SegmentRecord, Writes
from verifier.engines import ENGINES
from verifier.errors import Invalid
from verifier.forks import BPO1, CANCUN, OSAKA, PRAGUE
from verifier.headers import decode_header
from verifier.keys import PinnedKey
from verifier.operations import Operations
from verifier.segments import (
    PUBLIC_TABLE,
    AccessTree,
    ProvedSegment,
    Stated,
    check_plan,
    check_runs,
    check_stated,
    check_writes,
    circuits_of,
    expected_public_values,
    first_of_runs,
    links_of,
    ordered_code_writes,
    ordered_writes,
    runs_of,
    verify_segment,
    writes_digest,
)
from verifier.sizes import MAX_RUN_MESSAGES, ROW_MESSAGES
from verifier.state import BatchState
from verifier.tries import StateTrie

NO_WRITES = Writes.from_bytes(b"")


NO_CODES = CodeWrites.from_bytes(b"")


def segment(
    first: int,
    end: int,
    writes: Writes = NO_WRITES,
    proof: bytes | memoryview = b"",
    codes: CodeWrites = NO_CODES,
    open_end: OpenEnd | None = None,
    links: Links | None = None,
) -> SegmentRecord:
    return SegmentRecord(first, end, 17, writes, proof, codes, open_end, links or linked())


def linked(*others: int, start: int = 1) -> Links:
    """Links with other parts; the hashes are numbers from `start` on."""
    digests = start + np.arange(8 * len(others), dtype=np.uint32).reshape(-1, 8)
    return Links(np.array(others, dtype=np.uint32), digests)


def ends(time: int = 100, next_frame: int = 1, next_word: tuple[int, int] = (1, 0)) -> OpenEnd:
    return OpenEnd(time, next_frame, next_word)


#: A run of three segments, one by itself, and a run of two.
RUNS = (
    segment(0, 1, open_end=ends(), links=linked(1, 2)),
    segment(1, 1, open_end=ends(200), links=linked(2, start=50)),
    segment(1, 2),
    segment(2, 3),
    segment(3, 5, open_end=ends(50), links=linked(1, start=90)),
    segment(5, 5),
)


def codes_of(*rows: tuple[int, int, int]) -> CodeWrites:
    """Rows of scope, leaf and code hash."""
    return CodeWrites(
        scope=np.array([row[0] for row in rows], dtype=np.uint32),
        leaf=np.array([row[1] for row in rows], dtype=np.uint32),
        code_hash=words_from_ints([row[2] for row in rows]),
    )


def writes_of(*rows: tuple[int, int, int, int]) -> Writes:
    """Rows of scope, leaf, value and nonce."""
    return Writes(
        scope=np.array([row[0] for row in rows], dtype=np.uint32),
        leaf=np.array([row[1] for row in rows], dtype=np.uint32),
        value=words_from_ints([row[2] for row in rows]),
        nonce=u64_from_ints([row[3] for row in rows]),
    )


def state_of(file: ProofFile) -> BatchState:
    parent = decode_header(file.parent_header)
    hashes = {header.number: header.hash for header in (parent, *(decode_header(b.header) for b in file.blocks))}
    return BatchState(StateTrie(parent.state_root, file.state_nodes), file.state_keys, file.codes, hashes)


@pytest.fixture
def state(file: ProofFile) -> BatchState:
    return state_of(file)


class TestPlan:
    @pytest.mark.parametrize(("cuts", "operations"), [([], 0), ([(0, 5)], 5), ([(0, 2), (2, 3), (3, 9)], 9)])
    def test_covering_plans_pass(self, cuts: list[tuple[int, int]], operations: int) -> None:
        check_plan([segment(*cut) for cut in cuts], operations)

    @pytest.mark.parametrize(
        ("cuts", "reason"),
        [
            ([], "end at operation 0 instead of 5"),
            ([(0, 4)], "end at operation 4"),
            ([(0, 6)], "end at operation 6"),
            ([(1, 5)], "segment 0 starts at operation 1"),
            ([(0, 2), (3, 5)], "segment 1 starts at operation 3"),
            ([(0, 3), (2, 5)], "segment 1 starts at operation 2"),
            ([(2, 5), (0, 2)], "segment 0 starts"),
            ([(0, 5), (0, 5)], "segment 1 starts"),
            ([(0, 0), (0, 5)], "segment 0 has no operations"),
            ([(0, 5), (5, 5)], "segment 1 has no operations"),
            ([(0, 7), (7, 5)], "segment 1 has no operations"),
        ],
    )
    def test_others_are_refused(self, cuts: list[tuple[int, int]], reason: str) -> None:
        with pytest.raises(Invalid, match=reason):
            check_plan([segment(*cut) for cut in cuts], 5)


class TestRuns:
    def test_segments_of_a_run(self) -> None:
        check_plan(RUNS, 5)
        assert runs_of(RUNS) == [range(3), range(3, 4), range(4, 6)]
        assert first_of_runs(RUNS) == [0, 0, 0, 2, 3, 3]
        assert runs_of([]) == []
        assert first_of_runs([]) == []

    @pytest.mark.parametrize(
        ("number", "changes", "reason"),
        [
            (0, {"open_end": ends(0)}, "segment 0 has an open end at the time 0"),
            (0, {"open_end": ends(2**29)}, "segment 0 has an open end at the time 536870912"),
            (0, {"writes": writes_of((0, 0, 0, 0))}, "segment 0 has writes and an open end"),
            (0, {"code_writes": codes_of((0, 0, 0))}, "segment 0 has writes and an open end"),
            (0, {"open_end": ends(next_word=(1, 2**21))}, "segment 0 has an open end with word 2097152 of frame 1"),
            (2, {"end": 1}, "segment 3 starts at operation 2 instead of 1"),
            (5, {"open_end": ends()}, "the last segment has an open end"),
            # Links that are none with a later segment of the run, or not in their order.
            (0, {"links": linked(0, 1, 2)}, "segment 0, part 0 of 3, has a link with part 0"),
            (0, {"links": linked(1, 2, 3)}, "segment 0, part 0 of 3, has a link with part 3"),
            (0, {"links": linked(2**32 - 1)}, "segment 0, part 0 of 3, has a link with part 4294967295"),
            (0, {"links": linked(2, 1)}, "segment 0, part 0 of 3, has a link with part 1"),
            (0, {"links": linked(1, 1, 2)}, "segment 0, part 0 of 3, has a link with part 1"),
            (1, {"links": linked(0, 2)}, "segment 1, part 1 of 3, has a link with part 0"),
            (1, {"links": linked(1)}, "segment 1, part 1 of 3, has a link with part 1"),
            (2, {"links": linked(0)}, "segment 2, part 2 of 3, has a link with part 0"),
            (2, {"links": linked(2)}, "segment 2, part 2 of 3, has a link with part 2"),
            (2, {"links": linked(3)}, "segment 2, part 2 of 3, has a link with part 3"),
            (3, {"links": linked(0)}, "segment 3, part 0 of 1, has a link with part 0"),
            (3, {"links": linked(1)}, "segment 3, part 0 of 1, has a link with part 1"),
            (4, {"links": linked(2)}, "segment 4, part 0 of 2, has a link with part 2"),
            (5, {"links": linked(4)}, "segment 5, part 1 of 2, has a link with part 4"),
        ],
    )
    def test_others_are_refused(self, number: int, changes: dict[str, Any], reason: str) -> None:
        changed = [replace(s, **changes) if k == number else s for k, s in enumerate(RUNS)]
        with pytest.raises(Invalid, match=reason):
            check_plan(changed, 5)

    def test_the_largest_open_end_passes(self) -> None:
        check_plan([replace(RUNS[0], open_end=ends(2**29 - 1, 1, (1, 2**21 - 1))), *RUNS[1:]], 5)

    def test_a_run_without_links_passes(self) -> None:
        """Nothing is open between its parts: whether that can be, the proofs say."""
        check_plan([replace(s, links=linked()) for s in RUNS], 5)

    def test_both_sides_have_the_same_link(self) -> None:
        found = links_of(RUNS)
        assert [links.other.tolist() for links in found] == [[1, 2], [0, 2], [0, 1], [], [1], [0]]
        first, second, third, alone, fourth, fifth = (links.digest.tolist() for links in found)
        assert first == linked(1, 2).digest.tolist()
        assert second == [first[0], *linked(2, start=50).digest.tolist()]
        assert third == [first[1], second[1]]
        assert alone == []
        assert fourth == fifth == linked(1, start=90).digest.tolist()


class TestTablesOfRuns:
    """What `check_runs` asks of the tables of each segment."""

    def check(self, segments: Sequence[SegmentRecord] = RUNS, **more: dict[str, int]) -> None:
        """`more`: tables of the segment `s0`, `s1` and so on beside the usual ones."""
        rows = [{"segment": 1, "link": 4} | more.get(f"s{k}", {}) for k in range(len(segments))]
        check_plan(segments, 5)
        check_runs(segments, [ProvedSegment(own, None, 100.0) for own in rows])

    def test_honest_runs_pass(self) -> None:
        self.check()
        self.check(s2={"memory": 8, "code": 1}, s3={"memory": 8, "block": 1}, s5={"memory": 8, "account_leaf": 1})

    @pytest.mark.parametrize("table", sorted(LAST_TABLES))
    def test_tables_of_the_end(self, table: str) -> None:
        for number in (0, 1, 4):
            with pytest.raises(Invalid, match=f"segment {number}: a segment with an open end has the table {table}"):
                self.check(**{f"s{number}": {table: 1}})

    def test_links_are_counted(self) -> None:
        for number, links in enumerate((2, 2, 2, 0, 1, 1)):
            self.check(**{f"s{number}": {"link": links}})
            if links:
                with pytest.raises(Invalid, match=f"segment {number}: {links} links, and a table of {links - 1} rows"):
                    self.check(**{f"s{number}": {"link": links - 1}})

    def test_a_segment_without_links_needs_no_table(self) -> None:
        check_runs(RUNS[3:4], [ProvedSegment({"segment": 1}, None, 100.0)])
        with pytest.raises(Invalid, match="segment 0: 1 links, and a table of 0 rows"):
            check_runs(RUNS[4:], [ProvedSegment({"segment": 1}, None, 100.0)] * 2)

    def test_a_run_is_not_too_long(self) -> None:
        most = MAX_RUN_MESSAGES // ROW_MESSAGES
        self.check(s0={"add": most - 20}, s1={"add": 5}, s2={"add": 0}, s3={"add": most - 5})
        with pytest.raises(Invalid, match="segment 2: a run of segments may have 2,013,265,924 messages"):
            self.check(s0={"add": most - 20}, s1={"add": 5}, s2={"add": 1})
        self.check(s0={"push_site_large": MAX_RUN_MESSAGES // 33 - 2})
        with pytest.raises(Invalid, match="segment 1: a run of segments may have"):
            self.check(s0={"push_site_large": MAX_RUN_MESSAGES // 33 - 1})


#: Four blocks: of the operations 0 to 3, none, 4, and none.
SCOPES = (0, 4, 4, 5, 5)
OPERATIONS = Operations(SCOPES, np.zeros((6, 8), dtype=np.uint32), np.arange(5))


class TestCircuits:
    """Of blocks of the operations 0 to 3, none, 4, and none."""

    def test_the_circuit_is_that_of_the_fork_of_the_operations(self) -> None:
        records = [segment(0, 2), segment(2, 4), segment(4, 5)]
        # What no segment has operations of does not matter.
        for second, last in ((CANCUN, OSAKA), (PRAGUE, PRAGUE), (OSAKA, BPO1)):
            assert circuits_of(records, OPERATIONS, [CANCUN, second, PRAGUE, last]) == ["cancun", "cancun", "prague"]
        assert circuits_of([], OPERATIONS, [CANCUN] * 4) == []

    def test_forks_that_change_blobs_alone_share_the_circuit(self) -> None:
        assert circuits_of([segment(0, 5)], OPERATIONS, [OSAKA, OSAKA, BPO1, BPO1]) == ["osaka"]

    def test_a_segment_has_one_circuit(self) -> None:
        forks = [CANCUN, CANCUN, PRAGUE, PRAGUE]
        for records in ([segment(0, 5)], [segment(0, 3), segment(3, 5)]):
            with pytest.raises(Invalid, match=f"segment {len(records) - 1} has operations of the circuits of"):
                circuits_of(records, OPERATIONS, forks)

    def test_blocks_without_operations_between(self) -> None:
        """Two blocks of no operations before the first one that has some, between such, and at the end."""
        operations = Operations((0, 0, 0, 2, 2, 3, 3), np.zeros((4, 8), dtype=np.uint32), np.arange(3))
        forks = [CANCUN, CANCUN, PRAGUE, PRAGUE, OSAKA, BPO1]
        assert circuits_of([segment(0, 2), segment(2, 3)], operations, forks) == ["prague", "osaka"]
        with pytest.raises(Invalid, match="segment 0 has operations of the circuits of prague and osaka"):
            circuits_of([segment(0, 3)], operations, forks)


class TestWrites:
    """One segment of the operations 2 and 3, another one of operation 4."""

    def check(self, state: BatchState, first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> None:
        records = [
            segment(2, 4, writes_of(*((*row, 1, 0) for row in first))),
            segment(4, 5, writes_of(*((*row, 1, 0) for row in second))),
        ]
        check_writes(records, OPERATIONS, state)

    @staticmethod
    def leaf(state: BatchState, kind: LeafKind) -> int:
        return int(state.keys.of_kind(kind)[0])

    def test_those_in_their_time_pass(self, state: BatchState) -> None:
        account, slot = self.leaf(state, LeafKind.ACCOUNT), self.leaf(state, LeafKind.STORAGE)
        self.check(state, [], [])
        self.check(state, [(0, account), (2, slot), (3, slot)], [(4, account), (4, slot)])

    @pytest.mark.parametrize("scope", [1, 2, 3, 4, 5, 2**32 - 1])
    def test_accounts_are_written_at_the_scope_of_a_block_of_the_segment(self, state: BatchState, scope: int) -> None:
        with pytest.raises(Invalid, match="segment 0 writes outside of its operations"):
            self.check(state, [(scope, self.leaf(state, LeafKind.ACCOUNT))], [])

    @pytest.mark.parametrize("scope", [0, 1, 4, 5, 2**32 - 1])
    def test_slots_are_written_by_an_operation_of_the_segment(self, state: BatchState, scope: int) -> None:
        with pytest.raises(Invalid, match="segment 0 writes outside of its operations"):
            self.check(state, [(scope, self.leaf(state, LeafKind.STORAGE))], [])

    @pytest.mark.parametrize("scope", [0, 2, 3, 5])
    @pytest.mark.parametrize("kind", [LeafKind.ACCOUNT, LeafKind.STORAGE])
    def test_writes_of_another_segment_are_refused(self, state: BatchState, scope: int, kind: LeafKind) -> None:
        with pytest.raises(Invalid, match="segment 1 writes outside of its operations"):
            self.check(state, [], [(scope, self.leaf(state, kind))])

    @pytest.mark.parametrize("kind", [LeafKind.TRANSIENT, LeafKind.CODE, LeafKind.BLOCK_HASH])
    def test_other_leaves_cannot_change(self, state: BatchState, kind: LeafKind) -> None:
        with pytest.raises(Invalid, match="segment 1 writes to a leaf that cannot change"):
            self.check(state, [], [(4, self.leaf(state, kind))])

    def test_leaves_that_there_are_not(self, state: BatchState) -> None:
        for leaf in (len(state.keys), 2**32 - 1):
            with pytest.raises(Invalid, match="segment 0 writes to a leaf that there is not"):
                self.check(state, [(0, leaf)], [])
        nothing = BatchState(StateTrie(bytes(32), []), [], [], {})
        with pytest.raises(Invalid, match="leaf that there is not"):
            self.check(nothing, [(0, 0)], [])

    def test_their_order_is_that_of_segments_and_scopes(self) -> None:
        ordered = ordered_writes(
            [
                segment(0, 4, writes_of((0, 1, 10, 1), (2, 5, 11, 0), (1, 5, 12, 0), (2, 6, 13, 0))),
                segment(4, 5, writes_of((4, 5, 14, 0), (0, 1, 15, 2))),
            ]
        )
        assert ordered.scope.tolist() == [0, 1, 2, 2, 0, 4]
        assert ordered.leaf.tolist() == [1, 5, 5, 6, 1, 5]
        assert words_to_ints(ordered.value) == [10, 12, 11, 13, 15, 14]
        assert ordered.nonce[:, 0].tolist() == [1, 0, 0, 0, 2, 0]
        assert len(ordered_writes([])) == 0

    def test_every_field_and_the_order_count_in_the_digest(self) -> None:
        rows = [(0, 1, 2, 3), (4, 5, 6, 0)]
        digests = {tuple(WRITES_START.tolist()), tuple(writes_digest(writes_of(*rows), NO_CODES).tolist())}
        assert tuple(writes_digest(NO_WRITES, NO_CODES).tolist()) == tuple(WRITES_START.tolist())
        others = [rows[::-1], rows[:1], rows[1:], [*rows, rows[0]]]
        for field in range(4):
            changed = list(rows[1])
            changed[field] += 1
            others.append([rows[0], (changed[0], changed[1], changed[2], changed[3])])
        for other in others:
            digests.add(tuple(writes_digest(writes_of(*other), NO_CODES).tolist()))
        assert len(digests) == 2 + len(others)

    def test_code_writes_count_in_the_digest(self) -> None:
        rows, values = [(0, 1, 2), (4, 5, 6)], writes_of((0, 1, 2, 3))
        others = [rows, rows[::-1], rows[:1], rows[1:], [*rows, rows[0]], []]
        for field in range(3):
            changed = list(rows[1])
            changed[field] += 1
            others.append([rows[0], (changed[0], changed[1], changed[2])])
        digests = {tuple(writes_digest(values, codes_of(*other)).tolist()) for other in others}
        digests.add(tuple(writes_digest(NO_WRITES, codes_of(*rows)).tolist()))
        assert len(digests) == 1 + len(others)

    def test_codes_are_written_to_accounts_in_their_time(self, state: BatchState) -> None:
        account = self.leaf(state, LeafKind.ACCOUNT)

        def check(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> None:
            codes = [codes_of(*((*row, 1) for row in rows)) for rows in (first, second)]
            check_writes([segment(2, 4, codes=codes[0]), segment(4, 5, codes=codes[1])], OPERATIONS, state)

        check([(0, account)], [(4, account)])
        for scope in (1, 2, 3, 4, 5, 2**32 - 1):
            with pytest.raises(Invalid, match="segment 0 writes outside of its operations"):
                check([(scope, account)], [])
        for scope in (0, 2, 3, 5):
            with pytest.raises(Invalid, match="segment 1 writes outside of its operations"):
                check([], [(scope, account)])
        with pytest.raises(Invalid, match="segment 0 writes a code to a leaf that has none"):
            check([(2, self.leaf(state, LeafKind.STORAGE))], [])
        for kind in (LeafKind.TRANSIENT, LeafKind.CODE, LeafKind.BLOCK_HASH):
            with pytest.raises(Invalid, match="segment 1 writes to a leaf that cannot change"):
                check([], [(4, self.leaf(state, kind))])
        for leaf in (len(state.keys), 2**32 - 1):
            with pytest.raises(Invalid, match="segment 1 writes to a leaf that there is not"):
                check([], [(4, leaf)])

    def test_codes_are_in_the_order_of_segments_and_scopes(self) -> None:
        ordered = ordered_code_writes(
            [
                segment(0, 4, codes=codes_of((2, 5, 11), (0, 1, 10), (2, 6, 13))),
                segment(4, 5, codes=codes_of((4, 5, 14), (0, 1, 15))),
            ]
        )
        assert ordered.scope.tolist() == [0, 2, 2, 0, 4]
        assert ordered.leaf.tolist() == [1, 5, 6, 1, 5]
        assert words_to_ints(ordered.code_hash) == [10, 11, 13, 15, 14]
        assert len(ordered_code_writes([])) == 0


class TestAccessTree:
    @staticmethod
    def rebuilt(state: BatchState) -> list[int]:
        depth = max(1, (len(state.keys) - 1).bit_length())
        root: list[int] = levels(leaf_digests(state.keys, state.values, state.codes), depth)[-1][0].tolist()
        return root

    def test_writing_gives_the_tree_of_the_new_values(self, state: BatchState) -> None:
        state.values.stored[state.keys.of_kind(LeafKind.ACCOUNT)[0]] = 1
        tree = AccessTree(state)
        assert tree.root.tolist() == self.rebuilt(state)
        accounts, slots = state.keys.of_kind(LeafKind.ACCOUNT), state.keys.of_kind(LeafKind.STORAGE)
        writes = writes_of(
            (3, int(slots[-1]), 5, 0), (0, int(accounts[0]), 2**255, 2**63), (2, int(slots[-1]), 4, 0),
            (1, int(slots[0]), 0, 0), (4, int(accounts[0]), 2**256 - 1, 9),
        )  # fmt: skip
        tree.write(writes, NO_CODES)
        state.values.value[[slots[-1], slots[0], accounts[0]]] = words_from_ints([5, 0, 2**256 - 1])
        state.values.nonce[accounts[0]] = u64_from_ints([9])[0]
        assert tree.root.tolist() == self.rebuilt(state)
        tree.write(NO_WRITES, NO_CODES)
        assert tree.root.tolist() == self.rebuilt(state)
        first, last = int(accounts[0]), int(accounts[-1])
        tree.write(writes_of((2, last, 3, 1)), codes_of((4, first, 6), (0, first, 5), (1, last, 2**255)))
        state.values.value[last], state.values.nonce[last] = words_from_ints([3])[0], u64_from_ints([1])[0]
        state.values.code_hash[[first, last]] = words_from_ints([6, 2**255])
        assert tree.root.tolist() == self.rebuilt(state)

    def test_it_keeps_its_own_values(self, state: BatchState) -> None:
        tree = AccessTree(state)
        before = tree.root
        slot = int(state.keys.of_kind(LeafKind.STORAGE)[0])
        account = int(state.keys.of_kind(LeafKind.ACCOUNT)[0])
        tree.write(writes_of((0, slot, 77, 0)), codes_of((0, account, 5)))
        assert self.rebuilt(state) == before.tolist() != tree.root.tolist()

    def test_the_root_depends_on_every_part_of_every_leaf(self, state: BatchState) -> None:
        depth = 8
        roots = set()

        def add() -> None:
            digests = leaf_digests(state.keys, state.values, state.codes)
            roots.add(tuple(levels(digests, depth)[-1][0].tolist()))

        add()
        keys, values, codes = state.keys, state.values, state.codes
        changed: list[tuple[np.ndarray, int]] = []
        for number in range(len(keys)):
            changed += [(keys.kind, number), (keys.address, number)]
            if keys.kind[number] != LeafKind.ACCOUNT:
                changed.append((keys.slot, number))
            else:
                changed += [(values.nonce, number), (values.code_hash, number), (values.stored, number)]
            if keys.kind[number] != LeafKind.CODE:
                changed.append((values.value, number))
        for array, number in changed:
            if array is keys.kind and keys.kind[number] in (LeafKind.ACCOUNT, LeafKind.CODE):
                continue  # another kind has another form
            old = array[number].copy()
            array[number] = old ^ 6 if array is keys.kind and old == LeafKind.STORAGE else old ^ 1
            if array is keys.kind and array[number] == LeafKind.CODE:
                array[number] = LeafKind.TRANSIENT if old != LeafKind.TRANSIENT else LeafKind.STORAGE
            add()
            array[number] = old
        for array in (codes.root, codes.size, codes.depth):
            for number in range(len(array)):
                old = array[number].copy()
                array[number] = old + 1
                add()
                array[number] = old
        tried = 1 + len(changed) + 3 * len(codes.size)
        skipped = int(np.isin(keys.kind, (LeafKind.ACCOUNT, LeafKind.CODE)).sum())
        assert len(roots) == tried - skipped


class TestPublicValues:
    operations = np.arange(1, 49, dtype=np.uint32).reshape(6, 8)
    receipts = np.arange(101, 149, dtype=np.uint32).reshape(6, 8)

    def expected(self, state: BatchState, segments: list[SegmentRecord]) -> list[dict[str, list[int]]]:
        lists = expected_public_values(segments, self.operations, self.receipts, AccessTree(state))
        ends = [*list(PublicColumns.offsets.values())[1:], PublicColumns.width]
        return [
            {name: values[start:end] for (name, start), end in zip(PublicColumns.offsets.items(), ends, strict=True)}
            for values in (stated.values for stated in lists)
        ]

    def test_segments_are_chained(self, file: ProofFile, state: BatchState) -> None:
        before = AccessTree(state).root.tolist()
        first, second = file.segments[0].writes, file.segments[1].writes
        codes = codes_of((0, int(state.keys.of_kind(LeafKind.ACCOUNT)[0]), 5))
        one, two = self.expected(state, [segment(0, 2, first), segment(2, 5, second, codes=codes)])
        assert one["version"] == two["version"] == [CIRCUIT_VERSION]
        assert (one["first_operation"], one["end_operation"]) == ([0], [2])
        assert (two["first_operation"], two["end_operation"]) == ([2], [5])
        assert one["depth"] == two["depth"] == [(len(file.state_keys) - 1).bit_length()]
        for name, chain in (("operations", self.operations), ("receipts", self.receipts)):
            assert one[f"{name}_in"] == chain[0].tolist()
            assert one[f"{name}_out"] == two[f"{name}_in"] == chain[2].tolist()
            assert two[f"{name}_out"] == chain[5].tolist()
        assert one["writes_out"] == writes_digest(first, NO_CODES).tolist()
        assert two["writes_out"] == writes_digest(second, codes).tolist()
        assert one["access_in"] == before
        assert one["access_out"] == two["access_in"] != before
        state.write(first.leaf, first.value, first.nonce)
        state.write(second.leaf, second.value, second.nonce, codes.leaf, codes.code_hash)
        assert two["access_out"] == AccessTree(state).root.tolist()

    def test_a_segment_that_writes_nothing_leaves_the_tree_alone(self, state: BatchState) -> None:
        (only,) = self.expected(state, [segment(0, 5)])
        assert only["access_in"] == only["access_out"]
        assert only["writes_out"] == WRITES_START.tolist()

    def test_parts_of_a_run(self, state: BatchState) -> None:
        words = ((1, 5), (1, 5), None, None, (4, 0), None)
        frames = (4, 4, 0, 0, 9, 0)
        records = [
            s if s.open_end is None else replace(s, open_end=replace(s.open_end, next_frame=f, next_word=w))
            for s, f, w in zip(RUNS, frames, words, strict=True)
        ]
        found = self.expected(state, records)
        assert [own["time_in"] for own in found] == [[0], [100], [200], [0], [0], [50]]
        assert [own["time_out"] for own in found] == [[100], [200], [0], [0], [50], [0]]
        stated = expected_public_values(records, self.operations, self.receipts, AccessTree(state))
        assert [own.frames for own in stated] == [[0, 4], [3, 4], [3, 0], [0, 0], [0, 9], [8, 0]]
        assert [own.words for own in stated] == [
            [1, 0, 1, 1, 5], [1, 5, 1, 1, 5], [1, 5, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 1, 4, 0], [4, 0, 0, 0, 0],
        ]  # fmt: skip
        # Item by item: the number of the other part, the side, and the hash.
        for own, part, links in zip(found, (0, 1, 2, 0, 0, 1), links_of(records), strict=True):
            digest = LINKS_START
            for other, of_both in zip(links.other.tolist(), links.digest, strict=True):
                blocks = np.zeros((2, 8), dtype=np.uint32)
                blocks.reshape(-1)[:10] = [other, other > part, *of_both]
                item = compress_chain(initial(28), blocks)[-1]
                digest = compress_chain(digest, item[None])[-1]
            assert own["links"] == digest.tolist()
        assert found[3]["links"] == LINKS_START.tolist()

    def test_frames_do_not_go_back(self, state: BatchState) -> None:
        for first, second in ((4, 3), (0, 4), (4, 5 + 2**21)):
            records = [
                replace(RUNS[0], open_end=ends(next_frame=first)),
                replace(RUNS[1], open_end=ends(200, next_frame=second)),
                *RUNS[2:],
            ]
            with pytest.raises(Invalid, match="frames begin in it"):
                self.expected(state, records)

    def test_there_are_no_others(self) -> None:
        assert list(PublicColumns.offsets) == [
            "version", "first_operation", "end_operation", "depth", "operations_in", "operations_out", "receipts_in",
            "receipts_out", "writes_out", "access_in", "access_out", "time_in", "time_out", "links",
        ]  # fmt: skip


def test_leaves_of_the_sample(chain: Chain, state: BatchState) -> None:
    """What the tests above rely on."""
    assert {kind for kind, _, _ in chain.keys} == set(LeafKind)
    assert (ACCOUNT, SENDERS[0], 0) in chain.keys
    assert (STORAGE, CONTRACT, 3) in chain.keys


class Proved(NamedTuple):
    """A proof, and the key of one engine for it."""

    engine: str
    key: PinnedKey
    proof: bytes


def pinned(small: Small) -> dict[str, PinnedKey]:
    """The key of a circuit, by engine."""
    return {name: PinnedKey(decode(small.key), small.tables) for name, decode in ENGINES.items()}


@pytest.fixture(scope="module")
def small() -> Small:
    return fibonacci(14, 1)


@pytest.fixture(params=list(ENGINES))
def proved(request: pytest.FixtureRequest, small: Small) -> Proved:
    return Proved(request.param, pinned(small)[request.param], small.proof)


class TestVerifySegment:
    def test_an_honest_proof_passes(self, proved: Proved) -> None:
        _, key, proof = proved
        for given in (proof, memoryview(proof)):
            found = verify_segment(segment(0, 1, proof=given), key)
            assert found.security_bits >= 100
            assert found.stated == Stated([1, 34], [], [])
            assert found.rows == {PUBLIC_TABLE: 8, "other": 64}
            check_stated([found], [Stated([1, 34], [0, 0], [1, 0, 0, 0, 0])])

    @pytest.mark.parametrize("expected", [[1, 35], [2, 34], [1], [], [1, 34, 0], [34, 1]])
    def test_other_public_values_are_refused(self, proved: Proved, expected: list[int]) -> None:
        _, key, proof = proved
        with pytest.raises(Invalid, match="segment 0: the proof is one of other public values"):
            check_stated([verify_segment(segment(0, 1, proof=proof), key)], [Stated(expected, [0, 0], [1, 0, 0, 0, 0])])

    def test_public_values_belong_to_the_segment_table(self, proved: Proved) -> None:
        _, key, proof = proved
        with pytest.raises(Invalid, match="public values of another table"):
            verify_segment(segment(0, 1, proof=proof), replace(key, tables=key.tables[::-1]))

    def test_another_key_is_refused(self, proved: Proved) -> None:
        keys = pinned(fibonacci(15, 1))
        with pytest.raises(Invalid, match="engine refuses"):
            verify_segment(segment(0, 1, proof=proved.proof), keys[proved.engine])

    @pytest.mark.parametrize("damage", [lambda p: b"", lambda p: p[:-1], lambda p: p + b"\0", lambda p: bytes(len(p))])
    def test_damaged_proofs_are_refused(self, proved: Proved, damage: Callable[[bytes], bytes]) -> None:
        _, key, proof = proved
        with pytest.raises(Invalid, match="engine refuses"):
            verify_segment(segment(0, 1, proof=damage(proof)), key)


class TestCheckStated:
    """Public values of frames and memory, which are those of tables that may be absent."""

    wanted = Stated([1, 2], [3, 6], [4, 5, 1, 6, 7])

    def check(self, rows: dict[str, int], stated: Stated | None, wanted: Stated | None = None) -> None:
        check_stated([ProvedSegment(rows, stated, 100.0)], [wanted or self.wanted])

    def test_present_tables_state_what_is_wanted(self) -> None:
        rows = {"segment": 1, "frame": 8, "memory": 8}
        self.check(rows, self.wanted)
        self.check(rows, None)

    @pytest.mark.parametrize("field", ["values", "frames", "words"])
    def test_every_value_counts(self, field: str) -> None:
        rows = {"segment": 1, "frame": 8, "memory": 8}
        own = getattr(self.wanted, field)
        for place in range(len(own)):
            told = [value + (k == place) for k, value in enumerate(own)]
            with pytest.raises(Invalid, match="segment 0: the proof is one of other public values"):
                self.check(rows, replace(self.wanted, **{field: told}))
        with pytest.raises(Invalid, match="segment 0: the proof is one of other public values"):
            self.check(rows, replace(self.wanted, **{field: []}))

    def test_absent_tables_state_nothing(self) -> None:
        wanted = Stated([1, 2], [3, 4], [4, 5, 1, 4, 5])
        for words in ([4, 5, 1, 4, 5], [4, 5, 0, 0, 0]):
            own = replace(wanted, words=words)
            self.check({"segment": 1}, Stated([1, 2], [], []), own)
            self.check({"segment": 1, "memory": 1}, Stated([1, 2], [], words), own)
            self.check({"segment": 1, "frame": 1}, Stated([1, 2], [3, 4], []), own)
            for rows in ({"segment": 1, "memory": 1}, {"segment": 1, "frame": 1}):
                with pytest.raises(Invalid, match="segment 0: the proof is one of other public values"):
                    self.check(rows, Stated([1, 2], [], []), own)

    @pytest.mark.parametrize("stated", [None, Stated([1, 2], [], [])])
    def test_absent_tables_have_no_rows(self, stated: Stated | None) -> None:
        for frames in ([3, 5], [3, 3], [3, 1]):
            with pytest.raises(Invalid, match="segment 0: the proof is one without the frames"):
                self.check({"segment": 1}, stated, Stated([1, 2], frames, [4, 5, 1, 4, 5]))
        for words in ([4, 5, 1, 4, 6], [4, 5, 1, 5, 5], [4, 5, 1, 0, 0], [4, 5, 1, 4, 4], [0, 0, 1, 1, 0]):
            with pytest.raises(Invalid, match="segment 0: the proof is one without the words of memory"):
                self.check({"segment": 1}, stated, Stated([1, 2], [3, 4], words))
