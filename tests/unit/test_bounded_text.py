"""A text that keeps its beginning and its end."""

from __future__ import annotations

from raymill.bounded_text import BoundedText


def test_what_fits_is_kept_whole() -> None:
    text = BoundedText(100, 100)
    for line in ("one", "", "three"):
        text.add(line)
    assert text.text() == "one\n\nthree\n"
    assert text.lines == 3


def test_when_it_is_full_the_middle_goes_and_is_counted() -> None:
    text = BoundedText(8, 8)
    for number in range(10):
        text.add(f"is {number}")
    assert text.text() == "is 0\n... 8 lines, 40 characters, are left out here ...\nis 9\n"


def test_a_short_line_after_a_long_one_keeps_its_place() -> None:
    text = BoundedText(4, 100)
    for line in ("longer", "a"):
        text.add(line)
    assert text.text() == "longer\na\n"


def test_of_a_very_long_line_the_beginning_is_kept() -> None:
    text = BoundedText(1 << 20, 1 << 20)
    text.add("x" * 9_000)
    assert text.text() == "x" * 8_000 + "... and 1,000 characters\n"
