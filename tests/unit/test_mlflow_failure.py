"""A failure of MLflow's client: what may pass is told from what stays, by the errors that its libraries raise."""

from __future__ import annotations

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import OperationalError

from raymill.mlflow_failure import gist, is_refused, may_pass


def wrapped(cause: Exception) -> MlflowException:
    """As MLflow's HTTP client raises what `requests` raised."""
    found = MlflowException(f"API request to http://host/api failed with exception {cause}")
    found.__context__ = cause
    return found


def answer(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Error", response=response)


def of_s3(status: int) -> ClientError:
    return ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


PASSES = [
    wrapped(requests.ConnectionError("Connection refused")),
    wrapped(requests.ReadTimeout("timed out")),
    wrapped(requests.exceptions.RetryError("too many 503 error responses")),
    answer(500),
    answer(503),
    RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the database is away"}),
    MlflowException("API request to endpoint /api failed with error code 502 != 200. Response body: ''"),
    EndpointConnectionError(endpoint_url="http://s3"),
    of_s3(503),
    OperationalError("SELECT 1", None, Exception("server closed the connection")),
]
STAYS = [
    wrapped(requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")),
    answer(403),
    RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}),
    RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}),
    MlflowException("API request to endpoint /api failed with error code 401 != 200. Response body: ''"),
    MlflowException("The run must be in the 'active' state."),
    of_s3(403),
    FileNotFoundError("no such file"),
]


@pytest.mark.parametrize("error", PASSES, ids=repr)
def test_nobody_there_or_too_busy_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize("error", STAYS, ids=repr)
def test_a_refusal_stays(error: Exception) -> None:
    assert not may_pass(error)


def test_a_user_who_may_not_is_told_from_a_wrong_request() -> None:
    assert [is_refused(error) for error in STAYS] == [False, True, False, False, True, False, True, False]
    assert not any(is_refused(error) for error in PASSES)


def test_the_gist_is_one_line_without_a_password() -> None:
    text = "HTTPConnectionPool(host='h', port=1): Max retries (Caused by NewConnectionError('<x>: Connection refused'))"
    assert gist(wrapped(requests.ConnectionError(text))) == "<x>: Connection refused"
    assert gist(OSError("no http://ann:hush@host.\nmore")) == "no http://host"
    flushed = OperationalError("UPDATE runs", None, Exception("attempt to write a readonly database"))
    flushed.add_detail("raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block")
    assert gist(flushed) == "(builtins.Exception) attempt to write a readonly database"
