"""What lies in deploy/ holds together: with the program, with its metrics, with its own parts and with the tools' schemas.

No container engine and no cluster is needed: see deploy/README.md, "What was checked, and how".
"""

import contextlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipelines import cli, options
from pipelines.status_server import Health, StatusServer, parse_address
from tests.conftest import ROOT
from transforms import telemetry
from transforms.commit import CommitResult

DEPLOY = ROOT / "deploy"
KUBERNETES = ("1.29", "1.37")
GRACE_SECONDS = 40  # a drain may take 30
UNITS = ("newsbeam.service", "newsbeam.timer", "newsbeam-stream.service")

# ---- reading ------------------------------------------------------------------------------------------------------


def missing(what: str) -> None:
    """Skip where a tool is not installed; fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    for candidate in (Path(sys.executable).parent / name, ROOT / ".engines" / name):
        if os.access(candidate, os.X_OK):
            return str(candidate)
    found = shutil.which(name)
    if found is None:
        missing(f"there is no {name}")
    return str(found)


def run(*command: str, cwd: Optional[Path] = None, env: Optional[Mapping[str, str]] = None) -> "Finished":
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=60, check=False
    )
    return Finished(done.returncode, done.stdout + done.stderr)


class Finished(NamedTuple):
    status: int
    words: str


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def compose() -> dict[str, Any]:
    return documents(DEPLOY / "compose.yaml")[0]


def manifests() -> list[dict[str, Any]]:
    return [document for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in documents(path)]


def flink_deployment() -> dict[str, Any]:
    (found,) = (document for document in manifests() if document["kind"] == "FlinkDeployment")
    return found


def task_manager_pod() -> dict[str, Any]:
    """The operator's merge of both templates: by the names of containers and volumes."""
    common, own = flink_deployment()["spec"]["podTemplate"], flink_deployment()["spec"]["taskManager"]["podTemplate"]
    spec = {**common["spec"], **own["spec"]}
    for part in ("containers", "volumes"):
        spec[part] = [*common["spec"][part], *own["spec"][part]]
    return {**own, "spec": spec}


def pods() -> dict[str, dict[str, Any]]:
    """The pod templates of all manifests by the name of what makes them."""
    found = {}
    for document in manifests():
        name, spec = document["metadata"]["name"], document.get("spec", {})
        if document["kind"] == "CronJob":
            found[name] = spec["jobTemplate"]["spec"]["template"]
        elif document["kind"] == "Deployment":
            found[name] = spec["template"]
        elif document["kind"] == "FlinkDeployment":
            found[f"{name}-jobmanager"], found[f"{name}-taskmanager"] = spec["podTemplate"], task_manager_pod()
    return found


