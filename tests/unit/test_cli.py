"""The command line: what it takes, what it prints where, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml

from cluster.cli import _COMMANDS, _explain, main
from cluster.ending import as_ours
from cluster.endpoint import Endpoint
from cluster.endpoint_record import EndpointRecord
from cluster.grammar import _parser, parse
from cluster.here import _ask_once
from cluster.output import Output
from cluster.own_session import own_session
from cluster.session import Session
from raymill.bearer_token import line_of
from raymill.console import Console
from raymill.errors import (
    DataError,
    Interrupted,
    RaymillError,
    ResourceError,
    SpecError,
    StoreError,
    TrackerError,
    WorkerLost,
)
from raymill.predictions import Predicted
from raymill.spec import Spec
from raymill.spec_text import load_spec
from raymill.store import Store
from tests.bundles import write_bundle

FIRST = "name: flights\ntask: {type: regression, target: delay}\ndata: {source: flights.csv}\n"
JOB_OPTIONS = ["--debug", "--json"]
COMMAND_LINE = {
    "run": ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--no-serve", "--on", "--once"],
    **{step: ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--on"] for step in ("prepare", "train", "evaluate", "promote")},
    "deploy": ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--auto", "--canary", "--on", "--shadow"],
    "undeploy": ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--on"],
    "predict": ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--input", "--on", "--output"],
    "status": ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--on"],
    "clean": ["SPEC", "KEY=VALUE", *JOB_OPTIONS],
    "logs": ["SPEC", "KEY=VALUE", "--json", "--follow", "--job", "--on", "--workers"],
    "explain": ["SPEC", "KEY=VALUE", "--json", "--job", "--on"],
    "cancel": ["SPEC", "KEY=VALUE", "--json", "--job", "--on"],
    "list": ["SPEC", "KEY=VALUE", "--json", "--on"],
    "spec": ["ACTION"],
    "init": ["DATA", "--target"],
    "k8s": ["ACTION"],
    "release": ["ACTION"],
    "token": ["ACTION"],
}
SPEC_ACTIONS = {"check": ["SPEC", "KEY=VALUE"], "show": ["SPEC", "KEY=VALUE"], "schema": []}
RELEASE_ACTIONS = {name: ["SPEC", "KEY=VALUE", *JOB_OPTIONS, "--on"] for name in ("status", "promote", "rollback")}
K8S_OPTIONS = ["--cluster", "--input", "--job", "--output", "--overlay", "--schedule", "--service"]
K8S_ACTIONS = {"render": ["SPEC", "KEY=VALUE", *K8S_OPTIONS]}
TOKEN_ACTIONS = {"new": ["NAME"]}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "flights.yaml"
    path.write_text(FIRST)
    return str(path)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of a parser by name."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def taken_by(parser: argparse.ArgumentParser) -> list[str]:
    """What a parser takes: positional arguments by what the help calls them, and options."""
    names = [a.option_strings[-1] if a.option_strings else str(a.metavar) for a in parser._actions if a.dest != "help"]
    return sorted(names, key=lambda name: (name.startswith("-"), name not in JOB_OPTIONS, name != "SPEC", name))


def test_the_command_line_is_what_the_documentation_says() -> None:
    found = {name: taken_by(parser) for name, parser in commands_of(_parser()).items()}
    assert found == COMMAND_LINE
    for command, wanted in (
        ("spec", SPEC_ACTIONS),
        ("release", RELEASE_ACTIONS),
        ("k8s", K8S_ACTIONS),
        ("token", TOKEN_ACTIONS),
    ):
        actions = commands_of(commands_of(_parser())[command])
        assert {name: taken_by(parser) for name, parser in actions.items()} == wanted


def test_overrides_may_stand_before_and_behind_options() -> None:
    arguments = parse(["run", "f.yaml", "train.epochs=5", "--once", "train.seed=3", "--json", "store=x"])
    assert arguments.overrides == ["train.epochs=5", "train.seed=3", "store=x"]
    assert (arguments.once, arguments.json, arguments.no_serve, arguments.debug) == (True, True, False, False)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "f.yaml", "--twice"],
        ["run", "f.yaml", "--once", "--no-serve"],
        ["predict", "f.yaml", "--input", "x"],
        ["spec", "f.yaml"],
        ["init"],
        ["init", "x.csv", "more"],
        ["k8s"],
        ["k8s", "render", "f.yaml"],
        ["k8s", "render", "f.yaml", "--job", "deploy"],
        ["k8s", "render", "f.yaml", "--job", "run", "--service"],
        ["k8s", "render", "f.yaml", "--service", "--schedule", "0 3 * * *"],
        ["k8s", "render", "f.yaml", "--service", "--cluster", "raymill"],
        ["k8s", "render", "f.yaml", "--schedule", "0 3 * * *", "--cluster", "raymill"],
        ["k8s", "render", "f.yaml", "--job", "predict", "--input", "x"],
        ["k8s", "render", "f.yaml", "--job", "train", "--input", "x", "--output", "y"],
    ],
)
def test_a_command_that_is_not_understood_ends_with_its_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage: raymill" in capsys.readouterr().err


def test_of_a_command_without_words_only_the_spec_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train"])
    assert capsys.readouterr().err.endswith("required: SPEC\n")


def test_spec_check_says_what_to_type_next(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "check", spec, "train.epochs=5"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [f"{spec} is a spec.", f"next:     raymill run {spec} train.epochs=5"]
    assert shown.out == ""


def test_spec_show_prints_the_resolved_spec_as_yaml(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "show", spec, "train.epochs=5"]) == 0
    shown = Spec.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert shown.train.epochs == 5
    assert shown.data.source == str(Path(spec).parent / "flights.csv")
    assert shown.store == str(Path(spec).parent / ".raymill")


def test_spec_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"name", "task", "data"} == set(schema["required"])
    assert "import" in schema["$defs"]["ImportedSpec"]["properties"]


@pytest.mark.parametrize("command", [["spec", "check"], ["train"], ["run"], ["deploy"], ["clean"], ["status"]])
def test_a_mistake_in_a_spec_is_two_lines_and_no_traceback(
    command: list[str], spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, spec, "train.epoch=5"]) == 2
    shown = capsys.readouterr()
    first, second = shown.err.splitlines()
    assert first.startswith("error: override train.epoch=5: unknown key 'train.epoch'; did you mean 'epochs'?")
    assert second.startswith("Correct it;")
    assert shown.out == ""


def test_a_spec_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path / "absent.yaml")]) == 2
    assert f"{tmp_path}/absent.yaml" in capsys.readouterr().err


def test_a_failure_with_json_is_one_object_on_stdout(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", spec, "--json", "train.epochs=0"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["job"], report["status"]) == ("train", "failed")
    assert report["error"]["what"].startswith("override train.epochs=0: train.epochs should be greater than 0")
    assert report["error"]["fix"].startswith("Correct it;")
    assert report["elapsed_s"]["total"] >= 0


def test_debug_shows_the_traceback_too(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", spec, "--debug", "train.epochs=0"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def explained(error: BaseException) -> tuple[dict[str, object], int, list[str]]:
    shown = io.StringIO()
    report, code = _explain(as_ours(error), argparse.Namespace(debug=False), Console(shown))
    return report, code, shown.getvalue().splitlines()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SpecError, 2),
        (DataError, 2),
        (ResourceError, 2),
        (StoreError, 3),
        (TrackerError, 3),
        (WorkerLost, 3),
        (Interrupted, 130),
    ],
)
def test_an_exit_code_says_who_has_to_act(kind: type[RaymillError], code: int) -> None:
    report, found, lines = explained(kind("This happened.", "Do that."))
    assert (found, lines) == (code, ["error: This happened.", "Do that."])
    assert report == {"error": {"what": "This happened.", "fix": "Do that."}}


def test_a_second_ctrl_c_is_an_interruption() -> None:
    report, code, lines = explained(KeyboardInterrupt())
    assert (code, len(lines)) == (130, 2)
    assert report["error"]["what"] == "Stopped at once."


def test_a_defect_is_ours_and_says_how_to_see_more() -> None:
    _, code, lines = explained(ValueError("a\nmessage of\n  many lines"))
    assert code == 70
    assert lines == [
        "error: ValueError: a message of many lines",
        "This is a defect of raymill's; please report it.",
        "(--debug shows the traceback)",
    ]


def test_only_the_first_report_is_printed() -> None:
    shown = io.StringIO()
    output = Output(shown, "run", True, Console(io.StringIO()))
    output.report({"elapsed_s": {"train": 1.5}})
    output.report({}, 130)
    (line,) = shown.getvalue().splitlines()
    report = json.loads(line)
    assert (report["job"], report["status"], report["elapsed_s"]["train"]) == ("run", "succeeded", 1.5)


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (2, "failed"), (70, "failed"), (130, "interrupted")])
def test_a_report_says_how_the_command_ended(code: int, status: str) -> None:
    shown = io.StringIO()
    Output(shown, "train", True, Console(io.StringIO())).report({}, code)
    assert json.loads(shown.getvalue())["status"] == status


def test_without_json_nothing_is_reported_on_stdout() -> None:
    shown = io.StringIO()
    Output(shown, "train", False, Console(io.StringIO())).report({"a": 1})
    assert shown.getvalue() == ""


def test_a_report_shows_no_password() -> None:
    shown = io.StringIO()
    Output(shown, "train", True, Console(io.StringIO())).report({"model": {"uri": "s3://KEY:SEC/RET@bucket/a"}})
    assert json.loads(shown.getvalue())["model"]["uri"] == "s3://bucket/a"


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_a_log_on_a_full_disk_is_no_traceback(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    logger = logging.Logger("ray")
    logger.addHandler(logging.StreamHandler(Full()))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr("cluster.cli._command", lambda arguments: lambda *_: logger.error("a line") or {})
    assert main(["train", "spec.yaml", *options]) == 0
    assert ("Logging error" in capsys.readouterr().err) is bool(options)


@pytest.mark.parametrize(("job", "code"), [("train", 0), ("status", 3)])
def test_a_full_disk_below_both_streams_fails_only_what_was_there_to_print(job: str, code: int) -> None:
    program = """if True:
        import sys
        import cluster.cli
        cluster.cli._command = lambda arguments: lambda *_: {"a": 1}
        sys.exit(cluster.cli.main([sys.argv[1], "spec.yaml", "--json"]))
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "-c", program, job], stdout=full, stderr=full, env=env)
        said = subprocess.run([sys.executable, "-c", program, job], stdout=full, stderr=subprocess.PIPE, env=env)
    assert (ended.returncode, said.returncode) == (code, code)
    assert said.stderr == b"WARNING: standard output takes no more: No space left on device.\n"


