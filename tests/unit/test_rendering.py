"""`raymill k8s render` prints what can be applied; the examples, with the overlay `cpu`, are kept as snapshots.

After a change that is meant: `RAYMILL_RENEW_SNAPSHOTS=1 pytest tests/unit/test_rendering.py`, and read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cluster.cli import main
from cluster.manifest_text import as_yaml
from raymill.lineage import COMMIT
from tests.ray_clusters import overlay
from tests.repo.house import ROOT
from tests.unit.test_overlay import needs_kubectl

SNAPSHOTS = ROOT / "tests" / "k8s" / "snapshots"
RENEW = "RAYMILL_RENEW_SNAPSHOTS"
ELSEWHERE = ["store=s3://raymill/store", "tracking=http://mlflow:5000", "serve.tokens=gateway"]
CHAMPION = SimpleNamespace(number=3, bundle_uri="s3://raymill/store/bundle", digest="ab" * 32, run_id="cd" * 16)
KEPT = {
    "breast_cancer-train": ["--job", "train"],
    "diabetes-schedule": ["--schedule", "0 3 * * *"],
    "flights-run": ["--job", "run"],
    "flights-service": ["--service"],
}


@pytest.fixture(autouse=True)
def _one_id_and_one_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.rendering.new_id", lambda name, command, at: f"{name}-{command}-20261126-120000-36cc")
    monkeypatch.setattr("raymill.registry.Registry", lambda uri, waits_s: SimpleNamespace(alias=lambda *_: CHAMPION))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay without kustomize."""
    monkeypatch.setattr("cluster.overlay.Overlay.build", lambda folder: overlay())


def rendered(
    capsys: pytest.CaptureFixture[str], example: str, words: Sequence[str], overrides: Sequence[str] = ELSEWHERE
) -> tuple[int, str, str]:
    code = main(["k8s", "render", str(ROOT / "examples" / f"{example}.yaml"), *overrides, *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def kinds(text: str) -> list[str]:
    return [each["kind"] for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--job", "run"], ["ConfigMap", "RayJob"]),
        (["--job", "evaluate", "--cluster", "raymill"], ["ConfigMap", "RayJob"]),
        (["--job", "predict", "--input", "s3://a", "--output", "s3://b"], ["ConfigMap", "RayJob"]),
        (["--service"], ["RayService", "PodDisruptionBudget"]),
        (["--schedule", "0 3 * * *"], ["ConfigMap", "CronJob"]),
        (["--schedule", "@daily", "--job", "train"], ["ConfigMap", "CronJob"]),
    ],
)
def test_all_that_is_needed_is_printed_and_nothing_else(
    words: list[str], wanted: list[str], built: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = rendered(capsys, "breast_cancer", words)
    assert (code, kinds(text), said) == (0, wanted, "")
    assert rendered(capsys, "breast_cancer", words)[1] == text


def test_a_jobs_own_options_go_with_it(built: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--job", "predict", "--input", "s3://a/b c", "--output", "s3://b"]
    _, ray_job = yaml.safe_load_all(rendered(capsys, "breast_cancer", words)[1])
    assert ray_job["spec"]["entrypoint"].endswith("jobs.predict spec.yaml --json --input 's3://a/b c' --output s3://b")


@pytest.mark.parametrize("words", [["--job", "run"], ["--service"], ["--schedule", "@daily"]])
def test_a_path_of_this_machine_is_refused_in_two_lines(
    words: list[str], built: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = rendered(capsys, "breast_cancer", words, ["store=s3://raymill/store", "tracking=sqlite:///x"])
    assert (code, text, len(said.splitlines())) == (2, "", 2)
    assert said.startswith("error: tracking is sqlite:///")


@pytest.mark.parametrize("name", ["a: b", "UPPER", "", "-a", "a-", "1a", "a.b", "a\nb", "a" * 54])
def test_a_cluster_that_can_not_be_called_so_is_refused_in_two_lines(
    name: str, built: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = rendered(capsys, "breast_cancer", ["--job", "train", f"--cluster={name}"])
    assert (code, text, len(said.splitlines())) == (2, "", 2)
    assert said.startswith(f"error: --cluster is {name!r}, and no RayCluster can be called so.\n")
    assert rendered(capsys, "breast_cancer", ["--job", "train", "--cluster", "a" * 53])[0] == 0


@pytest.mark.parametrize("words", [["--service"], ["--schedule", "@daily"]])
def test_an_endpoint_of_which_it_is_not_said_who_may_ask_is_refused_in_two_lines(
    words: list[str], built: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = rendered(capsys, "breast_cancer", words, [*ELSEWHERE[:2], "serve.tokens=none"])
    assert (code, text, len(said.splitlines())) == (2, "", 2)
    assert said.startswith("error: serve.tokens is none")
    schedule = ["--schedule", "@daily", "--job", "train"]
    assert rendered(capsys, "breast_cancer", schedule, [*ELSEWHERE[:2], "serve.tokens=none"])[0] == 0


def test_what_nobody_heeds_is_said_beside_the_text(built: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = rendered(capsys, "breast_cancer", ["--job", "train"], [*ELSEWHERE, "priority=high"])
    assert (code, kinds(text)) == (0, ["ConfigMap", "RayJob"])
    assert said == "WARNING: priority: high means nothing here, since the overlay names no queue\n"


def test_without_a_champion_there_is_no_service(
    built: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymill.registry.Registry", lambda uri, waits_s: SimpleNamespace(alias=lambda *_: None))
    code, text, said = rendered(capsys, "breast_cancer", ["--service"])
    assert (code, text) == (2, "")
    assert said.startswith("error: breast-cancer has no champion to serve")


def test_text_of_several_lines_stands_as_it_is_and_nothing_is_an_alias() -> None:
    same = {"a": 1}
    text = as_yaml([{"text": "one\ntwo\n", "x": same, "y": same}])
    assert "text: |\n  one\n  two\n" in text
    assert "&" not in text and "*" not in text
    assert list(yaml.safe_load_all(text)) == [{"text": "one\ntwo\n", "x": same, "y": same}]


@needs_kubectl
@pytest.mark.parametrize("name", KEPT)
def test_the_examples_are_rendered_as_they_were(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(COMMIT, "c0ffee")
    code, text, said = rendered(capsys, name.partition("-")[0], KEPT[name])
    assert (code, said) == (0, "")
    kept: Path = SNAPSHOTS / f"{name}.yaml"
    if os.environ.get(RENEW):
        kept.write_text(text)
    assert text == kept.read_text(), f"if that is meant, {RENEW}=1 writes it anew"


def test_every_example_and_no_other_has_a_snapshot() -> None:
    examples = {path.stem for path in (ROOT / "examples").glob("*.yaml")}
    assert {name.partition("-")[0] for name in KEPT} == examples
    assert {path.stem for path in SNAPSHOTS.glob("*.yaml")} == set(KEPT)
