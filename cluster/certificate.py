"""The certificate of an endpoint that speaks TLS: tried before it is served, and then the only one that is trusted.

Its files are the user's, and no part of a store.
"""

from __future__ import annotations

import ssl
import stat
import urllib.request
from pathlib import Path

from raymill.errors import SpecError
from raymill.safety_spec import TlsSpec


def certificate_of(tls: TlsSpec | None) -> str:
    """The certificate that the files show, in PEM; nothing without TLS.

    Raises SpecError where a client could not trust it, where it and the key don't fit, or where others may read that.
    """
    if tls is None:
        return ""
    _require_private(tls)
    try:
        return _shown(_server(tls), _client(cafile=tls.certificate))
    except ssl.SSLCertVerificationError as error:
        raise _unusable(tls, error.verify_message) from error
    except ssl.SSLError as error:
        why = error.reason.replace("_", " ").lower() if error.reason else "one is no PEM, or the key has a password"
        raise _unusable(tls, why) from error


def trusting(certificate: str) -> ssl.SSLContext | None:
    """For a client of the endpoint that shows this certificate, by whatever name it calls it; None without one."""
    return _client(cadata=certificate) if certificate else None


def direct(certificate: str = "") -> urllib.request.OpenerDirector:
    """For asking that endpoint, which is on this machine or in its cluster: by no proxy of the environment."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting(certificate))
    )


def _require_private(tls: TlsSpec) -> None:
    for name, path in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            Path(path).read_bytes()  # ssl doesn't say which of the two it can't read
            may = Path(path).stat().st_mode
        except OSError as error:
            raise SpecError(
                f"serve.tls.{name} is {path}, which can't be read: {error.strerror}.", "Name a file in PEM."
            ) from error
        if name == "key" and may & stat.S_IROTH:
            raise SpecError(f"Everybody on this machine may read serve.tls.key, {path}.", f"Type `chmod o-r {path}`.")


def _server(tls: TlsSpec) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key, password="")  # or a key with one would ask on the terminal
    return context


def _client(**trusted: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is called by its address here, and by its name elsewhere
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # no authority is asked who that is
    context.load_verify_locations(**trusted)
    return context


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """What a server shows to a client of the same process, in PEM."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    telling = server.wrap_bio(there, back, server_side=True)
    for side in (asking, telling) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = asking.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)


def _unusable(tls: TlsSpec, why: str) -> SpecError:
    return SpecError(
        f"serve.tls can't be used, {tls.certificate} and {tls.key}: {why}.",
        "Name a certificate that is valid now, and its own key without a password, both in PEM.",
    )
