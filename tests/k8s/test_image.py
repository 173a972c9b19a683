"""The image: one Dockerfile, pinned, that runs as nobody and holds what the wheel asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.k8s import versions
from tests.k8s.builds import K8S
from tests.repo.house import ROOT

IGNORED = (".git", "tests", "benchmarks", "docs", ".raymill", ".venv", "k8s", "**/__pycache__")


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
    arguments = versions.arguments()
    assert arguments["RAY_VERSION"] in versions.range_of_ray()


def test_it_keeps_no_cache_and_no_token() -> None:
    assert "auth_token" not in text()
    for line in instructions("RUN"):
        if "pip install" in line:
            assert "--no-cache-dir" in line or "PIP_NO_CACHE_DIR" in text() or "--mount=type=cache" in line


def test_what_is_sent_to_the_builder_is_the_source_alone() -> None:
    places = [ROOT / ".dockerignore", K8S / "image" / "Dockerfile.dockerignore"]
    [place] = [path for path in places if path.exists()]
    lines = [line for line in place.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    by_default = "*" in lines or "**" in lines
    assert by_default or set(IGNORED) <= {line.rstrip("/") for line in lines}
    if by_default:
        assert not {line for line in lines if line.startswith(tuple(f"!{name}" for name in IGNORED))}
