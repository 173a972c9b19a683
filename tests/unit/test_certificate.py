"""Certificates that are tried before they are served."""

from __future__ import annotations

import http.server
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.certificate import certificate_of, trusting
from cluster.endpoint_record import health_of
from raymill.errors import SpecError
from raymill.safety_spec import TlsSpec
from tests.certificates import authority, leaf, write


@pytest.fixture
def tls(tmp_path: Path) -> TlsSpec:
    return write(tmp_path, leaf())


def test_what_is_shown_is_the_certificate_and_without_tls_none(tls: TlsSpec) -> None:
    assert certificate_of(tls) == ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(Path(tls.certificate).read_text()))
    assert certificate_of(None) == ""
    assert trusting("") is None


def test_one_that_an_authority_vouches_for_is_trusted_by_itself(tmp_path: Path) -> None:
    root = authority()
    tls = write(tmp_path, leaf(by=root), root)
    assert certificate_of(tls) == Path(tls.certificate).read_text().split("-----END CERTIFICATE-----\n")[0] + (
        "-----END CERTIFICATE-----\n"
    )


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)])
def test_one_that_is_not_valid_now_is_refused(days: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"can't be used.*certificate (has expired|is not yet valid)"):
        certificate_of(write(tmp_path, leaf(days=days)))


def test_a_key_of_another_one_is_refused(tls: TlsSpec, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", leaf())
    with pytest.raises(SpecError, match="key values mismatch"):
        certificate_of(TlsSpec(certificate=tls.certificate, key=other.key))


def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the key has a password"):
        certificate_of(write(tmp_path, leaf(), password=b"secret"))


def test_what_is_no_pem_or_not_there_is_refused(tls: TlsSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"serve\.tls\.key is .*no-such, which can't be read: No such file"):
        certificate_of(TlsSpec(certificate=tls.certificate, key=str(tmp_path / "no-such")))
    Path(tls.certificate).write_text("certificate")
    with pytest.raises(SpecError, match="one is no PEM"):
        certificate_of(tls)


def test_a_key_that_everybody_may_read_is_refused_with_the_remedy(tls: TlsSpec) -> None:
    Path(tls.key).chmod(0o644)
    with pytest.raises(SpecError, match="Everybody on this machine may read") as caught:
        certificate_of(tls)
    assert caught.value.fix == f"Type `chmod o-r {tls.key}`."
    Path(tls.key).chmod(0o640)
    assert certificate_of(tls)


@pytest.fixture
def served(tls: TlsSpec) -> Iterator[str]:
    """The URL of a server that shows the certificate and says that it is well."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"name": "demo"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_raymills_own_check_trusts_that_certificate_by_whatever_name_and_no_other(
    tls: TlsSpec, served: str, tmp_path: Path
) -> None:
    assert health_of(served, certificate_of(tls)) == {"name": "demo"}
    (tmp_path / "other").mkdir()
    assert health_of(served, certificate_of(write(tmp_path / "other", leaf()))) is None
    assert health_of(served) is None
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(served)
