"""The headers by which an answer tells browsers and caches to do nothing with it but show it.

Source: OWASP's REST Security Cheat Sheet. A page that a browser is meant to run says its own policy, which stays.
"""

from __future__ import annotations

from starlette.responses import Response

SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


def add_safe_headers(response: Response) -> None:
    """Adds those that the response doesn't have; a second time it adds none."""
    said = {name for name, _ in response.raw_headers}
    response.raw_headers += [header for header in SAFE_HEADERS if header[0] not in said]
