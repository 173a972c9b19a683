"""Alerts and dashboards ask for what is there."""

from __future__ import annotations

from raymill.drift import THRESHOLD
from tests.k8s import metrics
from tests.k8s.builds import problems
from tests.repo.house import ROOT


def test_every_metric_of_a_rule_is_exported() -> None:
    assert problems(metrics.unexported) == {}


def test_our_own_metrics_are_summed_by_labels_that_they_have() -> None:
    assert problems(metrics.unlabelled) == {}


def test_metrics_are_chosen_by_labels_that_they_have() -> None:
    assert problems(metrics.unchosen) == {}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert problems(metrics.unexplained) == {}


def test_the_dashboard_that_is_loaded_is_the_one_that_is_tested() -> None:
    assert problems(metrics.other_dashboards) == {}


def test_the_alert_of_drift_and_the_replicas_mean_the_same_by_drifting() -> None:
    rules = (ROOT / "k8s/components/monitoring/rules.yaml").read_text()
    dashboard = (ROOT / "k8s/grafana/raymill.json").read_text()
    assert f"raymill:endpoint_sure_drift:max > {THRESHOLD}\n" in rules
    assert f"> {THRESHOLD})" in dashboard


def test_the_metrics_of_an_expression_are_found() -> None:
    text = (
        'sum by (spec) (rate(ray_raymill_jobs_total{state="failed"}[5m])) / ignoring(x) raymill:all > 0.5 and up == 1'
    )
    assert metrics.asked(text) == {"ray_raymill_jobs_total", "raymill:all", "up"}
