"""A bucket: how an s3:// URI is reached, and what is asked of it about its objects.

Endpoint, region and credentials are the environment's: a URI that holds any of them is refused. It waits for no
service: a call that fails is an OSError; one of boto3's is `Unanswered` where the service is away or too busy.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raymill.errors import SpecError, StoreError, StoreRefused
from raymill.s3_service import CHECK_ANSWERS_WITHIN_S, service
from raymill.s3_uri import SCHEME, parts_of

_DELETES_AT_ONCE = 1000  # S3's own bound
_SETTLES_S = 2.0  # within which others that have found the same write too
_TRIED = re.compile(r" \(reached max retries: \d+\)")
_GONE = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
# The same of pyarrow, whose errors are plain OSErrors; it knows some codes by names of its own.
_DENIED_IN_TEXT = re.compile(
    r"AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|UNKNOWN \(HTTP status 403\))"
    rf"|Unable to parse ExceptionName: ({'|'.join(sorted(_DENIED))})\b"
)
_OVERTAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}


class Unanswered(OSError):
    """The service is not there, doesn't answer, or says that it can't just now."""


class Refused(OSError):
    """The service answered that this user may not."""


def is_refused(error: OSError) -> bool:
    """Whether an error says that this user may not: neither waiting nor trying again mends that."""
    return isinstance(error, Refused) or bool(_DENIED_IN_TEXT.search(str(error)))


class _Unmet(OSError):
    """The service answered that a condition isn't met, or that another request was there first."""


