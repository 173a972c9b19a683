from __future__ import annotations

from pathlib import Path

import pytest

from raymill.bearer_token import digest_of, line_of
from raymill.errors import DataError
from raymill.token_place import digests_of_file, digests_of_variable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens"
    found.write_text(line_of("shop", "token"))
    return found


def test_a_file_and_a_variable_hold_the_same_lines(path: Path) -> None:
    assert digests_of_file(str(path)) == digests_of_variable("T", {"T": path.read_text()}) == (digest_of(b"token"),)


def test_no_file_no_variable_and_none_that_holds_a_token_admit_nobody(path: Path) -> None:
    with pytest.raises(DataError, match=r"can't be read on .*: No such file") as caught:
        digests_of_file(str(path.parent / "other"))
    assert "raymill token new NAME" in caught.value.fix
    path.write_text("# nobody\n")
    with pytest.raises(DataError, match="holds no token"):
        digests_of_file(str(path))
    with pytest.raises(DataError, match=r"The tokens' variable T on .* holds no token"):
        digests_of_variable("T", {})


def test_a_line_that_says_nothing_is_refused_and_not_shown(path: Path) -> None:
    path.write_text(f"{line_of('shop', 'token')}\nSECRET\n")
    with pytest.raises(DataError, match="line 2 is no NAME:SHA256") as caught:
        digests_of_file(str(path))
    assert "SECRET" not in str(caught.value)


def test_a_file_to_which_everybody_may_add_a_token_is_refused(path: Path) -> None:
    path.chmod(0o666)
    with pytest.raises(DataError, match=r"Everybody on .* may write") as caught:
        digests_of_file(str(path))
    assert caught.value.fix == f"Type `chmod o-w {path}`."


def test_bytes_that_are_no_text_are_a_line_that_says_nothing(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="line 1 is no NAME"):
        digests_of_file(str(path))
