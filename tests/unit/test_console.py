"""Lines everywhere; bars where a terminal shows them."""

from __future__ import annotations

import errno
import io
import logging
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from raymill.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_a_line() -> None:
    shown = io.StringIO()
    Console(shown).say("prepare   done")
    assert shown.getvalue() == "prepare   done\n"


def test_a_line_that_a_full_disk_does_not_take_is_heard() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Heard:
        lines: ClassVar[list[str]] = []

        def hear(self, kind: str, text: str) -> None:
            self.lines.append(text)

    console = Console(Full())
    with console.heard_by(Heard()):
        console.say("prepare   done")
    assert Heard.lines == ["prepare   done"]


def test_a_line_shows_no_password() -> None:
    shown = io.StringIO()
    Console(shown).say("error: Could not read s3://KEY:SEC/RET@bucket/a.\nSee https://h/?token=abc")
    assert shown.getvalue() == "error: Could not read s3://bucket/a.\nSee https://h/?token=***\n"


def test_what_is_logged_under_a_name_is_said_while_it_is_shown() -> None:
    shown, logger = io.StringIO(), logging.getLogger("raymill.store")
    with Console(shown).showing("raymill.store"):
        logger.info("not this")
        logger.warning("%s is away", "s3://KEY:SECRET@lake")
    logger.warning("not this either")
    assert shown.getvalue() == "s3://lake is away\n"


def test_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("hello")
    assert capsys.readouterr() == ("", "hello\n")
    assert Console().stream is sys.stderr


def test_a_line_on_a_terminal_takes_the_place_of_a_bar() -> None:
    shown = Terminal()
    Console(shown).say("done")
    assert shown.getvalue() == "\r\x1b[Kdone\n"


class Closed(Terminal):
    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_is_closed_ends_no_work_and_who_listens_hears_on() -> None:
    console, heard = Console(Closed()), list[str]()
    listener = SimpleNamespace(hear=lambda kind, text: heard.append(text))
    with console.heard_by(listener), console.progress("train", 1):
        console.say("one line")
    assert heard == ["one line"]


def test_a_pipe_that_nobody_reads_is_an_error() -> None:
    class Unread(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EPIPE, "Broken pipe")

    with pytest.raises(OSError, match="Broken pipe"):
        Console(Unread()).say("one line")


def test_a_bar_on_a_terminal_shows_its_share_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raymill.console._REDRAW_EVERY_S", 0.0)
    shown = Terminal()
    with Console(shown).progress("train", 4) as bar:
        bar.reach(2, "epoch 2")
        assert shown.getvalue() == f"\r\x1b[Ktrain {'█' * 12}{'░' * 12}  50% epoch 2"
        bar.reach(9)
        assert "100%" in shown.getvalue()
    assert shown.getvalue().endswith("\r\x1b[K")


def test_a_bar_elsewhere_is_seldom_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    with Console(shown).progress("train", 4) as bar:
        bar.reach(1)
        assert shown.getvalue() == ""
        monkeypatch.setattr("raymill.console._LINE_EVERY_S", 0.0)
        bar.reach(2, "epoch 2")
    assert shown.getvalue() == "train 50% epoch 2\n"


def test_a_bar_of_nothing_is_drawn_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raymill.console._LINE_EVERY_S", 0.0)
    shown = io.StringIO()
    with Console(shown).progress("prepare", 0) as bar:
        bar.reach(0)
    assert shown.getvalue() == "prepare 0% \n"
