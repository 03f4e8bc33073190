"""Costs of variants: exact, repeatable, those that the documents name, and reports that can be cited."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from circuits.batch.execution import Batch, Execution
from circuits.segment import fill as fill_segment
from executor.forks import CANCUN, OSAKA
from lab.__main__ import app
from lab.errors import LabError
from lab.measure import Workload, differences, measure
from lab.plots import plot
from lab.registry import EXPERIMENTS, Experiment, variant
from lab.report import SCHEMA, Comparison
from lab.sweep import sweep
from lab.variant import TODAY
from prover.costs import costs_of
from scripts.batches.builder import Builder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "laboratory.md").read_text()
ERC20 = Workload.named("erc20")


def compared(experiment: Experiment, *workloads: Workload, workers: int = 1) -> Comparison:
    references = [TODAY.name, *(each.name for each in experiment.variants)]
    found = sweep(references, workloads, workers=workers)
    return Comparison(experiment.question, tuple(map(variant, references)), tuple(found))


@pytest.fixture(scope="module")
def fusion() -> Comparison:
    return compared(EXPERIMENTS["fusion"], ERC20)


def test_nothing_changed_costs_what_the_circuit_costs() -> None:
    (measured,) = measure(TODAY, ERC20)
    batch = Batch.of(ERC20.trace)
    assert measured.costs == costs_of(fill_segment(Execution(batch, 0, len(batch.operations))))
    assert differences(measured, measured) == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_has_the_costs_of_the_smallest_workload(name: str, fusion: Comparison) -> None:
    comparison = fusion if name == "fusion" else compared(EXPERIMENTS[name], ERC20)
    for line in comparison.markdown_costs():
        assert line in PAGE.splitlines()


@pytest.mark.deep
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_has_all_costs(name: str) -> None:
    experiment = EXPERIMENTS[name]
    lines = compared(experiment, *map(Workload.named, experiment.workloads)).markdown_costs()
    place = PAGE.index("\n".join(lines))
    assert PAGE.rindex("\n## ", 0, place) == PAGE.index(f"\n## {experiment.question}")


def test_the_variant_of_the_page_costs_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    block = re.search(r'```python title="mine.py"\n(.*?)```', PAGE, re.DOTALL)
    assert block
    file.write_text(block[1])
    references = [TODAY.name, *(f"{file}:{name}" for name in ("ONE", "FOUR", "EIGHT"))]
    comparison = Comparison("sums", tuple(map(variant, references)), tuple(sweep(references, [ERC20])))
    assert "\n".join(comparison.markdown_costs()) in PAGE


def test_measuring_again_gives_the_same(fusion: Comparison) -> None:
    again = compared(EXPERIMENTS["fusion"], ERC20)
    assert again.results() == fusion.results()
    assert again.table().equals(fusion.table())


@pytest.mark.deep
def test_tasks_measure_the_same(fusion: Comparison) -> None:
    assert compared(EXPERIMENTS["fusion"], ERC20, workers=2).results() == fusion.results()


def test_differences_add_up(fusion: Comparison) -> None:
    for before, measured in fusion.pairs:
        found = differences(before, measured)
        assert sum(d.cells for d in found) == measured.costs.cells - before.costs.cells
        assert sum(d.messages for d in found) == measured.costs.messages - before.costs.messages
        assert sum(d.rows_weight for d in found) == measured.rows_weight - before.rows_weight


def test_fused_steps_are_the_same_steps(fusion: Comparison) -> None:
    today, landing, pushed, both, jumpi = (m.costs for m in fusion.measurements)
    assert {today.steps} == {m.steps for m in (landing, pushed, both, jumpi)}
    rows = {m.variant: {t.name: t.rows for t in m.costs.tables} for m in fusion.measurements}
    own = rows["today"]
    assert rows["jump-jumpdest"]["jump_jumpdest"] == own["jump"]
    for fewer, more in (("jump", "push_jump"), ("push_small", "push_jump")):
        assert rows["push-jump"][fewer] + rows["push-jump"][more] == own[fewer]
    assert rows["push-jump-jumpdest"]["push_jump_jumpdest"] == rows["push-jump"]["push_jump"]
    assert rows["push-jumpi"]["push_jumpi"] == own["jumpi"]


# Workloads.


def test_workloads_are_examples_or_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(ERC20.content)
    assert Workload.named(str(file)).digest == ERC20.digest
    assert Workload.named(str(file)).name == "mine"
    with pytest.raises(LabError, match="no workload"):
        Workload.named("nothing")


def test_workloads_under_another_fork() -> None:
    building = Builder()
    building.block(building.transfer())
    (measured,) = measure(TODAY, Workload.of("a transfer", building.document).under(OSAKA))
    assert measured.fork == OSAKA.circuit != CANCUN.circuit
    with pytest.raises(LabError, match="of its own fork alone"):
        Workload.named("mainnet", OSAKA)


# Reports.


def test_a_report_is_complete(fusion: Comparison, tmp_path: Path) -> None:
    parquet, document, markdown = fusion.write(tmp_path / "new")
    table = pyarrow.parquet.read_table(parquet)
    assert table.schema.equals(SCHEMA)
    for measured in fusion.measurements:
        own = [row for row in table.to_pylist() if row["variant"] == measured.variant]
        assert sum(row["cells"] for row in own) == measured.costs.cells
        assert sum(row["messages"] for row in own) == measured.costs.messages
        assert {row["circuit"] for row in own} == {measured.circuit}
    report = json.loads(document.read_text())
    assert fusion.results() == {name: report[name] for name in fusion.results()}
    assert re.fullmatch(r"[0-9a-f]{40}\+?|", report["software"]["revision"])
    assert report["machine"]["cores"] >= 1
    text = markdown.read_text()
    for measured in fusion.measurements:
        assert measured.circuit in text
        assert measured.batch in text


def test_equal_costs_give_equal_pictures(fusion: Comparison, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        plot(fusion, tmp_path / name)
    one, two = ((tmp_path / name).read_text() for name in ("one.svg", "two.svg"))
    assert one == two
    assert "push-jump" in one
    with pytest.raises(LabError, match="no kind of picture"):
        plot(fusion, tmp_path / "plot.txt")


# The command.


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_lists_what_there_is() -> None:
    status, out, _ = run("list", "--json")
    assert status == 0
    assert list(json.loads(out)["experiments"]) == list(EXPERIMENTS)


def test_an_experiment_is_a_command(fusion: Comparison, tmp_path: Path) -> None:
    status, out, _ = run("experiment", "fusion", "--workload", "erc20", "--out", str(tmp_path), "--json")
    assert status == 0
    printed = json.loads(out)
    assert printed["measurements"] == fusion.results()["measurements"]
    assert [Path(file).name for file in printed["files"]] == [
        "measurements.parquet", "report.json", "report.md", "plot.svg",
    ]  # fmt: skip
    assert all(Path(file).is_file() for file in printed["files"])


def test_a_comparison_is_a_command() -> None:
    status, out, _ = run("compare", "push-jump")
    assert status == 0
    assert re.search(r"erc20 +push-jump +5,189,558 +-97,280 +537,575 +-40,960", out)


def test_what_is_wrong_is_found_by_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from lab.experiments.fusion import PUSH_JUMPI\n"
        "from lab.variant import Changes, Variant\n"
        "from tests.campaign.defects import without\n"
        "from tests.lab.weakening import weakened\n"
        "LACKING = Variant('lacking', '', lambda components: Changes(removed=('jump',)), sample=PUSH_JUMPI.sample)\n"
        "WEAK = weakened(PUSH_JUMPI, 'push_jumpi', without('condition: value * inverse'))\n"
    )
    status, out, _ = run("check", f"{file}:LACKING", "--json")
    assert status == 1
    assert json.loads(out)["violations"] > 0
    status, out, _ = run("attack", f"{file}:WEAK", "--json")
    assert status == 1
    assert {found["table"] for found in json.loads(out)["accepted"]} == {"push_jumpi"}
    assert run("check", f"{file}:WEAK")[0] == 0
    for words in (("check", "none"), ("check", "today"), ("experiment", "none"), ("compare", "today", "today")):
        status, _, error = run(*words)
        assert status == 2
        assert "error: " in error
