"""Whose tokens are taken, and that a change of the file is known."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import pytest

from cluster.endpoint_arguments import ServedModel, endpoint_arguments
from raymill.bearer_token import digest_of, line_of, new_token
from raymill.errors import DataError
from serving import tokens
from serving.arguments import EndpointArgs, TokensAt
from serving.tokens import TokenFile, Tokens, admission_at
from tests.ray_clusters import spec_in_a_bucket

ONE, TWO = b"one", b"two"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens"
    _write(found, ONE, TWO)
    return found


def _write(path: Path, *shown: bytes) -> None:
    """Replaces the file in one step, as an editor does and as Kubernetes does."""
    new = path.with_name("new")
    new.write_text("".join(f"{line_of(token.decode(), token.decode())}\n" for token in shown))
    new.rename(path)


def test_those_of_a_set_are_admitted_and_nobody_else() -> None:
    found = Tokens((digest_of(ONE), digest_of(TWO)))
    assert found.admits(ONE) and found.admits(TWO)
    assert not any(map(found.admits, (b"", b"on", b"one ", b"ONE", digest_of(ONE), digest_of(ONE).hex().encode())))


@pytest.mark.parametrize("token", [b"0", b"7", b"9", b"nobody's", b""])
def test_a_token_is_compared_with_every_digest_whichever_it_is(token: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = tuple(digest_of(str(number).encode()) for number in range(10))
    compared: list[bytes] = []

    def compare(kept: bytes, shown: bytes) -> bool:
        assert (len(kept), len(shown)) == (32, 32)
        compared.append(kept)
        return kept == shown

    assert tokens.compare_digest is hmac.compare_digest  # in constant time
    monkeypatch.setattr(tokens, "compare_digest", compare)
    assert Tokens(digests).admits(token) is (token in (b"0", b"7", b"9"))
    assert compared == list(digests)


def test_a_token_is_revoked_and_another_admitted_by_the_file(path: Path, said: pytest.LogCaptureFixture) -> None:
    found = TokenFile(str(path))
    assert found.admits(ONE)
    _write(path, TWO, b"three")
    found.look()
    assert (found.admits(ONE), found.admits(TWO), found.admits(b"three")) == (False, True, True)
    assert said.messages == [f"the tokens' file {path} has changed: it admits 2 tokens"]


def test_what_changed_between_reading_and_the_first_look_is_found(path: Path, said: pytest.LogCaptureFixture) -> None:
    found = TokenFile(str(path))
    found.look()
    found.look()
    assert said.messages == []


def test_a_file_of_the_same_size_and_time_is_another_one(path: Path) -> None:
    found = TokenFile(str(path))
    found.look()
    before = path.stat()
    _write(path, b"six", TWO)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found.look()
    assert found.admits(b"six") and not found.admits(ONE)


def test_a_link_that_points_elsewhere_is_followed_as_kubernetes_swaps_a_secret(tmp_path: Path) -> None:
    for name, token in (("a", ONE), ("b", TWO)):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "tokens", token)
    data = tmp_path / "..data"
    data.symlink_to("a")
    found = TokenFile(f"{data}/tokens")
    found.look()
    (tmp_path / "..new").symlink_to("b")
    (tmp_path / "..new").rename(data)
    found.look()
    assert found.admits(TWO) and not found.admits(ONE)


def test_a_file_that_can_not_be_read_stays_as_it_was_and_that_is_said_once(
    path: Path, said: pytest.LogCaptureFixture
) -> None:
    found = TokenFile(str(path))
    path.rename(path.with_name("away"))
    for _ in range(3):
        found.look()
    assert found.admits(ONE)
    assert said.messages == [f"the tokens' file {path} can't be read (No such file or directory): it stays as it was"]
    path.with_name("away").rename(path)
    found.look()
    assert found.admits(ONE)


def test_an_emptied_file_admits_nobody(path: Path) -> None:
    found = TokenFile(str(path))
    path.write_text("")
    found.look()
    assert not found.admits(ONE)


def test_a_later_line_that_says_nothing_admits_nobody_and_keeps_no_other_out(
    path: Path, said: pytest.LogCaptureFixture
) -> None:
    found = TokenFile(str(path))
    path.write_text(f"SECRET\n{line_of('two', 'two')}\n")
    found.look()
    assert (found.admits(ONE), found.admits(TWO), found.admits(b"SECRET")) == (False, True, False)
    assert any("line 1 is no NAME:SHA256" in message for message in said.messages)
    assert "SECRET" not in said.text


def test_a_watched_file_is_looked_at_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([None, None])

    def pause(seconds: float) -> None:
        assert seconds == 1.0
        next(pauses)

    looks: list[int] = []
    monkeypatch.setattr(tokens.time, "sleep", pause)
    found = TokenFile(str(path))
    monkeypatch.setattr(found, "look", lambda: looks.append(1))
    with pytest.raises(StopIteration):
        found._look_on()
    assert looks == [1, 1]


def test_a_place_is_a_file_that_is_watched_or_a_variable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[TokenFile] = []
    monkeypatch.setattr(TokenFile, "watch", lambda self: watched.append(self))
    assert admission_at(TokensAt(file=str(path))).admits(ONE)
    assert len(watched) == 1
    assert admission_at(TokensAt(env="T"), {"T": path.read_text()}).admits(TWO)
    with pytest.raises(DataError, match="variable T"):
        admission_at(TokensAt(env="T"), {})


def test_neither_a_token_nor_its_hash_is_in_arguments_or_in_what_is_printed(tmp_path: Path) -> None:
    token = new_token()
    path = tmp_path / "tokens"
    path.write_text(line_of("shop", token))
    spec = spec_in_a_bucket(serve={"tokens": {"file": str(path)}})
    model = ServedModel(version="1", bundle_uri="u", digest="d")
    arguments = EndpointArgs.model_validate(endpoint_arguments(spec, model, "e"))
    assert arguments.tokens == TokensAt(file=str(path))
    found = TokenFile(str(path))
    texts = [repr(spec), repr(arguments), arguments.model_dump_json(), repr(found), str(vars(found))]
    digest = digest_of(token.encode())
    assert not [text for text in texts for secret in (token, digest.hex(), repr(digest)) if secret in text]