def unit(name: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text("utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values.setdefault(key, []).append(value)
    return values


class Command(NamedTuple):
    """A newsbeam command somewhere in deploy/, and the folders it sees there (none: the whole machine)."""

    where: str
    argv: Sequence[str]
    folders: Optional[Sequence[str]]


def commands() -> list[Command]:
    found = []
    for name in ("newsbeam.service", "newsbeam-stream.service"):
        (line,) = unit(name)["ExecStart"]
        found.append(Command(name, shlex.split(line)[1:], None))
    for line in (DEPLOY / "crontab.example").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            found.append(Command("crontab.example", re.findall(r"bin/newsbeam (.*?) >>", line)[0].split(), None))
    for name, service in compose()["services"].items():
        if service["image"].startswith(("newsbeam:", "newsbeam-flink:")):
            folders = [volume.split(":")[1] for volume in service["volumes"]]
            found.append(Command(f"compose {name}", service["command"], folders))
    for name, pod in pods().items():
        for container in pod["spec"]["containers"]:
            if container.get("image", "").startswith(("newsbeam:", "newsbeam-flink:")):
                folders = [mount["mountPath"] for mount in container["volumeMounts"]]
                found.append(Command(f"kubernetes {name}", container["args"], folders))
    for number, line in enumerate(re.findall(r"`newsbeam (stream --.*?)`", (DEPLOY / "README.md").read_text("utf-8"))):
        found.append(Command(f"README.md {number}", line.split(), None))
    return found


def parsed(argv: Sequence[str]) -> Any:
    parser = cli._parser()
    cli._COMMANDS[argv[0]].add_flags(parser.commands[argv[0]], options)
    return parser.parse_args(argv)


# ---- commands -----------------------------------------------------------------------------------------------------


def test_commands_are_found_everywhere() -> None:
    where = {command.where for command in commands()}
    assert where >= {
        "newsbeam.service",
        "newsbeam-stream.service",
        "crontab.example",
        "compose stream",
        "compose launcher",
        "kubernetes newsbeam-ingest",
        "kubernetes newsbeam-stream",
        "kubernetes newsbeam-flink-launcher",
    }


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.where)
def test_a_command_is_one_the_program_takes(command: Command) -> None:
    if "dataflow" in command.argv:
        assert command.where.startswith("README.md")
    args = parsed(command.argv)
    if command.argv[0] == "stream":
        settings = options.read_stream_config(args)
        assert settings.status_address is not None
        host, port = parse_address(settings.status_address)
        assert port == 9464
        assert host == ("127.0.0.1" if command.folders is None else "0.0.0.0")
    if command.folders is not None:
        assert args.workers, "one process a core of the node is not what a container is given"
        paths = [args.lake, args.config, *args.feeds]
        assert all(any(path == folder or path.startswith(folder + "/") for folder in command.folders) for path in paths)
        assert getattr(args, "job_server", None) in (None, "/opt/flink/flink-job-server.jar")


@pytest.mark.parametrize("name", ["newsbeam-flink-launcher", "launcher"])
def test_the_launcher_on_flink_names_what_is_there(name: str) -> None:
    (command,) = (command for command in commands() if command.where.split()[-1] == name)
    args = parsed(command.argv)
    if command.where.startswith("compose"):
        services = compose()["services"]
        assert args.flink_master == "jobmanager:8081"
        assert services["worker"]["network_mode"] == "service:taskmanager"
        assert "command" not in services["worker"]  # the image's own, on the image's own port
        assert args.checkpoint_dir.startswith("s3://checkpoints/")
        assert services["bucket"]["command"][-1] == "store/checkpoints"
    else:
        assert args.flink_master == flink_deployment()["metadata"]["name"] + "-rest:8081"
        (worker,) = (c for c in task_manager_pod()["spec"]["containers"] if c["name"] == "worker")
        assert worker["args"] == ["--service_port=50000"]
        assert {worker[probe]["tcpSocket"]["port"] for probe in ("startupProbe", "livenessProbe")} == {50000}
        assert args.checkpoint_dir == flink_deployment()["spec"]["flinkConfiguration"]["state.checkpoints.dir"]
    assert args.worker_pool == "localhost:50000"


def test_whoever_stops_a_worker_waits_for_its_drain() -> None:
    waits = {f"kubernetes {name}": pod["spec"].get("terminationGracePeriodSeconds") for name, pod in pods().items()}
    del waits["kubernetes newsbeam-flink-jobmanager"]
    for name in ("newsbeam.service", "newsbeam-stream.service"):
        waits[name] = int(unit(name)["TimeoutStopSec"][0])
        assert unit(name)["KillMode"] == ["mixed"]  # else the engine ends before the launcher can drain
    for name, service in compose()["services"].items():
        if service["image"].startswith("newsbeam") and service["restart"]:
            waits[f"compose {name}"] = int(service["stop_grace_period"].removesuffix("s"))
    assert len(waits) == 9
    assert {name: wait for name, wait in waits.items() if not wait or wait < GRACE_SECONDS} == {}


def test_systemd_restarts_what_a_restart_can_mend() -> None:
    values = unit("newsbeam-stream.service")
    assert values["Restart"] == ["on-failure"]
    assert values["RestartPreventExitStatus"] == ["2"]


# ---- metrics ------------------------------------------------------------------------------------------------------

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
_WORDS = {"or", "and", "unless", "by", "without", "on", "ignoring", "offset", "bool", "group_left", "group_right"}
_OF_PROMETHEUS = {"up": {"job", "instance"}}


def exposed() -> dict[str, set[str]]:
    """What /metrics shows: sample names with their labels."""
    samples = dict(_OF_PROMETHEUS)
    labels = {
        metric._name: set(metric._labelnames)
        for metric in vars(telemetry).values()
        if hasattr(metric, "_labelnames") and hasattr(metric, "_name")
    }
    for family in telemetry.REGISTRY.collect():
        for suffix in _SUFFIXES.get(family.type, ("",)):
            of_suffix = {"le"} if suffix == "_bucket" else set()
            samples[family.name + suffix] = {"job", "instance"} | labels.get(family.name, set()) | of_suffix
    return samples


def used(expression: str) -> dict[str, set[str]]:
    """The metrics of a PromQL expression with the labels that are asked of them or grouped by."""
    found: dict[str, set[str]] = {}
    grouped = set(itertools.chain(*map(str.split, re.findall(r"\b(?:by|without) \(([^)]*)\)", expression))))
    grouped = {name.strip(",") for name in grouped}
    bare = re.sub(r"\b(?:by|without) \([^)]*\)|\[[^]]*\]", " ", expression)
    for name, braces in re.findall(r"(?<![\w.\"$])([A-Za-z_:][\w:]*)(?![\w(])(?! *\()(\{[^}]*\})?", blank(bare)):
        if name not in _WORDS:
            found.setdefault(name, set()).update(re.findall(r"(\w+) *(?:=~|!=|!~|=)", braces))
    if grouped and found:
        for labels in found.values():
            labels |= {label for label in grouped if label not in ("job", "instance")}
    return found


def blank(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


def rules() -> list[dict[str, Any]]:
    (document,) = documents(DEPLOY / "prometheus" / "rules.yml")
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    text = (DEPLOY / "grafana" / "newsbeam.json").read_text("utf-8")
    return dict(json.loads(text))


def queries() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for panel in dashboard()["panels"]:
        found += [(f"{panel['title']} {target['refId']}", target["expr"]) for target in panel.get("targets", ())]
    return found


def test_the_reader_of_queries_sees_metrics_and_labels() -> None:
    expression = 'time() - (max(a_b{c="d", e=~"f"}) or g) > 5 and sum by (h) (rate(i_total[5m] offset 5m)) > 0'
    assert used(expression) == {"a_b": {"c", "e", "h"}, "g": {"h"}, "i_total": {"h"}}


@pytest.mark.parametrize(("where", "expression"), queries(), ids=[where for where, _ in queries()])
def test_a_query_asks_for_what_the_worker_shows(where: str, expression: str) -> None:
    shown, asked = exposed(), used(expression)
    assert asked
    assert set(asked) <= set(shown)
    # Labels grouped by belong to one of the metrics of the expression.
    assert set(itertools.chain(*asked.values())) <= set(itertools.chain(*(shown[name] for name in asked)))


def test_label_values_in_queries_are_ones_the_worker_sets() -> None:
    values: dict[str, set[str]] = {}
    for _, expression in queries():
        for label, value in re.findall(r'(\w+) *(?:=~|!=|=) *"([^"$.]*)"', expression):
            values.setdefault(label, set()).update(value.split("|"))
    state = (ROOT / "transforms" / "schemas.py").read_text("utf-8").partition('_column("state"')[2].splitlines()[0]
    assert values.pop("job") == {"newsbeam"}
    assert values.pop("reason") == {"bug"}
    assert '"bug"' in (ROOT / "transforms" / "dead_letters.py").read_text("utf-8")
    assert values["state"]
    assert all(value in state for value in values.pop("state"))
    assert values.pop("disposition") <= {name for name in CommitResult.__dataclass_fields__}
    assert values == {}


def test_every_metric_of_ours_is_watched() -> None:
    ours = {family.name for family in telemetry.REGISTRY.collect() if family.name.startswith("newsbeam_")}
    asked = set(itertools.chain(*(used(expression) for _, expression in queries())))
    assert {name for name in ours if not any(metric.startswith(name) for metric in asked)} == set()


def test_each_alert_is_explained_and_tested_both_ways() -> None:
    (tests,) = documents(DEPLOY / "prometheus" / "rules.test.yml")
    silent: set[str] = set()
    firing: set[str] = set()
    for case in (case for test in tests["tests"] for case in test["alert_rule_test"]):
        (firing if case.get("exp_alerts") else silent).add(case["alertname"])
    names = {rule["alert"] for rule in rules()}
    table = re.findall(r"^\| (Newsbeam\w+) \|", (DEPLOY / "README.md").read_text("utf-8"), re.MULTILINE)
    assert names == silent == firing == set(table)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} == set(rule["annotations"])


def test_promtool_takes_the_rules_and_their_tests(tmp_path: Path) -> None:
    promtool = tool("promtool")
    shutil.copytree(DEPLOY / "prometheus", tmp_path, dirs_exist_ok=True)
    assert run(promtool, "check", "rules", "rules.yml", cwd=tmp_path).status == 0
    done = run(promtool, "test", "rules", "rules.test.yml", cwd=tmp_path)
    assert done.status == 0, done.words
    # The tests can fail: a threshold that is wrong is noticed.
    text = (tmp_path / "rules.yml").read_text("utf-8")
    (tmp_path / "rules.yml").write_text(text.replace("1610612736", "16106127360"), "utf-8")
    assert "NewsbeamMemoryHigh" in run(promtool, "test", "rules", "rules.test.yml", cwd=tmp_path).words


def test_promtool_takes_the_dashboards_queries_and_the_scrape_settings(tmp_path: Path) -> None:
    promtool = tool("promtool")
    recorded = []
    for number, (_, expression) in enumerate(queries()):
        plain = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        recorded.append({"record": f"query_{number}", "expr": plain})
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}), "utf-8")
    done = run(promtool, "check", "rules", "queries.yml", cwd=tmp_path)
    assert done.status == 0, done.words
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", tmp_path)
    text = (DEPLOY / "compose" / "prometheus.yml").read_text("utf-8")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"), "utf-8")
    done = run(promtool, "check", "config", "prometheus.yml", cwd=tmp_path)
    assert done.status == 0, done.words
    assert f"{len(rules())} rules found" in done.words


