"""The page of an endpoint: its OpenAPI document as HTML that needs nothing from anywhere else.

It knows the document, no model. Whatever is not written here is escaped; the policy lets nothing else run.
"""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from serving.docs_style import SCRIPT, STYLE
from serving.handler import Handler

_JSON = "application/json"


def docs_handler(document: dict[str, Any], kinds: Mapping[str, str]) -> Handler:
    """What answers with the page of a document; `kinds` are those of a row's fields, by their name."""
    page = docs_page(document, kinds)
    headers = {"content-security-policy": policy()}

    async def answer(request: Request, request_id: str) -> Response:
        return HTMLResponse(page, headers=headers)

    return answer


def docs_page(document: dict[str, Any], kinds: Mapping[str, str]) -> str:
    """The whole page."""
    title, version = (escape(document["info"][key]) for key in ("title", "version"))
    prefix = document["servers"][0]["url"].rstrip("/")
    operations = [
        _operation(prefix + path, method, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]
    row = _row(document["components"]["schemas"]["Row"], kinds)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{title} <small>version {version}</small></h1>"
        f'<p><a href="{escape(prefix)}/openapi.json">OpenAPI document</a></p>'
        f"<h2>A row</h2>{row}<h2>Operations</h2>{''.join(operations)}"
        f"<script>{SCRIPT}</script></body></html>"
    )


def policy() -> str:
    """The page's Content-Security-Policy: its own style and script, requests to where it came from, nothing else."""
    style, script = (f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _row(row: dict[str, Any], kinds: Mapping[str, str]) -> str:
    """The fields of a row; any may be absent."""
    example = row["examples"][0]
    fields = (
        (_code(name), kinds[name], _takes(said), _code(json.dumps(example.get(name), ensure_ascii=False)))
        for name, said in row["properties"].items()
    )
    return _table(("field", "kind", "takes", "for example"), fields)


def _takes(said: dict[str, Any]) -> str:
    types = [kind for kind in said["type"] if kind != "null"]
    note = f" ({escape(said['description'])})" if "description" in said else ""
    return f"{' or '.join(types)}, or null{note}"


def _operation(path: str, method: str, said: dict[str, Any]) -> str:
    bodies = said.get("requestBody", {}).get("content", {"": {}})
    answers = ((_code(status), escape(each["description"]), _formats(each)) for status, each in _answers(said))
    parts = [
        f"<p>{escape(said['description'])}</p>" if "description" in said else "",
        *(_curl(path, method, said, media_type, body) for media_type, body in bodies.items()),
        *(_form(path, said, body["example"]) for body in bodies.values() if "example" in body),
        _table(("answer", "", "as"), answers),
    ]
    summary = f'<b class="{method}">{method.upper()}</b>{_code(path)}<span>{escape(said["summary"])}</span>'
    is_first = " open" if said["operationId"] == "predict" else ""
    return f"<details{is_first}><summary>{summary}</summary><div>{''.join(parts)}</div></details>"


def _answers(said: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(said["responses"].items())


def _formats(answer: dict[str, Any]) -> str:
    return " or ".join(_code(media_type) for media_type in answer.get("content", {}))


def _curl(path: str, method: str, said: dict[str, Any], media_type: str, body: dict[str, Any]) -> str:
    words = [f'"$ENDPOINT{path}"']
    if "security" in said:
        words.append('-H "authorization: Bearer $TOKEN"')
    if media_type:
        words.append(f"-H 'content-type: {media_type}'")
        sent = json.dumps(body["example"], ensure_ascii=False) if "example" in body else "@FILE"
        words.append(f"-d {shlex.quote(sent)}" if "example" in body else f"--data-binary {sent}")
    return f'<pre class="curl">{escape(" ".join(["curl", *words]))}</pre>'


def _form(path: str, said: dict[str, Any], example: dict[str, Any]) -> str:
    token = '<label>Token <input name="token" type="password" autocomplete="off"></label>'
    body = escape(json.dumps(example, indent=2, ensure_ascii=False))
    return (
        f'<form data-path="{escape(path)}">{token if "security" in said else ""}'
        f'<label>Body <textarea name="body" spellcheck="false">{body}</textarea></label>'
        "<button>Send</button><output></output></form>"
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells of rows are HTML."""
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
