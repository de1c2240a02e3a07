"""The dashboard and the alert rules ask for what `/metrics` tells, with labels that it has."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from app.routers import metrics
from tests.deploy.proxies import DEPLOY
from tests.metrics import read_samples
from tests.support.world import World

RULES = DEPLOY / "prometheus" / "alerts.yaml"
# Of Prometheus itself, and of its own making; `le` belongs to each histogram.
_OF_PROMETHEUS = {"job", "instance", "le"}
_NAME = re.compile(r"\bostiary_\w+")
_SELECTOR = re.compile(r"\b(ostiary_\w+)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "ostiary.json").read_text())
    return read


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Whatever Prometheus is asked."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    variables = [
        each["query"]["query"] for each in dashboard()["templating"]["list"] if each["name"] == "job"
    ]
    return [*asked, *variables, *(rule["expr"] for rule in rules())]


async def told(world: World) -> Mapping[str, set[str]]:
    """The labels of each metric that is told after a little of everything happened."""
    client = await world.register()
    tokens = await world.tokens(client)
    await world.call(tokens["access_token"])
    await world.call("nonsense")
    metrics.note_purge({"sessions": 1}, world.clock.now().timestamp())
    found: dict[str, set[str]] = {}
    for name, labels in read_samples((await world.http.get("/metrics")).text):
        found.setdefault(name, set()).update(label for label, _ in labels)
    return found


async def test_whatever_is_asked_for_is_told(world: World) -> None:
    labels_of = await told(world)
    asked = {name for expression in expressions() for name in _NAME.findall(expression)}
    assert len(asked) > 15
    assert asked - labels_of.keys() == set()


async def test_whatever_is_selected_or_grouped_by_is_a_label(world: World) -> None:
    labels_of = await told(world)
    for expression in expressions():
        for name, selector in _SELECTOR.findall(expression):
            assert set(_LABEL.findall(selector)) <= labels_of[name] | _OF_PROMETHEUS, expression
        known = set().union(*(labels_of[name] for name in _NAME.findall(expression)))
        for grouped in _GROUPED.findall(expression):
            assert set(re.split(r",\s*", grouped)) <= known | _OF_PROMETHEUS, expression


async def test_every_metric_is_shown_or_watched(world: World) -> None:
    """A number that nobody looks at is not worth counting."""
    told_by_us = {name for name in await told(world) if name.startswith("ostiary_")}
    asked = {name for expression in expressions() for name in _NAME.findall(expression)}
    parts = {name.removesuffix(end) for name in asked for end in ("_bucket", "_count", "_sum")}
    rest = {name for name in told_by_us - asked if not name.endswith("_created")}
    assert {name for name in rest if name.removesuffix("_count").removesuffix("_sum") not in parts} == set()


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_panels_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23


@pytest.mark.parametrize("what", [("rules", RULES.name), ("config", "prometheus.yml")])
def test_prometheus_takes_the_files(what: tuple[str, str]) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed: install the package prometheus of your system.")
    kind, name = what
    checked = subprocess.run(
        [promtool, "check", kind, str(RULES.with_name(name))], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_alerts_fire() -> None:
    """What a time series of an hour would set off, in Prometheus's own words."""
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed: install the package prometheus of your system.")
    tried = subprocess.run(
        [promtool, "test", "rules", str(RULES.with_name("alerts_test.yaml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr
