from __future__ import annotations

import pytest
from ray.serve.config import HTTPOptions, gRPCOptions

from cluster.front import _elsewhere
from cluster.listening import Listening
from raymill.safety_spec import TlsSpec
from raymill.spec import ServeSpec
from raymill.spec_text import parse_spec
from serving.open_inference import add_service

TLS = TlsSpec(certificate="/etc/tls/tls.crt", key="/etc/tls/tls key")
SPEC = "name: a\ntask: {type: regression, target: y}\ndata: {source: x.csv}\n"


@pytest.mark.parametrize("tls", [None, TLS])
def test_serve_takes_its_options(tls: TlsSpec | None) -> None:
    options = HTTPOptions(**Listening.wanted(ServeSpec(host="::1", port=81, tls=tls)).options())
    assert (options.host, options.port, options.keep_alive_timeout_s) == ("::1", 81, 20)
    assert (options.ssl_certfile, options.ssl_keyfile) == ((tls.certificate, tls.key) if tls else (None, None))


def test_it_is_shown_by_its_certificate_and_never_by_its_key() -> None:
    assert str(Listening(host="h", port=1, tls=TLS)) == "h:1 with /etc/tls/tls.crt"
    assert str(Listening(host="h", port=1, tls=None)) == "h:1"
    assert str(Listening(host="h", port=1, tls=None, grpc_port=2)) == "h:1, gRPC on 2"


def test_grpc_is_served_where_a_port_is_given_and_tells_nobody_of_itself() -> None:
    assert Listening.wanted(ServeSpec()).grpc_options() is None
    options = gRPCOptions(**Listening.wanted(ServeSpec(grpc_port=9001)).grpc_options() or {})
    assert (options.port, options.enable_reflection) == (9001, False)
    assert options.grpc_servicer_func_callable == [add_service]


@pytest.mark.parametrize("tls", [None, TLS])
def test_the_remedy_can_be_typed_and_asks_for_what_runs(tls: TlsSpec | None) -> None:
    import shlex

    running = Listening(host="0.0.0.0", port=81, tls=tls, grpc_port=None if tls else 82)
    error = _elsewhere(Listening.wanted(ServeSpec()), running)
    typed = error.fix.removeprefix("Set ").partition(", and a serve.route")[0]
    assert Listening.wanted(parse_spec(SPEC, "s.yaml", shlex.split(typed)).serve) == running
