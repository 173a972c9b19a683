"""What travels to Kubernetes is in a ConfigMap, and lies in the pod as it lay here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.job_files import JobFiles
from raymill.errors import SpecError
from tests.ray_clusters import spec_in_a_bucket


def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes]) -> Any:
    """A spec whose model is in a package of this folder."""
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    return spec_in_a_bucket(model={"import": f"{name}.build"})


def test_a_module_lies_at_its_path_though_a_key_has_no_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = imported(tmp_path, monkeypatch, "carried_nets", {"carried_nets/__init__.py": b"", "carried_nets/a.py": b"A"})
    files = JobFiles.of(spec, "job")
    config_map = files.config_map("raymill", {"a": "b"}, fixed=True)
    assert list(config_map["data"]) == ["spec.yaml", "module-0.py", "module-1.py"]
    assert config_map["data"]["module-1.py"] == "A"
    assert config_map["immutable"] is True
    mounts = {mount["mountPath"]: mount["subPath"] for mount in files.mounts("/job")}
    assert mounts == {
        "/job/spec.yaml": "spec.yaml",
        "/job/carried_nets/__init__.py": "module-0.py",
        "/job/carried_nets/a.py": "module-1.py",
    }
    assert files.volume()["configMap"]["name"] == config_map["metadata"]["name"] == "job"


def test_a_config_map_that_may_change_is_not_fixed() -> None:
    assert "immutable" not in JobFiles.of(spec_in_a_bucket(), "job").config_map("raymill", {}, fixed=False)


def test_what_no_config_map_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = imported(tmp_path, monkeypatch, "large_nets", {"large_nets/__init__.py": b"#" * 200_001})
    with pytest.raises(SpecError, match="more than 200,000"):
        JobFiles.of(spec, "job")
    spec = imported(tmp_path, monkeypatch, "odd_nets", {"odd_nets/__init__.py": b"# \xe9"})
    with pytest.raises(SpecError, match="no UTF-8"):
        JobFiles.of(spec, "job")