@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_has_seen_enough_is_no_failure(both: bool) -> None:
    program = """if True:
        import sys
        import cluster.cli
        def logs(arguments, console, output):
            output.text("a line\\n" * 100_000)
            return {}
        cluster.cli._command = lambda arguments: logs
        sys.exit(cluster.cli.main(["logs", "spec.yaml"]))
    """
    reads, writes = os.pipe()
    os.close(reads)
    stderr = writes if both else subprocess.PIPE
    ended = subprocess.run([sys.executable, "-c", program], stdout=writes, stderr=stderr)
    os.close(writes)
    assert (ended.returncode, ended.stderr or b"") == (0, b"")


def test_help_says_which_commands_take_the_steps_before_them() -> None:
    for name in ("train", "evaluate", "promote"):
        assert "not done" in str(commands_of(_parser())[name].description)


@pytest.mark.parametrize("command", ["run", "prepare"])
def test_sigterm_ends_a_command_as_ctrl_c_does(
    command: str, spec: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def terminated(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setitem(_COMMANDS, command, terminated)
    before = signal.getsignal(signal.SIGTERM)
    assert main([command, spec, "--json"]) == 130
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"] == "interrupted"
    assert shown.err.splitlines()[0] == "error: Stopped at once."
    assert signal.getsignal(signal.SIGTERM) is before


def test_undeploy_without_an_endpoint_says_so_before_any_ray_starts(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["undeploy", spec]) == 2
    assert "No endpoint flights is running" in capsys.readouterr().err


@contextlib.contextmanager
def no_ray(joined: bool) -> Iterator[Session]:
    yield Session(address="here:1", joined=joined)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.session.open_session", lambda console, join, **_: no_ray(join is not None))
    monkeypatch.setattr("cluster.own_session._import", lambda spec: None)


@pytest.mark.parametrize("command", [["run"], ["train"], ["deploy"], ["predict", "--input=a", "--output=b"]])
def test_a_store_that_cannot_be_written_is_said_before_any_ray_starts(
    spec: str, command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main([command[0], spec, *command[1:], f"store={tmp_path}/file/below"]) == 3
    assert f"error: Could not write {tmp_path}/file/below/.check-" in capsys.readouterr().err


def test_what_a_killed_session_left_on_the_port_is_ended_before_the_port_is_tried(
    spec: str, sessions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("cluster.scratch.sweep", lambda: asked.append("sweep"))
    monkeypatch.setattr("cluster.front.check_port", lambda *_: asked.append("port"))
    with own_session(load_spec(spec), Console(io.StringIO()), needs_serve=True, debug=False):
        assert asked == ["sweep", "port"]


class Walked:
    """A walk as the command line meets it; its endpoint's record is in the store."""

    def __init__(self, spec: Spec, last: str, address: str = "here:1") -> None:
        self.spec, self.endpoint = spec, None
        self.promotion = SimpleNamespace(champion=None)
        if last == "deploy":
            url = "http://127.0.0.1:9"
            self.endpoint = Endpoint(name=spec.name, url=url, version="3", changed=True, is_new=True)
            EndpointRecord(
                name=spec.name, url=url, version="3", ray_address=address, pid=1, started="now", args={}
            ).write(Store(spec.store))

    def report(self) -> dict[str, object]:
        return {"endpoint": self.endpoint.url} if self.endpoint else {}


def test_run_without_serving_reports_that_there_is_no_endpoint(
    spec: str, sessions: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.here.by_name", lambda name: lambda spec, last, console: Walked(spec, last))
    assert main(["run", spec, "--json", "--no-serve"]) == 0
    assert json.loads(capsys.readouterr().out)["endpoint"] is None


@pytest.mark.parametrize(("address", "kept"), [("here:1", False), ("another:1", True)])
def test_the_record_of_an_endpoint_ends_with_its_ray(
    address: str, kept: bool, spec: str, sessions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.here.by_name", lambda name: lambda spec, last, console: Walked(spec, last, address))
    monkeypatch.setattr("cluster.here._ask_once", lambda walked, spec, console: [])
    assert main(["run", spec, "--once"]) == 0
    assert (Path(spec).parent / ".raymill" / "endpoints" / "flights.json").exists() is kept


def test_a_deployed_version_is_a_number(
    spec: str, sessions: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.here.by_name", lambda name: lambda spec, console: Walked(spec, "deploy").endpoint)
    monkeypatch.setattr("cluster.here._hold", lambda *_: None)
    assert main(["deploy", spec, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["version"] == 3


def test_predict_hands_input_and_output_to_the_job(
    spec: str, sessions: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict(spec: Spec, input: str, output: str, console: Console) -> Predicted:
        return Predicted(uri=f"{input} into {output}", rows=7, version=3)

    monkeypatch.setattr("cluster.here.by_name", lambda name: predict)
    assert main(["predict", spec, "--input", "a.csv", "--output", "b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["output"], found["rows"], found["model"]["version"]) == ("a.csv into b", 7, 3)


def test_every_command_of_the_grammar_is_carried_out() -> None:
    assert commands_of(_parser()).keys() == _COMMANDS.keys()


def test_once_asks_in_the_columns_of_the_served_bundle_with_the_callers_token(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = write_bundle(str(tmp_path / "bundle"))  # of a, b and color
    table = pa.table({"color": ["red"], "b": [0.5], "a": [1], "newer": [9]})
    shards = [SimpleNamespace(rows=1)]
    sent: list[object] = []
    monkeypatch.setattr("cluster.sample.ask", lambda *a, **k: sent.append((*a, k)) or {"predictions": ["yes"]})
    monkeypatch.setenv("RAYMILL_TOKEN", "mine")
    walked = SimpleNamespace(
        endpoint=Endpoint(name="demo", url="https://h", version="1", changed=True, is_new=True, certificate="PEM"),
        promotion=SimpleNamespace(champion=SimpleNamespace(bundle_uri=str(tmp_path / "bundle"), digest=digest)),
        prepared=SimpleNamespace(raw_test=SimpleNamespace(shards=shards), read=lambda shard: table),
    )
    rows = [{"a": 1.0, "b": 0.5, "color": "red"}]
    assert _ask_once(walked, load_spec(spec, ["serve.tokens.env=T"]), Console()) == ["yes"]
    assert _ask_once(walked, load_spec(spec), Console()) == ["yes"]
    assert sent == [
        ("https://h/v1/demo/predict", rows, {"token": token, "certificate": "PEM"}) for token in ("mine", "")
    ]


@pytest.mark.parametrize("command", [["run"], ["deploy"], ["run", "--once"]])
def test_an_endpoint_that_others_would_reach_without_tokens_is_refused_before_anything_starts(
    command: list[str], spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.here.own_session", lambda *_, **__: pytest.fail("a session was opened"))
    assert main([command[0], spec, "serve.host=0.0.0.0", *command[1:]]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: serve.host is 0.0.0.0, which others reach, and serve.tokens is none."
    assert len(said) == 2 and "serve.tokens.file=PATH" in said[1]


def test_once_needs_a_token_of_its_own_where_the_endpoint_takes_them(
    spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.here.own_session", lambda *_, **__: pytest.fail("a session was opened"))
    monkeypatch.setenv("T", line_of("me", "secret"))
    monkeypatch.delenv("RAYMILL_TOKEN", raising=False)
    assert main(["run", spec, "serve.tokens.env=T", "--once"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "RAYMILL_TOKEN is not set" in said[0]


def test_a_new_token_is_shown_once_and_its_line_alone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "shop"]) == 0
    shown = capsys.readouterr()
    token = shown.err.splitlines()[0].split()[-1]
    assert shown.out == f"{line_of('shop', token)}\n"
    assert main(["token", "new", "a shop"]) == 2
    assert "'a shop' can't name a token" in capsys.readouterr().err
