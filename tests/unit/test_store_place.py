"""Where a cluster's store is, and whether this machine means the same one by its URI."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.store_place import StorePlace
from raymill.errors import ResourceError

URI = "s3://raymill/far"
LOCAL = "http://seaweedfs:8333"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)


def place(there: str | None, here: str, monkeypatch: pytest.MonkeyPatch, name: str = "AWS_ENDPOINT_URL") -> StorePlace:
    if here:
        monkeypatch.setenv(name, here)
    said: dict[str, Any] | None = None if there is None else {"data": {"AWS_ENDPOINT_URL": there} if there else {}}
    return StorePlace.of(said)


@pytest.mark.parametrize(
    ("there", "here", "is_reached"),
    [
        ("", "", True),
        ("https://s3.eu-central-1.amazonaws.com", "", True),
        (LOCAL, LOCAL, True),
        (LOCAL, f"{LOCAL}/", True),
        (LOCAL, "http://localhost:9000", True),
        (LOCAL, "", False),
        (LOCAL, "http://minio.example.org", False),
        ("", "http://127.0.0.1:9000", False),
        ("", "http://minio.example.org", False),
        (None, "http://minio.example.org", True),
        (None, "", True),
    ],
)
def test_the_same_service_or_one_that_is_forwarded_is_reached(
    there: str | None, here: str, is_reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = place(there, here, monkeypatch)
    assert found.has(URI) is is_reached
    assert found.has("a folder")


def test_what_boto_reads_counts_and_no_keys_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place("http://other", "http://other", monkeypatch, "AWS_ENDPOINT_URL_S3").has(URI)


def test_settings_that_can_not_be_used_are_left_to_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    assert place(LOCAL, "", monkeypatch).has(URI)


@pytest.mark.parametrize(
    ("there", "here", "way"),
    [
        (
            LOCAL,
            "",
            "`kubectl -n team port-forward service/seaweedfs 8333` beside it, and set AWS_ENDPOINT_URL=http://1",
        ),
        ("https://s3.minio.svc.cluster.local", "", "`kubectl -n minio port-forward service/s3 443` beside it"),
        ("https://s3.example.org", "", "Set AWS_ENDPOINT_URL=https://s3.example.org here"),
        ("", "http://minio.example.org", "Take AWS_ENDPOINT_URL away here"),
    ],
)
def test_the_way_to_a_store_that_is_elsewhere_is_told(
    there: str, here: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResourceError, match="s3://raymill/far is at") as caught:
        place(there, here, monkeypatch).require(URI, "team")
    assert way in caught.value.fix
