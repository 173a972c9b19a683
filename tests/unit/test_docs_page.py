"""The page shows the document, runs its own script only, and takes no name for HTML."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

from raymill.schema import Column, Schema
from serving.docs_page import docs_handler, docs_page
from serving.guarded_document import guarded
from serving.model import Model
from serving.openapi import openapi
from serving.protocols_document import with_protocols
from tests.served import ALL_KINDS, YES_NO, FirstColumn, arguments, ask

BAD = "</script><b onclick='x'>\"&"


def document(schema: Schema = ALL_KINDS, example: dict[str, Any] | None = None, **guard: bool) -> dict[str, Any]:
    model = Model(predictor=FirstColumn(schema, YES_NO), lineage={}, example=example or {"size": 0.5})
    before = with_protocols(openapi("demo", "7", "/models/demo", schema, YES_NO), arguments(), model)
    return guarded(before, takes_tokens=guard.get("takes_tokens", False))


class Page(HTMLParser):
    """The elements of a page, with their attributes and the text right in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def texts(self, tag: str) -> list[str]:
        return ["".join(texts) for name, _, texts in self.found if name == tag]


def test_every_operation_and_every_field_is_shown() -> None:
    codes = Page(docs_page(document(), ALL_KINDS.kinds)).texts("code")
    assert {f"/models/demo{path}" for path in document()["paths"]} <= set(codes)
    assert set(ALL_KINDS.kinds) <= set(codes)


def test_the_policy_names_the_style_and_the_script_that_are_there_and_no_other_host() -> None:
    response = ask(docs_handler(document(), ALL_KINDS.kinds))
    policy, html = response.headers["content-security-policy"], bytes(response.body).decode()
    page = Page(html)
    for tag in ("style", "script"):
        (text,) = page.texts(tag)
        assert f"{tag}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?://", html)
    assert not {name for _, attributes, _ in page.found for name in attributes} & {"src", "style", "onclick"}


def test_a_name_that_looks_like_html_is_text() -> None:
    schema = Schema(columns=(Column(name=BAD, kind="category"),))
    page = Page(docs_page(document(schema, {BAD: BAD}), schema.kinds))
    assert BAD in page.texts("code")
    assert len(page.texts("script")) == 1
    assert all("onclick" not in attributes for _, attributes, _ in page.found)


def test_a_line_for_the_shell_says_the_whole_request() -> None:
    page = Page(docs_page(document(example={"size": 0.5, "colour": "O'Hare"}), ALL_KINDS.kinds))
    lines = page.texts("pre")
    assert lines[0] == (
        """curl "$ENDPOINT/models/demo/v1/demo/predict" -H 'content-type: application/json' """
        """-d '{"row": {"size": 0.5, "colour": "O'"'"'Hare"}}'"""
    )
    assert lines[1].endswith("-H 'content-type: application/vnd.apache.arrow.stream' --data-binary @FILE")


def test_a_token_is_asked_for_where_one_is_needed() -> None:
    with_tokens = docs_page(document(takes_tokens=True), ALL_KINDS.kinds)
    assert 'name="token"' in with_tokens
    assert Page(with_tokens).texts("pre")[0].count('-H "authorization: Bearer $TOKEN"') == 1
    assert 'name="token"' not in docs_page(document(), ALL_KINDS.kinds)