def test_the_dashboards_panels_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, panel["title"]
        taken |= cells
    (data_source,) = documents(DEPLOY / "compose/grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"]
    assert data_source["type"] == "prometheus"
    (provider,) = documents(DEPLOY / "compose/grafana/provisioning/dashboards/newsbeam.yaml")[0]["providers"]
    mounts = [volume.split(":")[:2] for volume in compose()["services"]["grafana"]["volumes"]]
    assert ["./grafana", provider["options"]["path"]] in mounts


def test_the_memory_alert_is_half_of_the_memory_that_is_given() -> None:
    given = {name: unit(name)["MemoryMax"][0] for name in ("newsbeam.service", "newsbeam-stream.service")}
    for name in ("stream", "worker"):
        given[f"compose {name}"] = compose()["services"][name]["mem_limit"]
    for name, pod in pods().items():
        for container in pod["spec"]["containers"]:
            if container.get("name") in ("stream", "worker", "ingest"):
                given[f"{name} {container['name']}"] = container["resources"]["limits"]["memory"]
    assert len(given) == 7
    assert {re.sub(r"(?i)gi?$", "", amount) for amount in given.values()} == {"3"}
    (alert,) = (rule for rule in rules() if rule["alert"] == "NewsbeamMemoryHigh")
    assert alert["expr"].endswith(f"> {3 * 2**30 // 2}")


