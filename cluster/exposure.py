"""Exposure: an endpoint listens where others reach it only with a guard, and with files that can be used.

All of it is looked at before anything starts; replicas look at their tokens again.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.certificate import certificate_of
from cluster.loopback import is_loopback
from raymill.errors import SpecError
from raymill.safety_spec import TokensSpec
from raymill.spec import ServeSpec
from raymill.token_place import digests_of_file, digests_of_variable


def require_guard(serve: ServeSpec) -> None:
    """Raises SpecError for an endpoint without tokens that other machines reach."""
    if isinstance(serve.tokens, TokensSpec) or is_loopback(serve.host):
        return
    raise SpecError(
        f"serve.host is {serve.host}, which others reach, and serve.tokens is {serve.tokens}.",
        "Leave serve.host out, or name a file of lines that `raymill token new NAME` makes: serve.tokens.file=PATH.",
    )


def require_usable(serve: ServeSpec, environ: Mapping[str, str]) -> str:
    """The certificate that the endpoint will show, in PEM, or nothing without TLS.

    Raises SpecError, and DataError for tokens that can't be read here or are none.
    """
    require_guard(serve)
    if isinstance(serve.tokens, TokensSpec):
        if serve.tokens.file is not None:
            digests_of_file(serve.tokens.file)
        else:
            digests_of_variable(str(serve.tokens.env), environ)
    return certificate_of(serve.tls)
