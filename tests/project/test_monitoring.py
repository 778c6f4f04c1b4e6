"""Prometheus' configuration and Grafana's dashboard: what they ask for is what the service and the monitor export.

Debian's packages prometheus and prometheus-node-exporter have the programs that the last two tests need.
"""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from movie_ratings.monitoring.drift import Drift
from movie_ratings.monitoring.report import Report, prometheus
from movie_ratings.monitoring.truth import Truth
from tests.support.builders import ROOT
from tests.support.service import Server

FOLDER = ROOT / "deploy/monitoring"
DASHBOARD = json.loads((FOLDER / "grafana/movie-ratings.json").read_text())
YAML_READER = YAML(typ="safe", pure=True)
RULES = YAML_READER.load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += [rule["expr"] for rule in RULES]
COMPOSE = YAML_READER.load((ROOT / "compose.yaml").read_text())
MOVIE = {"title": "The Long Harbour", "summary": "A pilot guides one last ship home.", "genres": ["Drama"]}
REPORT = Report(
    "data/served",
    "2026-11-26 12:00 UTC",
    100,
    {},
    [Drift("unknown", "cast", 0.4, 0.1, (100, 100), (("known", 0.9, 0.5), ("unknown", 0.1, 0.5)))],
    Truth(40, 40, 0.5, 0.7, 0.1, 0.2, 0.6, 0.8, 0.6),
    [],
)


@pytest.fixture(scope="module")
def service(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a log and a key, which has answered and refused requests."""
    log = str(tmp_path_factory.mktemp("served") / "log")
    with Server(served_model, "--log", log, MOVIE_RATINGS_API_KEY="a-key") as server:
        predict(server)
        yield server


def predict(server: Server) -> None:
    assert server.ask("POST", "/v1/predict", {"movies": [MOVIE]}, **{"X-API-Key": "a-key"})[0] == 200
    assert server.ask("POST", "/v1/predict", {"movies": [MOVIE]})[0] == 401


def exported(text: str) -> dict[str, set[str]]:
    """The labels of each series that a text of Prometheus' format declares, by its name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for name in (family.name + kind for kind in kinds):
            found[name] = {label for one in family.samples if one.name == name for label in one.labels}
    return found


def test_every_series_and_label_that_a_panel_or_an_alert_reads_is_exported(service: Server) -> None:
    status, text, _ = service.ask("GET", "/metrics")  # without the key
    assert status == 200
    known = exported(text) | exported(prometheus(REPORT, time.time()).decode())
    for expression in EXPRESSIONS:
        names = re.findall(r"\bmovie_ratings_\w+", expression)
        assert names or "up{" in expression, expression
        assert set(names) <= known.keys(), expression
        asked = {label for inner in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)=", inner)}
        for inner in re.findall(r"(?:by|ignoring) \((\w+)\)", expression):
            asked.add(inner)
        # A label of a series that nothing has counted yet is not in the text.
        seen = set().union(*(known[name] for name in names)) if names else {"job"}
        assert asked <= seen or not all(known[name] for name in names), expression


def test_every_panel_and_legend_names_what_its_series_have() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "prometheus"
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                by = re.findall(r"by \((\w+)\)", target["expr"])
                assert label in by if by else label in ("kind", "name", "figure"), target


def test_compose_runs_pinned_read_only_containers_that_listen_on_this_machine_alone() -> None:
    services = {name: one for name, one in COMPOSE["services"].items() if one.get("profiles") == ["monitoring"]}
    assert services.keys() == {"prometheus", "node-exporter", "grafana"}
    assert "profiles" not in COMPOSE["services"]["movie-ratings"]
    for one in services.values():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", one["image"])
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["mem_limit"]
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))
    sources = [mount.split(":")[0] for one in services.values() for mount in one["volumes"] if isinstance(mount, str)]
    files = [ROOT / source for source in sources if source.startswith("./")]
    assert len(files) == 5
    assert all(file.is_file() for file in files)


def test_the_names_in_the_configuration_are_those_of_the_containers() -> None:
    scraped = YAML_READER.load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    assert targets == {"movie-ratings": ["movie-ratings:80"], "monitor": ["node-exporter:9100"]}
    assert {target.split(":")[0] for some in targets.values() for target in some} <= COMPOSE["services"].keys()
    (source,) = YAML_READER.load((FOLDER / "grafana/datasource.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed")
    return found


def test_promtool_accepts_the_configuration_and_each_alert_fires_when_it_should() -> None:
    promtool = program("promtool")
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def free_ports() -> list[int]:
    """Two ports on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as another:
        return [listener.getsockname()[1] for listener in (one, another)]


@contextmanager
def running(url: str, *command: str) -> Iterator[None]:
    """A program, from the moment at which it answers at ``url``."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(url, timeout=1).close()
                    break
                except urllib.error.URLError:
                    assert process.poll() is None
                    time.sleep(0.1)
            yield
        finally:
            process.kill()


def asked(url: str, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression.replace("$__rate_interval", "10s")})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as response:
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return found


@pytest.mark.slow
def test_prometheus_collects_from_service_and_monitor_and_every_panel_has_data(
    service: Server, tmp_path: Path, free_ports: list[int]
) -> None:
    server, exporter = program("prometheus"), program("node_exporter", "prometheus-node-exporter")
    port, exporter_port = free_ports
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor/monitor.prom").write_bytes(prometheus(REPORT, time.time()))
    text = (FOLDER / "prometheus.yml").read_text().replace("15s", "1s")
    text = text.replace("movie-ratings:80", f"127.0.0.1:{service.port}")
    (tmp_path / "prometheus.yml").write_text(text.replace("node-exporter:9100", f"127.0.0.1:{exporter_port}"))
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    options = COMPOSE["services"]["node-exporter"]["command"]
    options = [option.replace("=/monitor", f"={tmp_path / 'monitor'}") for option in options]
    url, exporter_url = (f"http://127.0.0.1:{number}" for number in free_ports)
    with ExitStack() as stack:
        listen = f"--web.listen-address=127.0.0.1:{exporter_port}"
        stack.enter_context(running(f"{exporter_url}/metrics", exporter, *options, listen))
        command = [server, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        stack.enter_context(running(f"{url}/-/ready", *command, f"--web.listen-address=127.0.0.1:{port}"))
        # No connection was closed early, and an alert that has no reason has no data.
        idle = {rule["expr"] for rule in RULES}
        expected = [one for one in EXPRESSIONS if one not in idle and "closed_connections" not in one]
        end = time.monotonic() + 60
        while (empty := [one for one in expected if not asked(url, one)]) and time.monotonic() < end:
            predict(service)
            time.sleep(0.5)
        assert empty == []
        (alarm,) = asked(url, 'ALERTS{alertstate="firing"}')
        assert alarm["metric"]["alertname"] == "MonitorAlarm"