# ---- systemd ------------------------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a folder that exists for the one a user puts."""
    home = tmp_path / "srv"
    for program in (home / ".venv/bin/newsbeam", home / "bin/prism"):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n", "utf-8")
        program.chmod(0o755)
    (tmp_path / "units").mkdir()
    for name in UNITS:
        text = (DEPLOY / name).read_text("utf-8").replace("/srv/newsbeam", str(home))
        (tmp_path / "units" / name).write_text(text, "utf-8")
    return tmp_path / "units"


def verify(folder: Path) -> Finished:
    paths = [str(folder / name) for name in UNITS]
    return run(tool("systemd-analyze"), "verify", *paths, env={"SYSTEMD_UNIT_PATH": f"{folder}:"})


def about(words: str, folder: Path) -> list[str]:
    """The lines that speak of our units: others of the machine may have faults of their own."""
    return [line for line in words.splitlines() if "newsbeam" in line or str(folder) in line]


def test_systemd_takes_the_units(units: Path) -> None:
    done = verify(units)
    assert about(done.words, units) == []
    assert done.status == 0, done.words
    stream = units / "newsbeam-stream.service"
    stream.write_text(stream.read_text("utf-8").replace("KillMode=", "KilMode="), "utf-8")
    assert any("KilMode" in line for line in about(verify(units).words, units))


