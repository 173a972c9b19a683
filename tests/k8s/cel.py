"""CEL: the expressions of CRDs and admission policies, evaluated as the API server does.

By `cel-expr-python`, the CEL project's own implementation in C++, with the extensions that Kubernetes turns on and it
has (bindings, optionals, strings, math). What Kubernetes adds beyond them is added here as far as our policies and the
CRDs of the kinds that we use ask for it. Values are untyped (`dyn`): a misspelt field is an error when it is met.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

VARIABLES = (
    "self",
    "oldSelf",
    "object",
    "oldObject",
    "request",
    "params",
    "namespaceObject",
    "variables",
    "authorizer",
)


class CelError(Exception):
    """An expression that can't be compiled, or met an error."""


def evaluate(expression: str, **variables: Any) -> Any:
    """The value of an expression. Raises CelError."""
    found = _compiled(expression).eval(data={**dict.fromkeys(VARIABLES), **variables})
    if found.type() == cel.Type.ERROR:
        raise CelError(str(found.plain_value()))
    return found.plain_value()


@functools.cache
def _compiled(expression: str) -> Any:
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        raise CelError(f"{expression!r} doesn't compile: {error}") from error


@functools.cache
def _environment() -> Any:
    extensions = [ext_bindings.ExtBindings(), ext_math.ExtMath(), ext_optional.ExtOptional(), ext_strings.ExtStrings()]
    of_text = cel.Overload("is_ip_string", cel.Type.BOOL, [cel.Type.STRING], impl=_is_ip)
    return cel.NewEnv(
        variables=dict.fromkeys(VARIABLES, cel.Type.DYN),
        extensions=extensions,
        functions=[cel.FunctionDecl("isIP", [of_text])],
    )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
