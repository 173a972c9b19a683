"""A stream that is passed on and overheard."""

from __future__ import annotations

import contextlib
import io

from cluster.overheard import Overheard


def test_what_is_written_goes_on_and_whole_lines_are_heard() -> None:
    shown, heard = io.StringIO(), list[str]()
    with contextlib.redirect_stdout(Overheard(shown, heard.append)) as stream:
        stream.write("one ")
        assert heard == []
        stream.write("line\nand\npart")
    assert shown.getvalue() == "one line\nand\npart"
    assert heard == ["one line", "and"]


def test_of_a_bar_that_is_drawn_over_itself_the_last_is_heard() -> None:
    heard = list[str]()
    stream = Overheard(io.StringIO(), heard.append)
    for text in ("\r10%", "\r50%", "\r100%\n", "windows\r\n"):
        stream.write(text)
    assert heard == ["100%", "windows"]


def test_it_is_a_terminal_where_the_stream_is() -> None:
    assert not Overheard(io.StringIO(), print).isatty()