@pytest.mark.parametrize("name", ["newsbeam.service", "newsbeam-stream.service"])
def test_the_units_give_little_away(units: Path, name: str) -> None:
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=35", str(units / name))
    assert done.status == 0, done.words[-2000:]


# ---- Kubernetes ---------------------------------------------------------------------------------------------------


def schemas() -> Any:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("there is no kubernetes-validate, which brings the schemas")
    return importlib.import_module("kubernetes_validate")


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    validate = schemas().validate
    plain = [document for document in manifests() if document["apiVersion"] in ("v1", "batch/v1", "apps/v1")]
    assert len(plain) == 7
    spec = flink_deployment()["spec"]
    templates = [spec["podTemplate"], spec["taskManager"]["podTemplate"], task_manager_pod()]
    for document in [*plain, *templates]:
        validate(document, version, strict=True)
    with pytest.raises(Exception, match="tpyo"):
        validate({**plain[0], "tpyo": 1}, version, strict=True)


def test_the_flink_deployment_has_what_the_operator_knows() -> None:
    # Source: the operator's FlinkDeploymentSpec, v1beta1.
    known = {"image", "flinkVersion", "serviceAccount", "mode", "flinkConfiguration", "podTemplate", "jobManager"}
    spec = flink_deployment()["spec"]
    assert set(spec) == known | {"taskManager"}
    assert all(isinstance(value, str) for value in spec["flinkConfiguration"].values())
    assert spec["podTemplate"]["spec"]["containers"][0]["name"] == "flink-main-container"
    for part in ("jobManager", "taskManager"):
        assert set(spec[part]["resource"]) == {"cpu", "memory"}


def test_pods_are_without_rights_and_mount_what_exists() -> None:
    kinds = {(document["kind"], document["metadata"]["name"]) for document in manifests()}
    for name, pod in pods().items():
        spec = pod["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in kinds, name
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in kinds, name
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            if not container.get("image"):
                continue  # Flink's own container, which the operator completes
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            user = {**spec["securityContext"], **container["securityContext"]}
            assert (user["runAsNonRoot"], user["runAsUser"], spec["securityContext"]["fsGroup"]) == (True, 10001, 10001)
            assert set(container["resources"]) == {"requests", "limits"}
            # A file mounted by itself never changes, and the feed list is to.
            assert all("subPath" not in mount for mount in container["volumeMounts"] if mount["name"] == "settings")


def test_the_worker_on_prism_is_probed_where_it_answers() -> None:
    (container,) = pods()["newsbeam-stream"]["spec"]["containers"]
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    (port,) = container["ports"]
    assert port == {"name": "metrics", "containerPort": 9464}
    (monitor,) = (document for document in manifests() if document["kind"] == "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "newsbeam"}]
    scraped = {name for name, pod in pods().items() if wanted.items() <= pod["metadata"].get("labels", {}).items()}
    assert scraped == {"newsbeam-stream", "newsbeam-flink-taskmanager"}
    for name in scraped:
        ports = [port["name"] for c in pods()[name]["spec"]["containers"] for port in c.get("ports", ())]
        assert endpoint["port"] in ports


# ---- compose ------------------------------------------------------------------------------------------------------


def test_compose_fits_its_schema(tmp_path: Path) -> None:
    check = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = run(*check, str(DEPLOY / "compose.yaml"))
    assert done.status == 0, done.words
    wrong = compose()
    wrong["services"]["stream"]["volume"] = []
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(wrong), "utf-8")
    assert run(*check, str(tmp_path / "compose.yaml")).status == 1


def test_compose_mounts_and_builds_what_exists() -> None:
    services, stages = compose()["services"], {stage.name for stage in dockerfile()}
    for name, service in services.items():
        assert not service["image"].endswith(":latest"), name
        assert ":" in service["image"], name
        assert service["profiles"]
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", ())):
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose()["volumes"], source
        if "build" in service:
            assert service["build"]["target"] in stages
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), port
    # Prometheus finds the worker of either profile under one name.
    named = {name for name, service in services.items() if isinstance(service.get("networks"), dict)}
    assert named == {"stream", "taskmanager"}
    scrape = documents(DEPLOY / "compose" / "prometheus.yml")[0]["scrape_configs"][0]
    assert scrape["job_name"] == "newsbeam"
    for name in named:
        assert scrape["dns_sd_configs"][0]["names"] == services[name]["networks"]["default"]["aliases"]
    settings = DEPLOY / "compose" / "settings"
    args = parsed(["ingest", f"--config={settings / 'newsbeam.toml'}", f"--feeds={settings / 'feeds.txt'}"])
    assert len(options.read_config(args, version="1", needs_feeds=True).feeds) == 1


# ---- images -------------------------------------------------------------------------------------------------------


class Stage(NamedTuple):
    """A stage of the Dockerfile: name, what it is made from, and its instructions."""

    name: str
    base: str
    instructions: Sequence[tuple[str, str]]

    def last(self, word: str) -> Optional[str]:
        return next((rest for name, rest in reversed(self.instructions) if name == word), None)


def dockerfile() -> list[Stage]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text("utf-8"))
    stages: list[Stage] = []
    defaults: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        assert word in [
            "ARG",
            "FROM",
            "ENV",
            "RUN",
            "COPY",
            "WORKDIR",
            "USER",
            "EXPOSE",
            "STOPSIGNAL",
            "HEALTHCHECK",
            "ENTRYPOINT",
            "CMD",
        ], line
        if word == "FROM":
            match = re.fullmatch(r"(\S+) AS (\S+)", rest)
            assert match, line
            base = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], match[1])
            stages.append(Stage(match[2], base, []))
        elif stages:
            stages[-1].instructions.append((word, rest.strip()))  # type: ignore[attr-defined]
        else:
            name, _, value = rest.partition("=")
            defaults[name] = value
    return stages


def effective(target: str, word: str) -> Optional[str]:
    """The last of an instruction in a stage or in what it is made from."""
    stages = {stage.name: stage for stage in dockerfile()}
    stage = stages[target]
    found = stage.last(word)
    return found if found is not None or stage.base not in stages else effective(stage.base, word)


