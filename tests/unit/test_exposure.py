"""Where an endpoint may listen, and with what guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.exposure import callers_token, require_guard, require_guard_in_kubernetes, require_usable
from cluster.loopback import is_loopback
from raymill.bearer_token import line_of
from raymill.errors import DataError, SpecError
from raymill.spec import ServeSpec
from tests.certificates import leaf, write

EVERYBODY = ["0.0.0.0", "::", "192.168.1.7", "fe80::1", "models.example.org", ""]
NOBODY = ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"]


def _serve(**serve: Any) -> ServeSpec:
    return ServeSpec.model_validate(serve)


@pytest.mark.parametrize("host", EVERYBODY)
def test_what_others_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", NOBODY)
def test_without_tokens_an_endpoint_listens_on_loopback_alone(host: str) -> None:
    assert is_loopback(host)
    for tokens in ("none", "gateway"):
        require_guard(_serve(host=host, tokens=tokens))


@pytest.mark.parametrize("tokens", ["none", "gateway"])
@pytest.mark.parametrize("host", [host for host in EVERYBODY if host])
def test_where_others_reach_it_it_takes_tokens(host: str, tokens: str) -> None:
    with pytest.raises(SpecError) as caught:
        require_guard(_serve(host=host, tokens=tokens))
    assert caught.value.what == f"serve.host is {host}, which others reach, and serve.tokens is {tokens}."
    require_guard(_serve(host=host, tokens={"file": "tokens"}))
    require_guard(_serve(host=host, tokens={"env": "TOKENS"}))


def test_tokens_and_certificates_are_tried_before_anything_starts(tmp_path: Path) -> None:
    tokens, tls = tmp_path / "tokens", write(tmp_path, leaf())
    serve = _serve(host="0.0.0.0", tokens={"file": str(tokens)}, tls=tls)
    with pytest.raises(DataError, match="can't be read"):
        require_usable(serve, {})
    tokens.write_text(line_of("shop", "token"))
    assert require_usable(serve, {}).startswith("-----BEGIN CERTIFICATE-----")
    with pytest.raises(DataError, match="variable T on"):
        require_usable(_serve(tokens={"env": "T"}), {})
    assert require_usable(_serve(tokens={"env": "T"}), {"T": tokens.read_text()}) == ""
    Path(tls.key).unlink()
    with pytest.raises(SpecError, match=r"serve\.tls\.key"):
        require_usable(serve, {})


def test_in_kubernetes_it_is_said_who_may_ask_and_a_gateway_speaks_tls(tmp_path: Path) -> None:
    for tokens in ("gateway", {"file": "t"}, {"env": "T"}):
        require_guard_in_kubernetes(_serve(tokens=tokens))
    with pytest.raises(SpecError, match=r"serve\.tokens is none"):
        require_guard_in_kubernetes(_serve())
    with pytest.raises(SpecError, match="a gateway speaks TLS"):
        require_guard_in_kubernetes(_serve(tokens="gateway", tls=write(tmp_path, leaf())))


def test_raymill_asks_with_the_callers_own_token() -> None:
    assert callers_token(_serve(), {"RAYMILL_TOKEN": "mine"}) == ""
    assert callers_token(_serve(tokens={"env": "T"}), {"RAYMILL_TOKEN": "mine"}) == "mine"
    with pytest.raises(SpecError, match="RAYMILL_TOKEN is not set"):
        callers_token(_serve(tokens={"env": "T"}), {"T": line_of("shop", "token")})
