"""The grammar of the command line: which commands there are, and what each takes."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

JOBS = ("run", "prepare", "train", "evaluate", "promote", "predict")
SUBMITTED = (*JOBS, "deploy", "undeploy")
KUBERNETES = "k8s"  # where --on points, beside addresses


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The words of a command line, by name; ends the process where they make no command.

    Overrides may stand anywhere after the spec, also behind options, where argparse alone refuses them.
    """
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    if arguments.command == "list" and arguments.spec is None and arguments.on is None:
        parser.error("list needs a SPEC, or the ADDRESS of a cluster as --on ADDRESS")
    if arguments.command == "deploy" and arguments.auto and arguments.canary is None and arguments.shadow is None:
        parser.error("deploy --auto needs --canary SHARE or --shadow")
    if arguments.command == "k8s":
        _check_render(parser, arguments)
    return arguments


def _check_render(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not (arguments.job or arguments.service or arguments.schedule is not None):
        parser.error("k8s render needs --job JOB, --service, or --schedule CRON")
    if sum((arguments.service, arguments.schedule is not None, arguments.cluster is not None)) > 1:
        parser.error("k8s render takes one of --service, --schedule and --cluster")
    places = {arguments.input is not None, arguments.output is not None}
    if places != {arguments.job == "predict"}:
        parser.error("k8s render --job predict needs --input and --output, which no other job takes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="raymill", description="A table becomes a tracked, gated, live endpoint.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "the whole walk: prepare, train, evaluate, promote, deploy"),
        ("prepare", "the source becomes a prepared dataset"),
        ("train", "the prepared dataset becomes a bundle; prepares first where that is not done"),
        ("evaluate", "the bundle scores the test rows; takes the steps before it that are not done"),
        ("promote", "the gate decides who is champion; takes the steps before it that are not done"),
        ("deploy", "the champion becomes, or replaces, a live endpoint"),
        ("undeploy", "the live endpoint ends"),
        ("predict", "the champion scores a table of any size"),
        ("status", "says what is done already, and what answers"),
        ("clean", "removes what no result needs"),
    ):
        _add_job(commands, name, text)
    _add_reading(commands)
    _add_release(commands)
    _add_spec(commands)
    _add_init(commands)
    _add_k8s(commands)
    _add_token(commands)
    return parser


def _add_job(commands: Any, name: str, text: str) -> None:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("spec", metavar="SPEC", help="a YAML file")
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="for example train.epochs=5")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--debug", action="store_true", help="Ray's own logs, and tracebacks")
    if name in SUBMITTED:
        parser.add_argument(
            "--on", metavar="ADDRESS", help="a cluster's Jobs API, as http://HOST:8265, or k8s; default: here"
        )
    if name == "status":
        _add_place(parser)
    if name == "run":
        ending = parser.add_mutually_exclusive_group()
        ending.add_argument("--no-serve", action="store_true", help="stop after the gate")
        ending.add_argument("--once", action="store_true", help="send a few test rows through HTTP, then stop")
    if name == "deploy":
        _add_canary(parser)
    if name == "predict":
        parser.add_argument("--input", required=True, help="a file, glob or folder of raw rows")
        parser.add_argument("--output", required=True, help="a folder for Parquet files")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", choices=[KUBERNETES], help="of an endpoint in Kubernetes; default: here")


def _add_canary(parser: argparse.ArgumentParser) -> None:
    part = parser.add_mutually_exclusive_group()
    text = "the champion answers this share of the live endpoint's requests, as 10%%; again with another one: moves it"
    part.add_argument("--canary", metavar="SHARE", type=_share, help=text)
    text = "the champion scores this share of them too, and answers nobody; default: all"
    part.add_argument("--shadow", metavar="SHARE", type=_share, nargs="?", const=1.0, help=text)
    parser.add_argument("--auto", action="store_true", help="of a canary or shadow: waits for the judge, and obeys")


