"""Commands: every command line in a manifest or a text can be typed: it parses, and what it runs is there."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.metadata
import importlib.util
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from cluster.grammar import parse
from tests.k8s.builds import K8S, Build, label
from tests.k8s.containers import OWN_IMAGE
from tests.k8s.pods import pods, ray_specs
from tests.repo.house import ROOT

_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}
_HOLDS = {*_SHELLS, "raymill", "python", "ray", "mlflow"}  # our image
_NEXT = re.compile(r"\s*(?:&&|\|\||;|\||\n)\s*")
_BLOCK = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
_ONLY_A_NAME = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")  # of a command, without what it is about
_INLINE = re.compile(r"`((?:raymill|kubectl|python -m) [^`\n]+)`")
# Where each program keeps the text of its options.
_SOURCES = {
    ("ray", "start"): ("ray", "scripts/scripts.py"),
    ("ray", "stop"): ("ray", "scripts/scripts.py"),
    ("ray", "health-check"): ("ray", "scripts/scripts.py"),
    ("ray", "drain-node"): ("ray", "scripts/scripts.py"),
    ("ray", "status"): ("ray", "scripts/scripts.py"),
    ("ray", "job"): ("ray", "dashboard/modules/job/cli.py"),
    ("mlflow", "server"): ("mlflow", "cli/__init__.py", "utils/cli_args.py"),
}


def bad_commands(build: Build) -> list[str]:
    """Commands of containers, probes, hooks and jobs that nobody could run."""
    problems = []
    for pod in pods(build.objects):
        for container in pod.containers:
            own = bool(OWN_IMAGE.match(str(container.get("image"))))
            for argv in _of_container(container):
                problems += [f"{pod.named(container)}: {said}" for said in wrong(argv)]
                problems += [f"{pod.named(container)}: {argv[0]} isn't in it"] if own and argv[0] not in _HOLDS else []
    for each in build.of_kind("RayJob"):
        problems += [f"{label(each)}: {said}" for said in wrong(shlex.split(each["spec"].get("entrypoint") or ""))]
    for each, spec in ray_specs(build.objects):
        for group in (spec["headGroupSpec"], *(spec.get("workerGroupSpecs") or ())):
            keys = group.get("rayStartParams") or {}
            problems += [f"{label(each)}: {said}" for said in wrong(["ray", "start", *(f"--{key}" for key in keys)])]
    return problems


def unanswered(build: Build) -> list[str]:
    """Probes of a path that what runs in the container doesn't serve, or serves only to who shows a token."""
    problems = []
    for pod in pods(build.objects):
        for container in (container for container in pod.containers if OWN_IMAGE.match(str(container.get("image")))):
            ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
            for word in ("livenessProbe", "readinessProbe", "startupProbe"):
                asked = (container.get(word) or {}).get("httpGet")
                if asked and f'"{asked["path"]}"' not in _served(ports.get(asked["port"], asked["port"])):
                    problems.append(
                        f"{pod.named(container)}: its {word} asks for {asked['path']}, which nobody answers"
                    )
    return problems


def _served(port: int) -> str:
    """The text of what answers at a port, in which public paths stand in quotation marks."""
    files = {
        52365: ("ray", "dashboard/http_server_agent.py"),
        8265: ("ray", "dashboard/http_server_head.py"),
        8000: ("ray", "serve/_private/haproxy.py"),
        5000: ("mlflow", "server/__init__.py"),
    }
    return _source(*files[port]) if port in files else ""


def wrong_in_text(text: str) -> list[str]:
    """What is wrong with the commands that a text has its reader type."""
    joined = [block.replace("\\\n", " ") for block in _BLOCK.findall(text)]
    lines = [line.removeprefix("$ ") for block in joined for line in block.splitlines()]
    typed = [line for line in lines if line.startswith(("raymill ", "kubectl ", "python -m "))]
    typed += [line for line in _INLINE.findall(text) if not _ONLY_A_NAME.fullmatch(line)]
    typed = [line for line in typed if "..." not in line]
    return [f"`{line}`: {said}" for line in typed for part in _parts(line) for said in wrong(part)]


