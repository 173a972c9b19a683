"""The Grafana dashboard asks for metrics that are there, and for all of ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.our_metrics import labels_of_exported

PATH = Path(__file__).parents[2] / "k8s" / "grafana" / "raymill.json"
METRIC = re.compile(r"\bray_\w+")
VARIABLE = re.compile(r"\$\{?([a-z]\w*)")


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def asked(dashboard: dict[str, Any]) -> set[str]:
    return {name for expression in expressions(dashboard) for name in METRIC.findall(expression)}


def test_every_metric_of_ours_is_shown_and_every_one_shown_is_exported(dashboard: dict[str, Any]) -> None:
    shown = {name for name in asked(dashboard) if name.startswith("ray_raymill_")}
    assert {re.sub(r"_bucket$", "", name) for name in shown} == {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in labels_of_exported()
    }
    assert shown <= set(labels_of_exported())


def test_every_metric_of_rays_is_one_that_its_own_dashboard_shows(dashboard: dict[str, Any]) -> None:
    from ray.dashboard.modules.metrics.dashboards.default_dashboard_panels import DEFAULT_GRAFANA_ROWS

    panels = [panel for row in DEFAULT_GRAFANA_ROWS for panel in row.panels]
    known = {name for panel in panels for target in panel.targets for name in METRIC.findall(target.expr)}
    of_ray = {name for name in asked(dashboard) if not name.startswith("ray_raymill_")}
    assert of_ray and of_ray <= known


def test_labels_by_which_a_legend_or_a_sum_tells_series_apart_are_there(dashboard: dict[str, Any]) -> None:
    labels = labels_of_exported()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            for name in METRIC.findall(target["expr"]):
                by = re.search(r"by \(([^)]*)\)", target["expr"])
                used = set(by.group(1).split(", ")) if by else set()
                assert used <= labels.get(name, used)
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= used


def test_a_user_may_choose_the_datasource_the_job_and_the_endpoint(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "spec", "command", "run", "endpoint"} == variables
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    sources = [panel["datasource"]["uid"] for panel in panels]
    sources += [target["datasource"]["uid"] for panel in panels for target in panel["targets"]]
    assert set(sources) == {"${datasource}"}
    used = {name for expression in expressions(dashboard) for name in VARIABLE.findall(expression)}
    assert used <= variables


def test_no_panel_lies_on_another(dashboard: dict[str, Any]) -> None:
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)