def _share(text: str) -> float:
    """`10%` or `0.1`, above 0 and up to 1."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write 10% or 0.1")
    return share


def _add_release(commands: Any) -> None:
    parser = commands.add_parser("release", help="what a canary or shadow has shown, and how it ends")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("status", "what both versions have done, and what the judge says"),
        ("promote", "the candidate answers all requests, and becomes the stable version"),
        ("rollback", "the stable version answers all requests, and is the champion again"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("spec", metavar="SPEC", help="a YAML file")
        action.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE")
        action.add_argument("--json", action="store_true", help="one JSON object on stdout")
        action.add_argument("--debug", action="store_true", help="Ray's own logs, and tracebacks")
        _add_place(action)


def _add_reading(commands: Any) -> None:
    for name, text in (
        ("logs", "what the newest job of a spec's name says, or has said"),
        ("explain", "what it did, why it ended so, and what to type next"),
        ("cancel", "ends it, where it runs on a cluster"),
        ("list", "the jobs of a spec's name, or of a cluster"),
    ):
        parser = commands.add_parser(name, help=text, description=text)
        parser.add_argument("spec", nargs="?" if name == "list" else None, metavar="SPEC", help="a YAML file")
        parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE")
        asks = "its Jobs API, as http://HOST:8265, or k8s" + ("" if name == "cancel" else "; default: the spec's store")
        parser.add_argument("--on", metavar="ADDRESS", required=name == "cancel", help=asks)
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if name != "list":
            parser.add_argument("--job", metavar="ID", help="another job than the newest, as `raymill list` names it")
        if name == "logs":
            parser.add_argument("-f", "--follow", action="store_true", help="until the job ends")
            parser.add_argument("--workers", action="store_true", help="what its workers printed, from the store")
        parser.set_defaults(debug=False)


def _add_spec(commands: Any) -> None:
    parser = commands.add_parser("spec", help="check, show or describe a spec")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("check", "says what is wrong with a spec"), ("show", "prints it with every default")):
        action = actions.add_parser(name, help=text)
        action.add_argument("spec", metavar="SPEC")
        action.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE")
    actions.add_parser("schema", help="prints the JSON Schema for editors")
    parser.set_defaults(json=False, debug=False)


def _add_init(commands: Any) -> None:
    parser = commands.add_parser("init", help="writes a first spec for a table")
    parser.add_argument("data", metavar="DATA", help="a file, glob or folder, or bundled:NAME")
    parser.add_argument("--target", help="the column to predict; default: one with a usual name, else the last")
    parser.set_defaults(json=False, debug=False)


def _add_token(commands: Any) -> None:
    parser = commands.add_parser("token", help="tokens of those who ask endpoints")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "shows a new token once, and prints the line for the file that serve.tokens names"
    action = actions.add_parser("new", help=text, description=text)
    action.add_argument("name", metavar="NAME", help="who will ask with it")
    parser.set_defaults(json=False, debug=False)


def _add_k8s(commands: Any) -> None:
    parser = commands.add_parser("k8s", help="manifests for Kubernetes")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "prints what `kubectl apply -f -` takes"
    action = actions.add_parser("render", help=text, description=text)
    action.add_argument("spec", metavar="SPEC", help="a YAML file")
    action.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE")
    kind = action.add_mutually_exclusive_group()
    kind.add_argument("--job", choices=JOBS, help="a RayJob that carries the command out")
    kind.add_argument("--service", action="store_true", help="a RayService of the champion")
    action.add_argument("--schedule", metavar="CRON", help='a CronJob that does it, as "0 3 * * *"; default: run')
    action.add_argument("--overlay", metavar="FOLDER", default="k8s/overlays/cpu", help="default: k8s/overlays/cpu")
    action.add_argument("--cluster", metavar="NAME", help="a RayCluster that stands; default: one for the job alone")
    action.add_argument("--input", help="of predict: a file, glob or folder of raw rows")
    action.add_argument("--output", help="of predict: a folder for Parquet files")
    parser.set_defaults(json=False, debug=False)


def again(arguments: argparse.Namespace) -> str:
    """What of a command names its spec, to be typed after another one."""
    return shlex.join([arguments.spec, *arguments.overrides])
