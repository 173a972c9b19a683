"""The body of a predict request: `{"row": {...}}` or `{"rows": [{...}, ...]}`, read whole, within a limit.

It knows JSON and sizes; what a row may hold is the schema's to say.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from serving.refusal import Refusal

MOST_BYTES = 16 * 1024 * 1024
MOST_ROWS = 100_000
_SHOWN_LETTERS = 80
_LENGTH_DIGITS = 18
# A call for each object of a body takes seconds where there are millions: what is no JSON is found without them.
_MOST_READ_SLOWLY = 1 << 20
_TOO_DEEP = "The body is nested too deeply."
_SHAPE = 'The body must be {"row": {...}} or {"rows": [{...}, ...]}'


async def read_body(request: Request, most_bytes: int = MOST_BYTES) -> bytes:
    """The whole body.

    Raises Refusal 413 as soon as it is known to be longer than `most_bytes`, and 415 where it is coded: a few bytes
    could become any number.
    """
    _check_announced(request.scope["headers"], most_bytes)
    chunks, size, is_whole = [], 0, False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        is_whole = not message.get("more_body", False)
        if size > most_bytes:
            raise _too_large(most_bytes)
    return b"".join(chunks)


def _check_announced(headers: Iterable[tuple[bytes, bytes]], most_bytes: int) -> None:
    for name, value in headers:
        # Python reads no number of thousands of digits, and the first of them say enough.
        if name == b"content-length" and value.isdigit() and int(value[:_LENGTH_DIGITS]) > most_bytes:
            raise _too_large(most_bytes)
        if name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
            said = "The body has a Content-Encoding; send it without one."
            raise Refusal(415, said, headers={"accept-encoding": "identity", "connection": "close"})


def rows_of(body: bytes) -> list[dict[str, Any]]:
    """The rows of a body, each whatever JSON it is.

    Raises Refusal: 400 for no JSON, 413 for too many rows, 422 for another shape or a key that is there twice.
    """
    value = json_of(body)
    if not isinstance(value, dict):
        raise Refusal(422, f"{_SHAPE}, not {kind_of(value)}.")
    unknown = [key for key in value if key not in ("row", "rows")]
    if unknown:
        raise Refusal(422, f"{_SHAPE}, without {', '.join(repr(key[:_SHOWN_LETTERS]) for key in unknown[:5])}.")
    if len(value) != 1:
        raise Refusal(422, f"{_SHAPE}, not {'both' if value else 'an empty object'}.")
    if "row" in value:
        return [value["row"]]
    if not isinstance(value["rows"], list):
        raise Refusal(422, f'"rows" must be an array, not {kind_of(value["rows"])}.')
    if len(value["rows"]) > MOST_ROWS:
        raise Refusal(413, f"The body has {len(value['rows'])} rows; send at most {MOST_ROWS} at a time.")
    return value["rows"]


def json_of(body: bytes) -> Any:
    """What a JSON body says. Raises Refusal: 400 for no JSON, 422 for a key that is there twice."""
    try:
        value = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if "recursion limit" in str(error):  # 200, whatever Python's own is here
            raise Refusal(400, _TOO_DEEP) from error
        return _slow_json_of(body)  # which says what is wrong, or reads another encoding
    if _each_key_is_there_once(body, value):
        return value
    if len(body) > _MOST_READ_SLOWLY:
        raise Refusal(422, "An object of the body has a key twice; send it once.")
    return _slow_json_of(body)  # which names it


def _each_key_is_there_once(body: bytes, value: Any) -> bool:
    """Whether the body's quotes are two to each key and each text in what was read of it, and no more."""
    escaped = body.replace(rb"\\", b"").count(rb"\"") if b"\\" in body else 0
    left, level = body.count(b'"') - escaped, [value]
    while left and level:
        kinds = list(map(type, level))
        objects = [each for each in level if type(each) is dict] if dict in kinds else []
        lists = [each for each in level if type(each) is list] if list in kinds else []
        left -= 2 * (sum(map(len, objects)) + kinds.count(str))
        level = list(chain(*map(dict.values, objects), *lists)) if left else []
    return not left


def _slow_json_of(body: bytes) -> Any:
    try:
        if len(body) > _MOST_READ_SLOWLY:
            json.loads(body, parse_constant=_no_constant)
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}, character {error.pos}"
        raise Refusal(400, f"The body is no JSON: {error.msg} at {where}.") from error
    except UnicodeDecodeError as error:
        raise Refusal(400, f"The body is no UTF-8: byte {error.start} is {body[error.start]:#04x}.") from error
    except RecursionError as error:
        raise Refusal(400, _TOO_DEEP) from error
    except ValueError as error:
        raise Refusal(
            400, f"A whole number of the body has more than {sys.get_int_max_str_digits()} digits."
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values; JSON leaves open which of two equal keys counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, count in times.items() if count > 1)
        raise Refusal(422, f"An object of the body has the key {twice[:_SHOWN_LETTERS]!r} twice; send it once.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Refusal(400, f"The body is no JSON: {name} is no JSON number; send null for a missing cell.")


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(
        413,
        f"The body is larger than {most_bytes} bytes; send fewer rows at a time.",
        headers={"connection": "close"},
    )
