"""What may be logged: flat, short and without secrets. Pure text; it knows no tracker.

Nothing here reads the environment, so nothing of it can be logged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_MAX_KEY_CHARS = 250
_MAX_PARAM_CHARS = 6000
_MAX_TAG_CHARS = 8000
# A password may hold a slash, as the keys of S3 do; but what follows `host:` and begins as a port is a path.
# Of a long scheme its end is enough; without a bound each letter of a long word would be tried as a beginning.
_USERINFO = re.compile(r"([A-Za-z][\w+.-]{0,20}://)(?:[^/\s\"'<>]*@|[^/\s\"'<>@:\[]*:(?!\d{1,5}[/?#])[^\s\"'<>@]*@)")
_QUERY_SECRET = re.compile(
    r"([?&][\w.-]*(?:token|secret|passw|pwd|signature|credential|auth|key|sig)[\w.-]*=)[^&#\s\"'<>]+", re.IGNORECASE
)
# As libraries of HTTP show a header that they can't send, as with the end of a line behind the token; "Basic
# statistics" is none.
_HEADER_SECRET = re.compile(r"\b(Bearer|Basic(?= \S*[A-Z\d=])) [^\s\"'<>]{8,}")
_NOT_IN_KEYS = re.compile(r"[^\w.\- :]")


def without_userinfo(text: str) -> str:
    """A text in which `user:password@` is gone from every URI; the values of `?token=` and of `Bearer` are `***`."""
    if "://" in text:
        text = _USERINFO.sub(r"\1", text)
    if "Bearer " in text or "Basic " in text:
        text = _HEADER_SECRET.sub(r"\1 ***", text)
    return _QUERY_SECRET.sub(r"\1***", text) if "=" in text else text


def scrubbed(value: Any) -> Any:
    """A JSON value in which no URI in a string holds a user, a password or a token."""
    if isinstance(value, str):
        return without_userinfo(value)
    if isinstance(value, Mapping):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def key_of(name: str) -> str:
    """A name as MLflow accepts it for a param, metric or tag: other characters become `_`, at most 250 remain."""
    return _NOT_IN_KEYS.sub("_", name)[:_MAX_KEY_CHARS]


def tag_value(value: str) -> str:
    return without_userinfo(value)[:_MAX_TAG_CHARS]


def flat_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `{"train.optimizer.lr": "0.001"}`; lists and null as JSON, values cut at 6,000 characters."""
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_params(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[key_of(f"{prefix}{name}")] = without_userinfo(text)[:_MAX_PARAM_CHARS]
    return flat