def of_examples(text: str) -> Iterator[argparse.Namespace]:
    """What a text has its reader type to run an example, or to print a manifest of it."""
    for block in _BLOCK.findall(text):
        for part in _parts(block):
            if part[0] == "raymill" and any(word.startswith("examples/") for word in part):
                yield parse(part[1:])


def wrong(argv: Sequence[str]) -> list[str]:
    """What is wrong with one command; nothing is known of programs other than ours, Ray's, MLflow's and kubectl."""
    words = [word for word in argv if "=" not in word or word.startswith("-") or argv[0] == "raymill"] or list(argv)
    match words:
        case ["raymill", *rest]:
            return _unparsed(rest)
        case ["python" | "python3", "-m", module, *rest]:
            return _unrun(module, rest)
        case ["python" | "python3", "-c", code, *_]:
            return _unimported(code)
        case ["python" | "python3", first, *_] if first != "-m":
            return [f"python is to run the file {first}"]
        case ["kubectl", *rest]:
            return _missing_paths(rest)
        case [("ray" | "mlflow") as program, command, *rest]:
            return _unknown_options(program, command, rest)
        case [shell, *options, script] if shell in _SHELLS and options and "c" in options[0]:
            return [said for part in _parts(script) for said in wrong(part)]
        case ["exec", *rest]:
            return wrong(rest)
    return []


def _unparsed(words: Sequence[str]) -> list[str]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parse(list(words))
        except SystemExit as end:
            return [] if end.code == 0 else [f"raymill {shlex.join(words)}: {said.getvalue().strip().splitlines()[-1]}"]
    return []


def _unrun(module: str, rest: Sequence[str]) -> list[str]:
    if not _is_module(module):
        return [f"there is no module {module}"]
    package, _, job = module.partition(".")
    return _unparsed([job, *rest]) if package == "jobs" else []


def _unimported(code: str) -> list[str]:
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError as error:
        return [f"python can't read {code!r}: {error}"]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return [f"there is no module {name}" for name in names if not _is_module(name)]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _missing_paths(words: Sequence[str]) -> list[str]:
    problems = []
    for option, value in pairwise(words):
        is_local = not re.search(r"://|github\.com|[A-Z$<{]|^-$", value) and value.startswith(
            ("k8s/", "examples/", "./")
        )
        if option in ("-k", "-f", "--kustomize", "--filename") and is_local and not (ROOT / value).exists():
            problems.append(f"there is no {value}")
    return problems


def _unknown_options(program: str, command: str, words: Sequence[str]) -> list[str]:
    files = _SOURCES.get((program, command))
    if files is None:
        return [f"nothing is known of `{program} {command}`"]
    text = "".join(_source(files[0], path) for path in files[1:])
    asked = [word.partition("=")[0] for word in words if word.startswith("--") and word != "--"]
    return [f"`{program} {command}` has no {each}" for each in asked if not re.search(rf"[\"'/]{each}[\"'/]", text)]


@cache
def _source(distribution: str, path: str) -> str:
    return (Path(str(importlib.metadata.distribution(distribution).locate_file(distribution))) / path).read_text(
        "utf-8"
    )


def _of_container(container: dict[str, Any]) -> Iterator[list[str]]:
    if argv := [*(container.get("command") or ()), *(container.get("args") or ())]:
        yield argv
    for word in ("livenessProbe", "readinessProbe", "startupProbe"):
        if command := ((container.get(word) or {}).get("exec") or {}).get("command"):
            yield command
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and (command := (hook.get("exec") or {}).get("command")):
            yield command


def _parts(script: str) -> Iterator[list[str]]:
    for part in _NEXT.split(script.replace("\\\n", " ")):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue  # a quotation that goes over several parts
        if words:
            yield words


def readme() -> str:
    return (K8S / "README.md").read_text(encoding="utf-8")
