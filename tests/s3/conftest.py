"""One real S3 server for the tests of a process, and the environment of its users."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest

from raymill.store import Store
from tests.s3.server import ADMIN, WRITER, Server, User
from tests.unit.conftest import _no_ray

__all__ = ["_no_ray"]

BUCKET = "lake"
UseAs = Callable[[User], None]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("s3"))
    try:
        running.start()
        admin = boto3.Session(ADMIN.name, ADMIN.secret, region_name="us-east-1")
        admin.client("s3", endpoint_url=running.endpoint).create_bucket(Bucket=BUCKET)
        yield running
    finally:
        running.end()


@pytest.fixture
def act_as(server: Server, monkeypatch: pytest.MonkeyPatch) -> UseAs:
    """Makes this process another user of the server."""

    def act(user: User) -> None:
        for name, value in user.environment(server.endpoint).items():
            monkeypatch.setenv(name, value)

    return act


@pytest.fixture
def store(server: Server, act_as: UseAs) -> Store:
    """An empty place of the bucket, reached as one who may write there; the server runs."""
    if not server.is_running:
        server.start()
    act_as(WRITER)
    return Store(f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}")