def test_hadolint_takes_the_dockerfile() -> None:
    done = run(tool("hadolint"), "--no-color", str(DEPLOY / "Dockerfile"))
    assert done.status == 0, done.words


def test_the_images_are_small_and_without_rights() -> None:
    stages = dockerfile()
    names = [stage.name for stage in stages]
    assert {"prism", "build", "runtime", "worker", "launcher", "launcher-flink"} <= set(names)
    for stage in stages:
        if stage.base in names:
            continue
        _, colon, tag = stage.base.partition(":")
        assert colon, stage.base
        assert "latest" not in tag
        assert re.search(r"\d", tag), stage.base
    for target in ("worker", "launcher", "launcher-flink"):
        assert effective(target, "USER") == "10001:10001"
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = set()
    for stage in stages:
        for rest in (rest for word, rest in stage.instructions if word == "COPY"):
            *sources, _ = rest.split()
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in names[: names.index(stage.name)]
                continue
            copied |= {source.rstrip("/") for source in sources}
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)
    assert effective("worker", "STOPSIGNAL") == "SIGINT"
    assert effective("launcher-flink", "STOPSIGNAL") == "SIGTERM"


def test_the_images_hold_the_locked_and_tested_versions() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    beam = importlib.metadata.version("apache-beam")
    assert set(re.findall(r"ARG BEAM_VERSION=(\S+)", text)) == {beam}
    assert len(re.findall(r"pip install --require-hashes -r \S+\.lock", text)) == 2
    assert len(re.findall(r"pip install ", text)) == 3
    assert "pip install --no-deps --no-index" in text
    pom = (DEPLOY / "flink" / "pom.xml").read_text("utf-8")
    jar = re.findall(r"<finalName>(\S+)</finalName>", pom)[0] + ".jar"
    assert f"/src/target/{jar} /opt/flink/{jar}" in text
    (job_server,) = re.findall(r"<beam\.version>(\S+)</beam\.version>", pom)
    (flink,) = re.findall(r"<flink\.version>(\S+)</flink\.version>", pom)
    pinned = (DEPLOY / "flink" / "requirements.txt").read_text("utf-8")
    (cluster,) = re.findall(r"apache-flink-libraries==(\S+)", pinned)
    assert cluster.startswith(flink + ".")
    table = (DEPLOY / "README.md").read_text("utf-8").partition("## Tested versions")[2].partition("##")[0]
    assert f"| Beam's Python SDK, and Prism | {beam} |" in table
    assert f"| {job_server}, for Flink {flink} |" in table
    assert f"| Flink | {cluster} |" in table
    assert flink_deployment()["spec"]["flinkVersion"] == "v" + flink.replace(".", "_")
    images = {compose()["services"][name]["image"] for name in ("jobmanager", "taskmanager")}
    images.add(flink_deployment()["spec"]["image"])
    assert images == {f"flink:{cluster}-scala_2.12-java17"}
    python = re.findall(r"ARG PYTHON_IMAGE=python:(\S+?)-slim", text)[0]
    assert f"{python} (images)" in table
    released = {image.partition(":")[2] for image in all_images() if image.startswith("newsbeam")}
    assert released == {importlib.metadata.version("newsbeam")}


def all_images() -> list[str]:
    images = [service["image"] for service in compose()["services"].values()]
    images += [
        container["image"] for pod in pods().values() for container in pod["spec"]["containers"] if "image" in container
    ]
    return images