class _Unknown(OSError):
    """The service answered that it doesn't know conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object by its key; `version` is its ETag, which changes with its content, `changed_ns` in whole seconds."""

    key: str
    size_bytes: int
    changed_ns: int
    version: str

    @classmethod
    def of(cls, key: str, said: dict[str, Any], size: str) -> StoredObject:
        # A listing tells fractions of a second, a question for one object doesn't.
        changed_ns = int(said["LastModified"].timestamp()) * 10**9
        return cls(key=key, size_bytes=said[size], changed_ns=changed_ns, version=said["ETag"].strip('"'))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket by its name; keys are whole, without a slash in front."""

    name: str

    @property
    def uri(self) -> str:
        return f"{SCHEME}{self.name}"

    def open(self, key: str) -> pa.NativeFile:
        """An object to be read at any place. A request to open it, and one for each read."""
        with _translated():
            return service().filesystem(self.name).open_input_file(f"{self.name}/{key}")

    def write(self, key: str, data: pa.Buffer) -> None:
        """Makes an object of bytes, whole or not at all; of a small one (10 MB) in one request."""
        with _translated(), service().filesystem(self.name).open_output_stream(f"{self.name}/{key}") as sink:
            sink.write(data)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its ETag, None if there is none, in one request."""
        try:
            with _translated():
                said = service().client.get_object(Bucket=self.name, Key=key)
                return said["Body"].read(), said["ETag"]
        except FileNotFoundError:
            return None

    def swap(self, key: str, version: str | None, data: bytes | None) -> bool:
        """Writes a small object, or deletes it (None), if it is of that version now; None: if there is none.

        The service decides, so that of several at once one succeeds. With one that knows no conditions the last does,
        and all wait for that one.
        """
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        try:
            self._put(key, data, condition)
        except (_Unmet, FileNotFoundError):
            return False
        except _Unknown:
            self._put(key, data, {})
            time.sleep(_SETTLES_S if data is not None else 0)
            left = self.read(key)
            return (None if left is None else left[0]) == data
        return True

    def _put(self, key: str, data: bytes | None, condition: dict[str, str]) -> None:
        with _translated():
            if data is None:
                service().client.delete_object(Bucket=self.name, Key=key, **condition)
            else:
                service().client.put_object(Bucket=self.name, Key=key, Body=data, **condition)

    def stat(self, key: str) -> StoredObject | None:
        """What is known of one object, None if there is none, in one request."""
        if not key:
            return None
        try:
            with _translated():
                return StoredObject.of(key, service().client.head_object(Bucket=self.name, Key=key), "ContentLength")
        except FileNotFoundError:
            return None

    def objects(self, folder: str, recursive: bool = True) -> Iterator[StoredObject]:
        """The objects whose keys begin with `folder/`, a request per thousand; markers of empty folders are none."""
        for page in self._pages(folder, {} if recursive else {"Delimiter": "/"}):
            for said in page.get("Contents", ()):
                if not said["Key"].endswith("/"):
                    yield StoredObject.of(said["Key"], said, "Size")

    def delete(self, key: str) -> None:
        """Deletes the object of that key and all below `key/`, markers of empty folders too; absent is fine."""
        below = (said["Key"] for page in self._pages(key, {}) for said in page.get("Contents", ()))
        keys = itertools.chain([key] if key else [], below)
        while batch := list(itertools.islice(keys, _DELETES_AT_ONCE)):
            with _translated():
                if len(batch) == 1:
                    service().client.delete_object(Bucket=self.name, Key=batch[0])
                    continue
                objects = [{"Key": each} for each in batch]
                answer = service().client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                kind = Refused if error["Code"] in _DENIED else OSError
                raise kind(f"{error['Key']} was not deleted: {error.get('Message') or error['Code']}")

    def check(self, folder: str) -> None:
        """Whether an object may be written, read and deleted in a folder now: StoreError says at once why not."""
        probe = f"{folder}/.check-{uuid.uuid4().hex[:8]}".removeprefix("/")
        client = service().hurried
        calls: dict[str, Callable[[], Any]] = {
            "reached": lambda: client.head_bucket(Bucket=self.name),
            "written to": lambda: client.put_object(Bucket=self.name, Key=probe, Body=b"raymill"),
            "read": lambda: client.get_object(Bucket=self.name, Key=probe)["Body"].read(),
            "deleted from": lambda: client.delete_object(Bucket=self.name, Key=probe),
        }
        for verb, call in calls.items():
            try:
                with _translated():
                    call()
            except OSError as error:
                raise self._refusal(verb, error) from error

    def _refusal(self, verb: str, error: OSError) -> StoreError:
        endpoint = service().endpoint
        if isinstance(error, Unanswered):
            fix = "Start it, or correct AWS_ENDPOINT_URL; then type the command again."
            late = f" within {CHECK_ANSWERS_WITHIN_S} s" if "timeout" in str(error).lower() else ""
            return StoreError(f"{self.uri}: the S3 service at {endpoint} doesn't answer{late}: {error}.", fix)
        if isinstance(error, FileNotFoundError):
            fix = "Correct its name, or make it; then type the command again."
            return StoreError(f"There is no bucket {self.uri} at {endpoint}.", fix)
        if isinstance(error, Refused):
            fix = "Use the keys or AWS_PROFILE of a user who may list, read, write and delete there."
            return StoreRefused(f"{self.uri} may not be {verb} by this user: {error}.", fix)
        return StoreError(f"{self.uri} could not be {verb}: {error}.", "Mend that, and type the command again.")

    def _pages(self, folder: str, how: dict[str, str]) -> Iterator[dict[str, Any]]:
        with _translated():
            pages = service().client.get_paginator("list_objects_v2")
            prefix = f"{folder}/" if folder else ""
            yield from pages.paginate(Bucket=self.name, Prefix=prefix, **how)


def bucket_of(uri: str) -> tuple[Bucket, str]:
    """The bucket of an s3:// URI and the key or prefix behind its name. Raises SpecError for what else it holds."""
    try:
        name, key = parts_of(uri)
    except ValueError as error:
        text = str(error)
        raise SpecError("A URI names no place in a bucket.", f"{text[:1].upper()}{text[1:]}.") from error
    return Bucket(name=name), key


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Makes boto3's errors OSErrors, sorted by whether waiting may mend them."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _said(error) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.MetadataRetrievalError) as error:
        kind = OSError if isinstance(error, exceptions.SSLError) else Unanswered
        raise kind(str(error).rstrip(".")) from error
    except exceptions.BotoCoreError as error:
        raise OSError(str(error).rstrip(".")) from error


def _said(error: Any) -> OSError:
    """A service's answer that it won't, as an OSError of a kind."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = _TRIED.sub("", str(error)).rstrip(".")
    if code in _BUSY or status in _BUSY_STATUS:
        return Unanswered(text)
    if code in _DENIED or status == 403:
        return Refused(text)
    if code in _OVERTAKEN or status == 412:
        return _Unmet(text)
    if status == 501:
        return _Unknown(text)
    return FileNotFoundError(text) if code in _GONE or code == "NoSuchBucket" else OSError(text)
