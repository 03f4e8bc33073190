"""What an installation is made of: image, compose file, unit, alarms and dashboard, and what the docs say of them.

Where the tools themselves are installed (promtool, systemd-analyze), they judge, too.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.batch import chain_schedule
from executor.fetch import fetch
from service.metrics import Metrics
from service.models import Code, Following, Overview, Worker
from service.settings import Settings
from service.states import State
from tests.end_to_end.geth import listening

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
GENESIS = DOCKER / "genesis.json"
LATER = 1 << 40  # a time, Unix, in seconds
UNIT = ROOT / "systemd" / "zkevm.service"
OPERATORS = (ROOT / "docs" / "service.md").read_text()


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")
    ]


def settings_environment() -> set[str]:
    return {f"ZKEVM_{name.upper()}" for name in Settings.model_fields}


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, DOCKER / "compose.yaml"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def images(compose: Any) -> list[str]:
    """All images that are fetched: not the one that is built, nor stages of it."""
    stages = {rest.split(" AS ")[1] for word, rest in dockerfile() if word == "FROM" and " AS " in rest}
    of_stages = [rest.split(" AS ")[0] for word, rest in dockerfile() if word == "FROM"]
    of_services = [service["image"] for service in compose["services"].values() if "build" not in service]
    return [image for image in (*of_stages, *of_services) if image not in stages]


def test_images_come_from_the_default_registry_and_have_a_version(compose: Any) -> None:
    for image in images(compose):
        name, _, tag = image.partition(":")
        host, _, rest = name.partition("/")
        assert not (rest and ("." in host or host == "localhost")), image
        assert re.match(r"v?[0-9]", tag), image


def test_all_that_the_compose_file_names_is_there(compose: Any) -> None:
    for name, service in compose["services"].items():
        if "build" in service:
            context = DOCKER / service["build"]["context"]
            assert context.resolve() == ROOT
            assert (context / service["build"]["dockerfile"]).is_file()
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DOCKER / source).exists(), (name, source)
        assert set(service.get("depends_on", {})) <= set(compose["services"])
    used = {v.split(":")[0] for service in compose["services"].values() for v in service["volumes"]}
    assert set(compose["volumes"]) <= used


def test_every_service_says_whether_it_is_well(compose: Any) -> None:
    for name, service in compose["services"].items():
        built = "build" in service
        assert "healthcheck" in service or (built and "HEALTHCHECK" in dict(dockerfile())), name
        assert service["restart"] == "unless-stopped"


def test_ports_are_open_on_this_machine_alone_and_are_those_that_are_served(compose: Any) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    for published in ports.values():
        assert all(port.startswith("127.0.0.1:") for port in published)
    served = Settings.model_fields["port"].default
    assert ports["service"] == [f"127.0.0.1:{served}:{served}"]
    assert dict(dockerfile())["EXPOSE"] == str(served)
    assert f":{served}/healthz" in dict(dockerfile())["HEALTHCHECK"]
    assert "ports" not in compose["services"]["database"]


def test_settings_in_the_compose_file_are_settings(compose: Any) -> None:
    given = {name for name in compose["services"]["service"]["environment"] if name.startswith("ZKEVM_")}
    assert given
    assert given <= settings_environment()
    of_image = {word for _, rest in dockerfile() if _ == "ENV" for word in re.findall(r"ZKEVM_\w+", rest)}
    assert of_image <= settings_environment()


def test_variables_of_the_compose_file_are_explained(compose: Any) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    example = (DOCKER / "example.env").read_text()
    for name, kind in re.findall(r"\$\{(\w+)(:[?-])", text):
        assert re.search(rf"^{'#?' if kind == ':-' else ''}{name}=", example, re.MULTILINE), name
    assert not re.findall(r"\$\{\w+\}", text)
    # No password has a value that everybody knows.
    assert set(re.findall(r"^\w*PASSWORD=(.*)$", example, re.MULTILINE)) == {""}


def test_the_image_is_built_of_what_is_there() -> None:
    taken = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in taken)
    packages = re.search(r"find\]\ninclude = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert packages
    assert set(re.findall(r"\"(\w+)\*\"", packages[1])) <= set(taken)
    stages: set[str] = set()
    for word, rest in dockerfile():
        if word == "FROM":
            stages |= {rest.split(" AS ")[1]} if " AS " in rest else set()
        source = re.match(r"--from=(\w+)", rest)
        assert word != "COPY" or source is None or source[1] in stages
    words = [word for word, _ in dockerfile()]
    # A number: who forbids root to containers cannot tell from a name that this one is not.
    user = dict(dockerfile())["USER"]
    assert any(f"useradd --uid {user} " in rest for _, rest in dockerfile())
    assert words.index("USER") < words.index("ENTRYPOINT")
    variables = (ROOT / "Makefile").read_text()
    assert all(f"{rest.partition('=')[0]} ?=" in variables for word, rest in dockerfile() if word == "ARG")


def test_the_chain_of_the_compose_file_is_of_a_fork_that_is_proved(compose: Any) -> None:
    node = compose["services"]["node"]
    assert f"./{GENESIS.name}:/{GENESIS.name}:ro" in node["volumes"]
    assert f" /{GENESIS.name} " in node["entrypoint"][2]
    genesis = json.loads(GENESIS.read_text())
    assert chain_schedule(None, genesis, [0, LATER]).at(LATER).name == "osaka"


@pytest.mark.deep
@pytest.mark.skipif(shutil.which("geth") is None, reason="geth is not installed")
def test_the_node_of_the_compose_file_can_be_followed(
    compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks are of a fork that is proved, and it goes on with its chain when it is started again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    here = {
        "$$": "$",
        "/data": str(tmp_path / "data"),
        f"/{GENESIS.name}": str(GENESIS),
        "addr=0.0.0.0": f"port={port}",
        "period=12": "period=1",
        "localhost:8545": f"localhost:{port}",
    }

    def on_this_machine(command: list[str]) -> list[str]:
        for there, own in here.items():
            command = [part.replace(there, own) for part in command]
        return command

    service = compose["services"]["node"]
    command = on_this_machine([*service["entrypoint"], *service["command"], "--port=0", "--nodiscover"])
    chains = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            node, until = listening(f"http://127.0.0.1:{port}", process), time.monotonic() + 60
            while int(node.call("eth_blockNumber"), 16) < 3:
                assert time.monotonic() < until, "no blocks"
                time.sleep(0.2)
            document = fetch(node, "0x1", "0x3").document
            well = subprocess.run(on_this_machine(service["healthcheck"]["test"][1:]), capture_output=True, timeout=60)
        finally:
            process.terminate()
            process.wait(60)
        assert document["fork"] == "osaka"
        assert well.returncode == 0
        chains.append([block["hash"] for block in document["blocks"]])
    assert chains[0] == chains[1]


def test_prometheus_asks_the_services_that_there_are(compose: Any) -> None:
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    assert all((DOCKER / "prometheus" / name).is_file() for name in config["rule_files"])
    hosts = {
        target.split(":")[0]
        for job in config["scrape_configs"]
        for part in job["static_configs"]
        for target in part["targets"]
    }
    assert hosts <= {*compose["services"], "127.0.0.1"}
    assert {job["job_name"] for job in config["scrape_configs"]} == {"zkevm", "prometheus"}


# Metrics


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The series that `/metrics` has once everything has happened, each with its labels."""
    now = datetime.now(UTC)
    worker = Worker(id="w", host="h", started=now, seen=now, jobs=[], memory=1, threads=1)
    following = Following(rpc="http://node", head=9, next_block=8, confirmations=0, problem="away", lag=1, proved=7)
    overview = Overview(
        version="1",
        queue=dict.fromkeys(State, 1),
        workers=[worker],
        following=following,
        proofs_per_hour=1.0,
        cells_per_second=1.0,
    )
    metrics = Metrics("1", lambda: overview)
    metrics.requests.labels("GET", "/v1/jobs", "200").inc()
    metrics.seconds.labels("/v1/jobs").observe(1.0)
    metrics.refusals.labels("internal").inc()
    metrics.confined.labels("verify").inc()
    series: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> Any:
    return json.loads((DOCKER / "grafana" / "dashboards" / "zkevm.json").read_text())


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", []))


