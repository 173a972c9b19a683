"""The command line: `raymill COMMAND SPEC [key=value ...]`. It parses, opens a session, calls a job, reports."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from cluster.noise import WithoutRemarks
from cluster.stopping import sigterm_as_ctrl_c
from raymill.console import Console
from raymill.errors import InternalError, Interrupted, RaymillError
from raymill.loggable import scrubbed, without_userinfo
from raymill.spec import Spec
from raymill.spec_text import load_spec

_STEPS = ("prepare", "train", "evaluate", "promote")
_SAMPLE_ROWS = 3
_WALK = "jobs.run:walk"


class Output:
    """A command's standard output: one JSON object with --json, else what the command is there to print.

    No URI in the object shows a password.
    """

    def __init__(self, stream: TextIO, command: str, as_json: bool) -> None:
        self._stream, self._command, self._as_json = stream, command, as_json
        self._started_s = time.monotonic()

    def text(self, text: str) -> None:
        self._stream.write(text)

    def report(self, report: dict[str, Any], code: int = 0) -> None:
        """Prints the one object; a second report, of how a held endpoint ended, is not printed."""
        if self._as_json:
            status = "succeeded" if code == 0 else "interrupted" if code == 130 else "failed"
            elapsed_s = report.get("elapsed_s", {}) | {"total": round(time.monotonic() - self._started_s, 3)}
            document = {"job": self._command, "status": status, **report, "elapsed_s": elapsed_s}
            self._stream.write(json.dumps(scrubbed(document)) + "\n")
            self._stream.flush()
        self._as_json = False


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, or the code of the owner of what went wrong."""
    arguments = _parse(argv)
    arguments.output = Output(sys.stdout, arguments.command, getattr(arguments, "json", False))
    console = Console()
    with contextlib.redirect_stdout(sys.stderr if arguments.debug else WithoutRemarks(sys.stderr)):
        try:
            with sigterm_as_ctrl_c():
                report, code = arguments.call(arguments, console), 0
        except (RaymillError, KeyboardInterrupt) as error:
            report, code = _explain(error, arguments, console)
        except Exception as error:  # noqa: BLE001 - the last frame: whatever is left is ours to explain
            report, code = _explain(_internal(error), arguments, console)
    arguments.output.report(report, code)
    return code


