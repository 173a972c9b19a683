"""The command line, `raymill COMMAND SPEC [key=value ...]`: it parses, finds what carries a command out, reports."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cluster import here, reading, release_command, remote
from cluster.by_name import by_name
from cluster.ending import as_ours
from cluster.grammar import KUBERNETES, SUBMITTED, again, parse
from cluster.here import STEPS
from cluster.noise import WithoutRemarks
from cluster.output import Output, settle
from cluster.remote import EndedElsewhere
from cluster.stopping import sigterm_as_ctrl_c
from raymill.console import Console
from raymill.errors import InternalError, MachineError, RaymillError, TrackerError
from raymill.loggable import without_userinfo
from raymill.spec import Spec
from raymill.spec_text import load_spec

_WALKS = ("run", *STEPS)
_WITHOUT_TRACKER = ("prepare", "undeploy")
_LOGGER = "raymill"  # of stores that are away, and of what is waited for
Command = Callable[[argparse.Namespace, Console, Output], dict[str, Any]]


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, or the code of the owner of what went wrong."""
    arguments = parse(argv)
    with _logging_quietly(arguments.debug):
        return _carried_out(arguments)


@contextlib.contextmanager
def _logging_quietly(debug: bool) -> Iterator[None]:
    """Without a traceback for each line that Ray can't log, as on a full disk."""
    before, logging.raiseExceptions = logging.raiseExceptions, debug
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _carried_out(arguments: argparse.Namespace) -> int:
    _make_importable(str(Path.cwd()))
    console = Console()
    output = Output(sys.stdout, arguments.command, arguments.json, console)
    with contextlib.redirect_stdout(sys.stderr if arguments.debug else WithoutRemarks(sys.stderr)):
        try:
            with sigterm_as_ctrl_c(), console.showing(_LOGGER):
                report, code = _command(arguments)(arguments, console, output), 0
        except EndedElsewhere as ended:
            report, code = ended.report, ended.code
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last frame: all is ours to explain
            report, code = _explain(as_ours(error), arguments, console)
    output.report(report, code)
    printed = output.end()
    settle(console.stream)
    # Of a job the store has what was to be printed; of any other command nothing is left.
    return code if printed or code or arguments.command in SUBMITTED else MachineError.exit_code


def _make_importable(folder: str) -> None:
    """Lets `model.import` name a module there, here and in the processes that Ray starts; what is installed wins."""
    if not {folder, ""} & set(sys.path):
        sys.path.append(folder)


def _status(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from cluster.endpoint_standing import standing_of
    from raymill.standing import Standing

    spec = _load(arguments)
    standing = Standing.of(spec, standing_of(spec, arguments.on, console))
    if not arguments.json:
        output.text(without_userinfo("".join(f"{line}\n" for line in standing.lines())))
    return standing.to_json()


def _clean(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from raymill.cleaning import clean

    return {"removed": clean(_load(arguments), console)}


def _spec(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    if arguments.action == "schema":
        output.text(json.dumps(Spec.model_json_schema(by_alias=True), indent=1) + "\n")
        return {}
    spec = _load(arguments)
    if arguments.action == "show":
        import yaml

        output.text(yaml.safe_dump(spec.to_json(), sort_keys=False, allow_unicode=True))
    else:
        console.say(f"{arguments.spec} is a spec.\nnext:     raymill run {again(arguments)}")
    return {}


def _init(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    from raymill.first_spec import write_first_spec

    path = write_first_spec(arguments.data, arguments.target, console)
    console.say(f"next:     raymill run {path}")
    return {"spec": path}


def _load(arguments: argparse.Namespace) -> Spec:
    return load_spec(arguments.spec, arguments.overrides)


def _command(arguments: argparse.Namespace) -> Command:
    """What carries a command out: here, or on the cluster that it names."""
    if arguments.command in SUBMITTED and arguments.on is not None:
        return _late("cluster.on_kubernetes:submit") if arguments.on == KUBERNETES else remote.submit
    if arguments.command == "release" and arguments.action == "promote" and arguments.on is not None:
        return _late("cluster.kubernetes_release:promote_candidate")  # only what is promoted is deployed
    return _COMMANDS[arguments.command]


def _late(name: str) -> Command:
    """A command by its string, whose module is imported when it is carried out."""
    return lambda arguments, console, output: by_name(name)(arguments, console, output)


def _as_job(work: Callable[[Spec, argparse.Namespace, Console, Output], dict[str, Any]]) -> Command:
    """A command that leaves a record of itself in the spec's store, once that has been tried."""

    def command(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
        from cluster.keeping import begin, kept

        spec = _load(arguments)
        unanswered = _reach(spec, arguments)
        words = shlex.join([arguments.command, arguments.spec, *arguments.overrides, *remote.options(arguments)])
        record = begin(spec, arguments.command, words, os.environ)
        with kept(spec, record, console) as report:
            if unanswered is not None:
                raise unanswered
            report |= work(spec, arguments, console, output)
        return report

    return command


def _reach(spec: Spec, arguments: argparse.Namespace) -> TrackerError | None:
    """What keeps the tracker from answering, if the command can't do without it; StoreError for the store.

    Some services make a bucket of any name that is written to, so nothing is written before.
    """
    from cluster.reach import require_reached
    from raymill.run import tracker_is_known
    from raymill.store import Store

    try:
        require_reached(Store(spec.store), None if arguments.command in _WITHOUT_TRACKER else spec.tracking)
    except TrackerError as error:
        return None if arguments.command in _WALKS and tracker_is_known(spec) else error
    return None


_COMMANDS: dict[str, Command] = {
    "run": _as_job(here.run),
    **dict.fromkeys(STEPS, _as_job(here.step)),
    "deploy": _as_job(here.deploy),
    "undeploy": _as_job(here.undeploy),
    "predict": _as_job(here.predict),
    "release": release_command.act,
    "status": _status,
    "clean": _clean,
    "logs": reading.logs,
    "explain": reading.explain,
    "cancel": remote.cancel,
    "list": reading.list_jobs,
    "spec": _spec,
    "init": _init,
    "k8s": _late("cluster.rendering:render"),
    "token": _late("cluster.new_token:new"),
}


def _explain(error: RaymillError, arguments: argparse.Namespace, console: Console) -> tuple[dict[str, Any], int]:
    if arguments.debug:
        console.say("".join(traceback.format_exception(error)).rstrip())
    console.say(f"error: {error}")
    if isinstance(error, InternalError) and not arguments.debug:
        console.say("(--debug shows the traceback)")
    return {"error": {"what": error.what, "fix": error.fix}}, error.exit_code


if __name__ == "__main__":
    sys.exit(main())