def test_alarms_and_dashboard_name_metrics_that_are_exported(exported: dict[str, set[str]]) -> None:
    named = {name for text in expressions() for name in re.findall(r"\b(?:zkevm|process|python)_\w+", text)}
    assert len(named) > 15
    assert named <= set(exported)


def test_labels_that_are_named_are_exported(exported: dict[str, set[str]]) -> None:
    scraped = {"job", "instance"}
    values = {"state": set(State), "code": set(Code)}
    for text in expressions():
        names = set(re.findall(r"\b(?:zkevm|process)_\w+", text))
        labels = scraped.union(*(exported[name] for name in names)) | ({"le"} if "_bucket" in text else set())
        for grouped in re.findall(r"\bby \(([\w, ]+)\)", text):
            assert set(grouped.split(", ")) <= labels, text
        for name, selectors in re.findall(r"\b((?:zkevm|process)_\w+)\{([^}]*)\}", text):
            for label, _, value in re.findall(r"(\w+)(=~?|!=)\"([^\"]*)\"", selectors):
                assert label in exported[name] | scraped, text
                assert set(value.split("|")) <= values.get(label, {value}), text


def test_annotations_use_labels_that_the_alarm_has() -> None:
    for rule in alerts():
        text = " ".join(rule["annotations"].values())
        grouped = {name for part in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for name in part.split(", ")}
        plain = not re.search(r"\b(max|min|sum|histogram_quantile)\b", rule["expr"])
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label in (grouped or ({"instance", "job"} if plain else set())), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_every_alarm_is_explained_and_nothing_else() -> None:
    section = OPERATORS.partition("### What each alarm means")[2]
    assert re.findall(r"^\| `(Zkevm\w+)` \|", section, re.MULTILINE) == [rule["alert"] for rule in alerts()]


