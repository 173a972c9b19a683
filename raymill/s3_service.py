"""The S3 service: which one the environment names, and the clients that reach it.

boto3 finds endpoint, region and credentials in the usual AWS environment or profile, and renews credentials that
end; what it finds is handed to pyarrow, so that the calls of the one and the reads and writes of the other go to one
place as one user, and neither asks a metadata service twice.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from raymill.errors import StoreError

CONNECTS_WITHIN_S = 5
ANSWERS_WITHIN_S = 30  # silence within an answer counts too
_TRIES = 2
# A check is one call after another, each with these bounds.
_CHECK_CONNECTS_WITHIN_S = 3
CHECK_ANSWERS_WITHIN_S = 4
_CONNECTIONS = 32
_SET_THEM = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, where this runs."
_AWS = (".amazonaws.com", ".amazonaws.com.cn")


class S3Service:
    """The S3 service that the environment names; its clients may be used by many threads."""

    def __init__(self) -> None:
        import boto3

        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        self._credentials = self._session.get_credentials()
        if self._credentials is None:
            raise StoreError("No AWS credentials were found, in the environment or a profile.", _SET_THEM)
        self._filesystems: dict[Any, pafs.S3FileSystem] = {}
        self._lock = threading.Lock()
        self.client = self._made(CONNECTS_WITHIN_S, ANSWERS_WITHIN_S, _TRIES)
        self.endpoint: str = self.client.meta.endpoint_url

    @functools.cached_property
    def hurried(self) -> Any:
        """A client that tries once, for a few seconds."""
        return self._made(_CHECK_CONNECTS_WITHIN_S, CHECK_ANSWERS_WITHIN_S, 1)

    def filesystem(self, bucket: str) -> pafs.S3FileSystem:
        keys = self._credentials.get_frozen_credentials()
        with self._lock:
            region = self._region(bucket)
            found = self._filesystems.get((region, keys))
            if found is None:
                # Those that have ended are dropped.
                self._filesystems = {known: fs for known, fs in self._filesystems.items() if known[1] == keys}
                found = self._filesystems[region, keys] = self._opened(region, keys)
        return found

    def _made(self, connect_s: float, read_s: float, tries: int) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"total_max_attempts": tries, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            # Not every S3 service knows the checksums that boto3 adds by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self._session.client("s3", region_name=self._session.region_name or "us-east-1", config=config)

    def _region(self, bucket: str) -> str:
        if self._session.region_name is None and is_of_aws(self.endpoint):
            return _region_of(bucket)
        return str(self._session.region_name or "us-east-1")

    def _opened(self, region: str, keys: Any) -> pafs.S3FileSystem:
        scheme, _, host = self.endpoint.rstrip("/").partition("://")
        return pafs.S3FileSystem(
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            session_token=keys.token,
            region=region,
            scheme=scheme,
            endpoint_override=None if is_of_aws(self.endpoint) else host,
            connect_timeout=CONNECTS_WITHIN_S,
            request_timeout=ANSWERS_WITHIN_S,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
            allow_delayed_open=True,  # a small object is one request instead of three
        )


def is_of_aws(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(_AWS)


def named_endpoint() -> str:
    """The address that the environment or a profile names, AWS's where neither does; asks nobody, and needs no keys.

    Raises StoreError for settings that boto3 can't use.
    """
    import boto3

    with _usable():
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        made = session.client("s3", region_name=session.region_name or "us-east-1")
    return str(made.meta.endpoint_url)


@functools.lru_cache
def _region_of(bucket: str) -> str:
    region: str = pafs.resolve_s3_region(bucket)
    return region


_MAKING = threading.Lock()


def service() -> S3Service:
    """The service as the environment names it now; one per process unless the environment changes."""
    named = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _MAKING, _usable():
        return _service_named(named)


@functools.lru_cache(maxsize=4)
def _service_named(named: tuple[tuple[str, str], ...]) -> S3Service:
    return S3Service()


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    """Says of settings that boto3 can't use which ones to mend."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except (BotoCoreError, ValueError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"The AWS settings of this environment can't be used: {error}.".replace("..", "."),
            "Correct AWS_PROFILE, AWS_ENDPOINT_URL, AWS_REGION or the AWS configuration file.",
        ) from error
