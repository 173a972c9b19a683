from __future__ import annotations

import hashlib
import re

import pytest

from raymill.bearer_token import TokenLines, digest_of, line_of, new_token


def test_a_token_is_drawn_anew_from_256_bits_and_fits_into_a_header() -> None:
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"raymill_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_a_line_holds_the_sha256_of_a_token_and_reads_back_as_its_digest() -> None:
    token = new_token()
    assert line_of("shop", token) == f"shop:{hashlib.sha256(token.encode()).hexdigest()}"
    assert TokenLines.read(line_of("shop", token)).digests == (digest_of(token.encode()),)


def test_comments_blank_lines_and_large_letters_are_taken() -> None:
    one, two = new_token(), new_token()
    name, digest = line_of("two", two).split(":")
    text = f"# who may ask\n\n  {line_of('one', one)}  # the shop\r\n{name}:{digest.upper()}"
    assert TokenLines.read(text) == TokenLines(digests=(digest_of(one.encode()), digest_of(two.encode())))


@pytest.mark.parametrize("line", ["SECRET", "shop:SECRET", "shop SECRET", "a b:" + "0" * 64, ":" + "0" * 64, "x:y:z"])
def test_what_is_no_line_is_named_by_its_number_and_never_shown(line: str) -> None:
    read = TokenLines.read(f"\n{line}\n{line_of('shop', 'token')}")
    assert read.problems == ("line 2 is no NAME:SHA256",)
    assert len(read.digests) == 1


def test_a_second_line_of_a_name_says_nothing_since_revoking_it_would_leave_the_first() -> None:
    first, second = line_of("shop", "one"), line_of("shop", "two")
    assert TokenLines.read(f"{first}\n{second}") == TokenLines(
        digests=(digest_of(b"one"),), problems=("line 2 has the name of line 1",)
    )


def test_digests_are_not_in_what_is_printed_of_them() -> None:
    read = TokenLines.read(line_of("shop", "token"))
    assert digest_of(b"token").hex() not in repr(read) and repr(digest_of(b"token")) not in repr(read)