def _parse(argv: list[str] | None) -> argparse.Namespace:
    """Overrides may stand anywhere after the spec, also behind options, where argparse alone refuses them."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="raymill", description="A table becomes a tracked, gated, live endpoint.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, call, text in (
        ("run", _run, "the whole walk: prepare, train, evaluate, promote, deploy"),
        ("prepare", _step, "the source becomes a prepared dataset"),
        ("train", _step, "the prepared dataset becomes a bundle; prepares first where that is not done"),
        ("evaluate", _step, "the bundle scores the test rows; takes the steps before it that are not done"),
        ("promote", _step, "the gate decides who is champion; takes the steps before it that are not done"),
        ("deploy", _deploy, "the champion becomes, or replaces, a live endpoint"),
        ("undeploy", _undeploy, "the live endpoint ends"),
        ("predict", _predict, "the champion scores a table of any size"),
        ("status", _status, "says what is done already, and what answers"),
        ("clean", _clean, "removes what no result needs"),
    ):
        _add_job(commands, name, call, text)
    _add_spec(commands)
    _add_init(commands)
    return parser


def _add_job(commands: Any, name: str, call: Callable[..., Any], text: str) -> None:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("spec", metavar="SPEC", help="a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for example train.epochs=5")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--debug", action="store_true", help="Ray's own logs, and tracebacks")
    if name == "run":
        ending = parser.add_mutually_exclusive_group()
        ending.add_argument("--no-serve", action="store_true", help="stop after the gate")
        ending.add_argument("--once", action="store_true", help="send a few test rows through HTTP, then stop")
    if name == "predict":
        parser.add_argument("--input", required=True, help="a file, glob or folder of raw rows")
        parser.add_argument("--output", required=True, help="a folder for Parquet files")
    parser.set_defaults(call=call)


def _add_spec(commands: Any) -> None:
    parser = commands.add_parser("spec", help="check, show or describe a spec")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("check", "says what is wrong with a spec"), ("show", "prints it with every default")):
        action = actions.add_parser(name, help=text)
        action.add_argument("spec", metavar="SPEC")
        action.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    actions.add_parser("schema", help="prints the JSON Schema for editors")
    parser.set_defaults(call=_spec, debug=False)


def _add_init(commands: Any) -> None:
    parser = commands.add_parser("init", help="writes a first spec for a table")
    parser.add_argument("data", metavar="DATA", help="a file, glob or folder, or bundled:NAME")
    parser.add_argument("--target", help="the column to predict; default: one with a usual name, else the last")
    parser.set_defaults(call=_init, debug=False)


def _run(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    spec = _load(arguments)
    last = "promote" if arguments.no_serve else "deploy"
    with _session(spec, arguments, console, needs_serve=last == "deploy") as session:
        walked = _job(_WALK)(spec, last, console)
        report: dict[str, Any] = {"endpoint": None} | walked.report()
        if walked.endpoint is None:
            _tell_no_endpoint(arguments, walked.promotion.champion, console)
        elif arguments.once:
            report["answers"] = _ask_once(walked, console)
        else:
            arguments.output.report(report)
            _hold(walked.endpoint, spec, session, console)
    return report


def _step(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    spec = _load(arguments)
    with _session(spec, arguments, console, needs_serve=False):
        report: dict[str, Any] = _job(_WALK)(spec, arguments.command, console).report()
    following = (*_STEPS, "deploy")[_STEPS.index(arguments.command) + 1]
    console.say(f"next:     raymill {following} {_again(arguments)}")
    return report


def _deploy(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    spec = _load(arguments)
    with _session(spec, arguments, console, needs_serve=True) as session:
        endpoint = _job("jobs.deploy:deploy")(spec, console)
        report = {"endpoint": endpoint.url, "model": {"name": spec.name, "version": int(endpoint.version)}}
        arguments.output.report(report)
        _hold(endpoint, spec, session, console)
    return report


def _undeploy(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from cluster.endpoint import require, undeploy

    spec = _load(arguments)
    require(spec)
    with _session(spec, arguments, console, needs_serve=True):
        undeploy(spec, console)
    return {"endpoint": None}


def _predict(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    spec = _load(arguments)
    with _session(spec, arguments, console, needs_serve=False):
        predicted = _job("jobs.predict:predict")(spec, arguments.input, arguments.output, console)
    return {"output": predicted.uri, "rows": predicted.rows, "model": {"name": spec.name, "version": predicted.version}}


def _status(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from cluster.endpoint_record import find
    from raymill.standing import Standing
    from raymill.store import Store

    spec = _load(arguments)
    standing = Standing.of(spec, answers=find(Store(spec.store), spec.name) is not None)
    if not arguments.json:
        arguments.output.text(without_userinfo("".join(f"{line}\n" for line in standing.lines())))
    return standing.to_json()


def _clean(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from raymill.cleaning import clean

    return {"removed": clean(_load(arguments), console)}


def _spec(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    if arguments.action == "schema":
        arguments.output.text(json.dumps(Spec.model_json_schema(by_alias=True), indent=1) + "\n")
        return {}
    spec = _load(arguments)
    if arguments.action == "show":
        import yaml

        arguments.output.text(yaml.safe_dump(spec.to_json(), sort_keys=False, allow_unicode=True))
    else:
        console.say(f"{arguments.spec} is a spec.\nnext:     raymill run {_again(arguments)}")
    return {}


def _init(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from raymill.first_spec import write_first_spec

    path = write_first_spec(arguments.data, arguments.target, console)
    console.say(f"next:     raymill run {path}")
    return {"spec": path}


def _load(arguments: argparse.Namespace) -> Spec:
    return load_spec(arguments.spec, arguments.overrides)


@contextlib.contextmanager
def _session(spec: Spec, arguments: argparse.Namespace, console: Console, *, needs_serve: bool) -> Iterator[Any]:
    """An embedded Ray; where this spec's endpoint is live already, the Ray that it runs on.

    The record of an endpoint that ends with an embedded Ray goes before it.
    """
    from cluster.endpoint import find, forget
    from cluster.session import open_session
    from raymill.store import Store

    threading.Thread(target=_import_beside, args=(spec,), name="imports", daemon=True).start()
    store = Store(spec.store)
    live = find(store, spec.name)
    join = live.ray_address if live is not None else None
    with open_session(console, needs_serve=needs_serve, debug=arguments.debug, join=join) as session:
        try:
            yield session
        finally:
            if needs_serve and not session.joined:
                forget(store, spec.name, ray_address=session.address)


def _import_beside(spec: Spec) -> None:
    """Imports what every job needs while Ray's processes start; an import that fails is met again by its job."""
    from raymill.tracking import connect

    assert spec.tracking is not None
    with contextlib.suppress(ImportError, RaymillError):
        importlib.import_module(_WALK.partition(":")[0])
        connect(spec.tracking)
        if spec.train.workers > 1:
            importlib.import_module("ray.train.torch")


def _job(name: str) -> Callable[..., Any]:
    """A job's function by its string, so that no arrow runs from the cluster to the jobs."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _ask_once(walked: Any, console: Console) -> list[Any]:
    """Answers to a few test rows, in the columns of the bundle that is served, which may be an older one's."""
    from cluster.sample import ask, first_test_rows, rows_as_json
    from raymill.bundle import Bundle

    champion, url = walked.promotion.champion, walked.endpoint.predict_url
    schema = Bundle.read(champion.bundle_uri, champion.digest).schema
    answer = ask(url, rows_as_json(schema, first_test_rows(walked.prepared, _SAMPLE_ROWS)))
    console.say(f"POST {url}")
    for prediction in answer["predictions"]:
        console.say(f"          {json.dumps(prediction)}")
    return list(answer["predictions"])


def _hold(endpoint: Any, spec: Spec, session: Any, console: Console) -> None:
    from cluster.endpoint import hold

    if session.joined:
        return
    console.say(f"serving   {spec.name} at {endpoint.url} until Ctrl-C")
    hold(spec, console)


def _tell_no_endpoint(arguments: argparse.Namespace, champion: Any, console: Console) -> None:
    if champion is None:
        console.say("no endpoint: the gate has promoted no version")
    else:
        console.say(f"next:     raymill deploy {_again(arguments)}")


def _again(arguments: argparse.Namespace) -> str:
    return " ".join([arguments.spec, *arguments.overrides])


def _explain(
    error: RaymillError | KeyboardInterrupt, arguments: argparse.Namespace, console: Console
) -> tuple[dict[str, Any], int]:
    if arguments.debug:
        console.say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted("Stopped at once.", "Type the same command to continue from the newest checkpoint.")
    console.say(f"error: {error}")
    if isinstance(error, InternalError) and not arguments.debug:
        console.say("(--debug shows the traceback)")
    return {"error": {"what": error.what, "fix": error.fix}}, error.exit_code


def _internal(error: Exception) -> InternalError:
    wrapped = InternalError(
        f"{type(error).__name__}: {' '.join(str(error).split())}", "This is a defect of raymill's; please report it."
    )
    wrapped.__cause__ = error
    return wrapped


if __name__ == "__main__":
    sys.exit(main())
