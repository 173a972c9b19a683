"""A bucket: what its URI may hold, and who is asked for the rest."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from raymill.bucket import bucket_of
from raymill.errors import SpecError, StoreError
from raymill.s3_service import service


@pytest.fixture
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An AWS environment in which nothing is set, and no metadata service is asked."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    ("uri", "name", "key"),
    [
        ("s3://lake", "lake", ""),
        ("s3://lake/", "lake", ""),
        ("s3://lake/a b/c=1/", "lake", "a b/c=1"),
        ("s3://my.lake-1/part-?.csv", "my.lake-1", "part-?.csv"),
        ("s3://lake/a%20b@c#d", "lake", "a%20b@c#d"),
    ],
)
def test_a_uri_is_a_bucket_and_a_key_as_it_is_written(uri: str, name: str, key: str) -> None:
    bucket, found = bucket_of(uri)
    assert (bucket.name, found) == (name, key)


@pytest.mark.parametrize(
    "uri",
    ["s3://key:secret@lake/x", "s3://key@lake", "s3://lake/x?endpoint_override=host:1", "s3://lake/x?region=eu&a=b"],
)
def test_keys_and_settings_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(SpecError, match="Write s3://lake/PREFIX without keys or settings") as caught:
        bucket_of(uri)
    assert "secret" not in str(caught.value) and "AWS_ENDPOINT_URL" in caught.value.fix


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://@/x", "s3://?a=b"])
def test_a_uri_without_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(SpecError, match="with the name of a bucket"):
        bucket_of(uri)


@pytest.mark.usefixtures("_no_aws")
def test_missing_credentials_are_said_with_what_to_set() -> None:
    with pytest.raises(StoreError, match="No AWS credentials") as caught:
        service()
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


@pytest.mark.usefixtures("_no_aws")
def test_a_profile_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreError, match=r"profile \(nobody\) could not be found"):
        service()


@pytest.mark.usefixtures("_no_aws")
def test_a_profile_gives_keys_endpoint_and_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = k\naws_secret_access_key = s\n")
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-north-1\nendpoint_url = http://s3.lab:9000\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    found = service()
    assert found.endpoint == "http://s3.lab:9000"
    assert found.filesystem("lake").region == "eu-north-1"


@pytest.mark.usefixtures("_no_aws")
def test_a_filesystem_is_made_once_until_the_environment_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    first = service().filesystem("lake")
    assert service().filesystem("pond") is first
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:10")
    assert service().filesystem("lake") is not first
    assert service().endpoint == "http://127.0.0.1:10"


class Unconditional:
    """A service, and its client, that refuses every condition; another process writes whenever this one has."""

    def __init__(self, then: bytes | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self._then = then

    @property
    def client(self) -> Unconditional:
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **conditions: str) -> None:
        if conditions:
            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise ClientError(answer, "PutObject")
        self.objects[Key] = self._then or Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key]), "ETag": "e"}


@pytest.mark.parametrize(("then", "is_ours"), [(None, True), (b"theirs", False)])
def test_where_a_service_knows_no_conditions_the_last_write_stands(
    monkeypatch: pytest.MonkeyPatch, then: bytes | None, is_ours: bool
) -> None:
    service = Unconditional(then)
    monkeypatch.setattr("raymill.bucket.service", lambda: service)
    monkeypatch.setattr("raymill.bucket._SETTLES_S", 0.0)
    assert bucket_of("s3://lake")[0].swap("a", None, b"ours") is is_ours
