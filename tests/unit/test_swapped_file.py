import errno
import os
from pathlib import Path

import pytest

from raymill.swapped_file import put_new, swap_file


@pytest.fixture(params=["links", "no links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a file system with hard links, or of one without, as exFAT."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    return tmp_path


def test_a_written_file_gets_its_name_once(folder: Path) -> None:
    for name in ("first", "second"):
        partial = folder / f"{name}.partial"
        partial.write_text(name)
        put_new(partial, folder / "named")
        partial.unlink(missing_ok=True)
    assert [path.name for path in folder.iterdir()] == ["named"]
    assert (folder / "named").read_text() == "first"


def test_a_file_is_swapped_only_from_what_was_found(folder: Path) -> None:
    path = folder / "file"
    assert swap_file(path, None, b"a") and not swap_file(path, None, b"b")
    assert swap_file(path, b"a", b"b") and not swap_file(path, b"a", b"c")
    assert path.read_bytes() == b"b" and [*folder.iterdir()] == [path]
    assert swap_file(path, b"b", None) and not path.exists()
