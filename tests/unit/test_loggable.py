"""What is logged is flat, short and without secrets."""

from __future__ import annotations

import pytest

from raymill.loggable import flat_params, key_of, scrubbed, without_userinfo


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:secret@host:5000/x", "http://host:5000/x"),
        ("s3://KEY:SECRET@bucket/a@b", "s3://bucket/a@b"),
        ("postgresql+psycopg2://u:p@ss@db/x", "postgresql+psycopg2://db/x"),
        ("failed at http://u:p@h/ and https://v@k/", "failed at http://h/ and https://k/"),
        ("http://host/path", "http://host/path"),
        ("mail ann@example.org", "mail ann@example.org"),
        ("sqlite:////folder@home/x.db", "sqlite:////folder@home/x.db"),
        ('{"a":"http://host","b":"x@y"}', '{"a":"http://host","b":"x@y"}'),
        ("s3://KEY:SEC/RET+/x=@bucket/data", "s3://bucket/data"),
        ("no s3://KEY:SEC/RET@bucket/a: denied", "no s3://bucket/a: denied"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("models:/flights@champion", "models:/flights@champion"),
        ("https://h/x?a=1&token=abc&b=2", "https://h/x?a=1&token=***&b=2"),
        (
            "https://h/x?X-Amz-Signature=ab%2F&X-Amz-Credential=c/d.",
            "https://h/x?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("s3://b/p?access_key=AK&secret_key=S/K&region=eu", "s3://b/p?access_key=***&secret_key=***&region=eu"),
        ("https://h/x?sig=abc#part", "https://h/x?sig=***#part"),
        ("what is this? token = 5", "what is this? token = 5"),
        (
            r"reserved character(s) in header value: 'Bearer abcd-efgh\n'",
            "reserved character(s) in header value: 'Bearer ***'",
        ),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"),
        ("Basic statistics, Bearer of it", "Basic statistics, Bearer of it"),
    ],
)
def test_user_and_password_leave_every_uri_and_nothing_else_does(text: str, expected: str) -> None:
    assert without_userinfo(text) == expected


def test_json_is_scrubbed_at_any_depth() -> None:
    value = {"a": ["s3://k:s@b/x", {"b": "http://u:p@h"}], "n": 1, "none": None}
    assert scrubbed(value) == {"a": ["s3://b/x", {"b": "http://h"}], "n": 1, "none": None}


def test_settings_become_flat_params() -> None:
    params = {"train": {"optimizer": {"lr": 0.001}, "hidden": [8, 8]}, "name": "x", "gpu": None, "amp": True, "e": {}}
    assert flat_params(params) == {
        "train.optimizer.lr": "0.001",
        "train.hidden": "[8, 8]",
        "name": "x",
        "gpu": "null",
        "amp": "true",
        "e": "{}",
    }


def test_params_are_cut_and_hold_no_password() -> None:
    flat = flat_params({"long": "x" * 9000, "tracking": "http://u:p@h"})
    assert len(flat["long"]) == 6000
    assert flat["tracking"] == "http://h"


def test_a_column_name_becomes_a_name_that_mlflow_accepts() -> None:
    assert key_of("features.price (€)/unit") == "features.price ____unit"
    assert len(key_of("x" * 300)) == 250


def test_a_very_long_word_is_read_once() -> None:
    word = "a" * 500_000
    assert without_userinfo(f"{word} s3://KEY:SECRET@lake") == f"{word} s3://lake"
    assert without_userinfo(f"{word}://KEY:SECRET@lake") == f"{word}://lake"
