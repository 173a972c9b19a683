"""The house stands as its plan says: who imports whom, who touches files, and what one wheel holds."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tomllib

import pytest
from setuptools import find_packages

from raymill.spec_text import load_spec
from tests.repo.house import (
    PACKAGES,
    ROOT,
    Module,
    all_modules,
    committed_texts,
    modules,
    named_functions,
    run_modules,
)

FORBIDDEN = {
    "raymill": {
        "ray",
        "starlette",
        "fastapi",
        "uvicorn",
        "requests",
        "httpx",
        "kubernetes",
        "jobs",
        "cluster",
        "serving",
    },
    "cluster": {"jobs", "serving"},
    "jobs": {"serving"},
    "serving": {"jobs", "cluster"},
}
MLFLOW_ONLY_IN = {"raymill.tracking", "raymill.registry"}
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "tools"}

# What opens, lists or changes files of a disk or a bucket. `read_bytes` and `write_bytes` are the store's verbs too,
# so that they count only on what is called like a path.
FILE_MODULES = {"pyarrow.fs", "pyarrow.dataset", "boto3", "botocore", "s3fs", "fsspec", "shutil", "tempfile", "glob"}
FILE_CALLS = {
    "open()", "read_text", "write_text", "mkdir", "makedirs", "rmdir", "rmtree", "unlink", "touch", "rename",
    "symlink_to", "hardlink_to", "iterdir", "rglob", "to_csv", "to_parquet", "to_json_file", "memory_map",
}  # fmt: skip
PATH_CALLS = re.compile(r"(path|folder|file|local|partial|Path\(.*\))\.(read|write)_bytes$", re.IGNORECASE)
MAY_TOUCH_FILES = {
    "raymill.store": "it is the one that does",
    "raymill.bucket": "the store's calls, reads and writes where that is a bucket",
    "raymill.s3_service": "the clients that reach a bucket",
    "raymill.swapped_file": "the store's swap of a file where that is a folder",
    "raymill.temporary": "the folders that MLflow asks for, removed after processes that were killed as well",
    "raymill.process": "what the kernel tells of a process",
    "raymill.spec_text": "reads the spec file, before there is a store",
    "raymill.imported_code": "the module that a spec names, to know it and to send it along",
    "raymill.rows": "scratch for the row matrix, gone with its process",
    "raymill.registry": "scratch for what MLflow uploads",
    "raymill.token_place": "the lines of an endpoint's tokens, which are no part of a store",
    "raymill.tracking": "scratch for what MLflow uploads, and the folder of its SQLite file",
    "cluster.nowhere": "what Ray Train believes to be its storage, in memory",
    "cluster.certificate": "the files of an endpoint's TLS, to say which of them can't be read",
    "cluster.ray_settings": "Ray Data's logging settings, in the scratch folder",
    "cluster.kubernetes_api": "the namespace of the pod that it runs in",
    "cluster.jobs_api": "the user's token for a cluster",
    "cluster.scratch": "the scratch folder of one session, held by a lock and removed with what runs from it",
}


def ids(found: list[Module]) -> list[str]:
    return [module.name for module in found]


@pytest.mark.parametrize("module", all_modules(), ids=ids(all_modules()))
def test_imports_run_along_the_arrows_only(module: Module) -> None:
    package = module.name.partition(".")[0]
    assert not module.imported_tops & FORBIDDEN[package]


def test_mlflow_is_imported_in_two_places_only() -> None:
    assert {module.name for module in all_modules() if "mlflow" in module.imported_tops} == MLFLOW_ONLY_IN


def test_metrics_are_given_to_ray_in_one_place_only() -> None:
    assert [m.name for m in all_modules() if "ray.util.metrics" in m.imports] == ["cluster.meters", "serving.meters"]


def test_kubernetes_is_imported_in_one_place_only() -> None:
    assert [m.name for m in all_modules() if "kubernetes" in m.imported_tops] == ["cluster.kubernetes_api"]


def touches_files(module: Module) -> bool:
    imports = {name for name in module.imports if any(name == f or name.startswith(f"{f}.") for f in FILE_MODULES)}
    return bool(imports or module.calls & FILE_CALLS or any(map(PATH_CALLS.search, module.called)))


def test_files_and_buckets_are_touched_by_the_store_and_a_few_others_for_a_reason() -> None:
    assert {module.name for module in all_modules() if touches_files(module)} == set(MAY_TOUCH_FILES)


def test_nothing_is_a_drawer() -> None:
    parts = {part for module in all_modules() for part in module.name.split(".")}
    assert not parts & DRAWERS


@pytest.mark.parametrize("module", all_modules(), ids=ids(all_modules()))
def test_every_module_says_what_it_is(module: Module) -> None:
    assert ast.get_docstring(module.tree)


def named() -> set[tuple[str, str]]:
    texts = [m.path.read_text() for package in ("cluster", "jobs", "serving") for m in modules(package)]
    texts += [(ROOT / "pyproject.toml").read_text()]
    texts += [text for path, text in committed_texts().items() if path.startswith("k8s/")]
    return set().union(*map(named_functions, texts))


@pytest.mark.parametrize(("module", "function"), sorted(named()))
def test_every_function_that_is_named_by_a_string_is_there(module: str, function: str) -> None:
    assert callable(getattr(importlib.import_module(module), function))


def test_the_strings_that_are_known_are_among_those_found() -> None:
    assert {("jobs.run", "walk"), ("serving.app", "build"), ("cluster.cli", "main")} <= named()


def test_every_module_that_a_text_runs_is_there() -> None:
    texts = committed_texts()
    named_anywhere = set().union(*(run_modules(t) for path, t in texts.items() if not path.startswith("tests/repo/")))
    assert all(importlib.util.find_spec(name) is not None for name in named_anywhere)


@pytest.mark.parametrize("job", [m for m in modules("jobs") if m.path.stem != "__init__"], ids=lambda m: m.name)
def test_every_job_can_be_run_as_a_module(job: Module) -> None:
    text = job.path.read_text()
    assert f"`python -m {job.name} SPEC" in text
    assert 'if __name__ == "__main__":\n    main()' in text


IMPORTS = """
import importlib, json, os, pathlib, signal, sys, threading
before = (dict(os.environ), sorted(os.listdir()), signal.getsignal(signal.SIGTERM), threading.active_count())
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
after = (dict(os.environ), sorted(os.listdir()), signal.getsignal(signal.SIGTERM), threading.active_count())
print(json.dumps({"quiet": before == after, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def imported(names: list[str]) -> tuple[bool, set[str]]:
    """Whether importing leaves everything as it was, and the top-level modules that it brings along."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, json.dumps(names)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    return found["quiet"], set(found["loaded"])


def test_importing_the_predictor_is_cheap() -> None:
    quiet, loaded = imported(["raymill.predictor"])
    assert quiet
    assert not loaded & {"ray", "mlflow", "sklearn", "matplotlib", "scipy", "pandas", "boto3", "starlette"}


def test_importing_any_module_of_the_domain_does_nothing() -> None:
    quiet, loaded = imported([module.name for module in modules("raymill")])
    assert quiet
    assert not loaded & {"ray", "mlflow", "sklearn", "matplotlib", "boto3", "starlette"}


def test_the_command_line_answers_before_anything_heavy_is_imported() -> None:
    quiet, loaded = imported(["cluster.cli"])
    assert quiet
    assert not loaded & {"ray", "torch", "mlflow", "pyarrow", "pandas", "sklearn", "matplotlib", "kubernetes"}


@pytest.mark.parametrize("path", sorted(str(p.relative_to(ROOT)) for p in (ROOT / "examples").glob("*.yaml")))
def test_every_example_is_a_spec(path: str) -> None:
    load_spec(ROOT / path)


def test_one_wheel_holds_the_four_packages_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert list(settings) == ["packages"]
    found = set(find_packages(str(ROOT), **settings["packages"]["find"]))
    assert found == {module.name.rpartition(".")[0] for module in all_modules()}
    assert {name.partition(".")[0] for name in found} == set(PACKAGES)


def test_no_other_distribution_owns_the_names_of_the_packages() -> None:
    owners = importlib.metadata.packages_distributions()
    assert set().union(*(owners.get(package, []) for package in PACKAGES)) <= {"raymill"}


def test_the_readme_has_the_two_set_up_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert "pip install -e '.[examples]' && raymill run examples/flights.yaml --once" in lines
    assert "pip install -e '.[test]' && pytest" in lines


def test_no_committed_file_knows_this_machine_or_a_package_index() -> None:
    # Put together here, so that this file is not the one that is found.
    banned = ["/" + "work/", "/" + "root/", "index" + "-url", "/" + "simple/", "PIP_" + "INDEX", "pypi" + ".org"]
    found = {(path, word) for path, text in committed_texts().items() for word in banned if word in text}
    assert not found


def test_the_wheel_cannot_be_uploaded_by_mistake() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
    assert project["scripts"] == {"raymill": "cluster.cli:main"}


@pytest.mark.parametrize(
    "check",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_the_house_is_clean(check: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
