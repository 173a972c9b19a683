"""An s3:// URI: a bucket's name and a key or prefix as they are written, and nothing else.

Keys, endpoint and region are the environment's: a URI that holds one would put it into specs, bundles and logs.
"""

from __future__ import annotations

import re

SCHEME = "s3://"
_URI = re.compile(r"s3://(?P<user>[^/]*@)?(?P<name>[^/?#@]*)(/(?P<prefix>.*))?")
_SETTING = re.compile(r"\?\w+=")


def parts_of(uri: str) -> tuple[str, str]:
    """The bucket's name and the key behind it. Raises ValueError, whose text holds nothing secret."""
    match = _URI.fullmatch(uri)
    if match and match["name"] and (match["user"] or _SETTING.search(uri)):
        raise ValueError(
            f"write s3://{match['name']}/PREFIX without keys or settings, which are taken from AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION, or from a profile"
        )
    if match is None or not match["name"]:
        raise ValueError("write s3://BUCKET/PREFIX, with the name of a bucket")
    return match["name"], (match["prefix"] or "").strip("/")