def runtime_lock() -> Any:
    spec = importlib.util.spec_from_file_location("runtime_lock", DEPLOY / "runtime_lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_images_lock_holds_what_newsbeam_needs_and_nothing_else() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    module = runtime_lock()
    held = module.closure(lock, module.PROJECT)
    names = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)(?:\[\S*\])?==", held, re.MULTILINE)}
    needed, queue = set(), [("newsbeam", "")]
    while queue:
        name, extra = queue.pop()
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found = canonicalize_name(requirement.name)
                queue += [(found, wanted) for wanted in ("", *sorted(requirement.extras)) if found not in needed]
                needed.add(found)
    assert needed <= names
    assert names & {"pytest", "mypy", "ruff", "duckdb", "polars", "hypothesis"} == set()
    for entry in re.split(r"\n(?=\S)", held):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
        assert entry.rstrip("\n") in lock
    # A name that is pinned twice, for different Pythons, keeps both.
    twice = "one==1 ; python_version < '3.12' \\\n    --hash=sha256:a\n    # via two\none==2 \\\n    --hash=sha256:b\n    # via two\n"
    both = twice + "two==1 \\\n    --hash=sha256:c\n    # via\n    #   newsbeam (pyproject.toml)\n    #   three\n"
    assert module.closure(both + "three==1 \\\n    # via newsbeam (pyproject.toml:dev)\n", module.PROJECT) == both
    with pytest.raises(ValueError, match="not in the lock: four"):
        module.closure(both, "four")
    with pytest.raises(ValueError, match="not a pinned package"):
        module.closure("one>=1\n", module.PROJECT)


def as_run_here(form: str, **replaced: str) -> list[str]:
    """An exec-form instruction as a command for this machine."""
    command = json.loads(form[form.index("[") :])
    assert command[0] == "python"
    for old, new in replaced.items():
        command = [part.replace(old.removeprefix("_"), new) for part in command]
    return [sys.executable, *command[1:]]


@pytest.mark.parametrize(("live", "status"), [(True, 0), (False, 1)])
def test_the_launchers_health_check_asks_a_real_worker(live: bool, status: int) -> None:
    health = Health(live=live, ready=live, reason=None if live else "no_harvest")
    form = effective("launcher", "HEALTHCHECK")
    assert form is not None
    assert effective("launcher-flink", "HEALTHCHECK") == "NONE"
    with StatusServer("127.0.0.1:0", lambda: health) as server:
        assert run(*as_run_here(form, _9464=str(urlsplit(server.url).port))).status == status


@contextlib.contextmanager
def worker_pool(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker image's own command, on another port."""
    entry, arguments = effective("worker", "ENTRYPOINT"), effective("worker", "CMD")
    assert entry is not None
    assert arguments is not None
    command = as_run_here(entry) + [part.replace("50000", str(port)) for part in json.loads(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_worker_pool_is_healthy_once_it_listens_and_ends_at_its_stop_signal() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    form = effective("worker", "HEALTHCHECK")
    assert form is not None
    check = as_run_here(form, _50000=str(port))
    assert run(*check).status == 1
    with worker_pool(port) as process:
        until = time.monotonic() + 60
        while run(*check).status != 0:
            assert process.poll() is None
            assert time.monotonic() < until
        process.send_signal(getattr(signal, str(effective("worker", "STOPSIGNAL"))))
        assert process.wait(20) == 0


# ---- Dataflow -----------------------------------------------------------------------------------------------------


def test_the_flex_templates_parameters_are_flags_of_the_stream() -> None:
    metadata = json.loads((DEPLOY / "dataflow" / "metadata.json").read_text("utf-8"))
    samples = {
        "feeds": "feeds.txt",
        "lake": "gs://bucket/lake",
        "contact": "me@example.org",
        "tick": "10s",
        "workers": "2",
    }
    assert [parameter["name"] for parameter in metadata["parameters"]] == list(samples)
    for parameter in metadata["parameters"]:
        assert set(parameter) <= {"name", "label", "helpText", "paramType", "isOptional", "regexes"}
        assert parameter["label"]
        assert parameter["helpText"]
        for pattern in parameter.get("regexes", ()):
            assert re.fullmatch(pattern, samples[parameter["name"]])
            assert not re.fullmatch(pattern, "no!")
    argv = ["stream", "--runner=dataflow", *(f"--{name}={value}" for name, value in samples.items())]
    assert parsed(argv).tick == 10
    assert metadata["streaming"] is True
