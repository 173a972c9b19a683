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

CALLERS_TOKEN = "RAYMILL_TOKEN"


def require_guard(serve: ServeSpec) -> None:
    """Raises SpecError for an endpoint without tokens that other machines reach."""
    if isinstance(serve.tokens, TokensSpec) or is_loopback(serve.host):
        return
    raise SpecError(
        f"serve.host is {serve.host}, which others reach, and serve.tokens is {serve.tokens}.",
        "Leave serve.host out, or name a file of lines that `raymill token new NAME` makes: serve.tokens.file=PATH.",
    )


def require_guard_in_kubernetes(serve: ServeSpec) -> None:
    """Raises SpecError for an endpoint there of which it isn't said who may ask, or that is to speak TLS by itself."""
    if serve.tls is not None:
        raise SpecError(
            "serve.tls is set, and in Kubernetes a gateway speaks TLS, as in k8s/components/gateway.",
            "Leave it out there: serve.tls=null.",
        )
    if serve.tokens == "none":
        raise SpecError(
            "serve.tokens is none, and in Kubernetes an endpoint listens to all whom its NetworkPolicies let through.",
            "Write serve.tokens.file=tokens for tokens in a Secret, or serve.tokens=gateway where those are enough.",
        )


def callers_token(serve: ServeSpec, environ: Mapping[str, str]) -> str:
    """The token with which raymill itself asks, or nothing where none is asked for. Raises SpecError without one."""
    if not isinstance(serve.tokens, TokensSpec):
        return ""
    token = environ.get(CALLERS_TOKEN, "")
    if not token:
        raise SpecError(
            f"--once asks the endpoint, which takes tokens only, and {CALLERS_TOKEN} is not set.",
            f"Set {CALLERS_TOKEN} to one that serve.tokens admits, or leave --once out.",
        )
    return token


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