def test_the_dashboard_is_laid_out() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
    provisioned = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert [source["type"] for source in provisioned["datasources"]] == ["prometheus"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_agrees() -> None:
    for command in ("check config prometheus.yml", "check rules alerts.yml", "test rules alerts_test.yml"):
        done = subprocess.run(
            ["promtool", *command.split()], cwd=DOCKER / "prometheus", capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


# systemd


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_confines_the_service() -> None:
    service = unit()["Service"]
    assert service["User"] == "zkevm"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Environment"] == f"ZKEVM_DATA=/var/lib/{service['StateDirectory']}"
    assert float(service["TimeoutStopSec"]) > Settings.model_fields["stop_seconds"].default


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/zkevm/bin/zkevm", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", there]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


# docs/service.md


def test_every_setting_is_explained_with_its_default() -> None:
    rows = dict(
        re.findall(
            r"^\| `--[a-z-]+` \| `(ZKEVM_\w+)` \| (.*?) \|", OPERATORS.partition("## Configure")[2], re.MULTILINE
        )
    )
    assert list(rows) == [f"ZKEVM_{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        told = rows[f"ZKEVM_{name.upper()}"]
        default = field.get_default()
        if field.default_factory is not None or default is None:
            assert "`" not in told, name  # it is said in words
            continue
        shown = json.dumps(default) if isinstance(default, bool | dict) else str(default).removesuffix(".0")
        assert told == f"`{shown}`", name


def test_options_are_those_of_the_settings() -> None:
    for option, name in re.findall(r"^\| `--([a-z-]+)` \| `ZKEVM_(\w+)` \|", OPERATORS, re.MULTILINE):
        assert option.replace("-", "_") == name.lower()


def test_paths_and_pictures_in_the_docs_are_there() -> None:
    for path in re.findall(r"\]\(([^)#h][^)#]*)\)", OPERATORS):
        assert (ROOT / "docs" / path).exists(), path
    for name in re.findall(r"(?<![\w/.])(?:docker|systemd|service)/[\w./]+\w", OPERATORS):
        assert (ROOT / name).exists() or name == "docker/.env", name  # which the operator writes
