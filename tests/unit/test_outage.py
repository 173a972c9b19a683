"""An outage: what may pass is waited for up to a bound, and said once; all else fails at once."""

from __future__ import annotations

import pytest

from raymill.bucket import Refused, Unanswered, is_refused
from raymill.outage import Outages, is_away, patiently, reason_of

# As pyarrow 25 said them of a server that was not there, was stopped, hung up, or answered so.
PUT = "When uploading object with key 'a/b.bin' in bucket 'lake': AWS Error {} during PutObject operation: {}"
HEAD = "When reading information for key 'a' in bucket 'lake': AWS Error {} during HeadObject operation: {}"
REFUSED = HEAD.format(
    "NETWORK_CONNECTION",
    "curlCode: 7, Could not connect to server; Details: Failed to connect to 127.0.0.1 port 1 after 0 ms: "
    "Could not connect to server",
)
AWAY = [
    REFUSED,
    HEAD.format(
        "NETWORK_CONNECTION",
        "curlCode: 28, Timeout was reached; Details: Operation too slow. Less than 1 bytes/sec transferred the last 2 "
        "seconds",
    ),
    HEAD.format(
        "NETWORK_CONNECTION",
        "curlCode: 6, Could not resolve hostname; Details: Could not resolve host: nowhere.invalid",
    ),
    "AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 18, Transferred a partial file; Details: end "
    "of response with 999000 bytes missing",
    PUT.format(
        "NETWORK_CONNECTION",
        "curlCode: 52, Server returned nothing (no headers, no data); Details: Empty reply from server",
    ),
    PUT.format("INTERNAL_FAILURE", "msg"),
    PUT.format("SLOW_DOWN", "Please reduce your request rate."),
    PUT.format("SERVICE_UNAVAILABLE", "msg"),
    PUT.format("REQUEST_TIMEOUT", "msg"),
    PUT.format("UNKNOWN (HTTP status 502)", "No response body."),
    PUT.format("UNKNOWN (HTTP status 429)", "Unable to parse ExceptionName: TooManyRequests Message: msg"),
    HEAD.format("UNKNOWN (HTTP status 500)", "No response body."),
    HEAD.format("UNKNOWN (HTTP status 503)", "No response body."),
]
STAYS = [
    PUT.format("ACCESS_DENIED", "Access Denied. (Request ID: 18EA79B67D5BB6BCC4FE3E89)"),
    PUT.format("SIGNATURE_DOES_NOT_MATCH", "The request signature we calculated does not match."),
    PUT.format("NO_SUCH_BUCKET", "msg"),
    PUT.format("REQUEST_TIME_TOO_SKEWED", "msg"),
    PUT.format("UNKNOWN (HTTP status 507)", "Unable to parse ExceptionName: InsufficientStorage Message: msg"),
    PUT.format("UNKNOWN (HTTP status 301)", "Unable to parse ExceptionName: PermanentRedirect Message: msg"),
    PUT.format("UNKNOWN (HTTP status 400)", "Unable to parse ExceptionName: ExpiredToken Message: msg"),
    HEAD.format("NETWORK_CONNECTION", "curlCode: 60, SSL peer certificate or SSH remote key was not OK"),
    "[Errno 2] Path does not exist 'lake/nope'. Detail: [errno 2] No such file or directory",
    "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
]


@pytest.mark.parametrize("text", AWAY)
def test_what_may_pass_is_known_by_its_text(text: str) -> None:
    assert is_away(OSError(text))


@pytest.mark.parametrize("text", STAYS)
def test_what_waiting_cannot_mend_is_known_by_its_text(text: str) -> None:
    assert not is_away(OSError(text))


def test_a_refusal_is_known_by_its_text_or_kind() -> None:
    expired = PUT.format("UNKNOWN (HTTP status 400)", "Unable to parse ExceptionName: ExpiredToken Message: msg")
    denied = HEAD.format("UNKNOWN (HTTP status 403)", "No response body.")
    assert all(is_refused(OSError(text)) for text in (expired, denied, *STAYS[:2]))
    assert is_refused(Refused("x")) and not is_refused(Unanswered("x"))
    assert not any(is_refused(OSError(text)) for text in [*AWAY, *STAYS[2:6], *STAYS[7:]])


def test_boto3s_errors_are_known_by_their_kind() -> None:
    assert is_away(Unanswered("x")) and not is_away(Refused("x")) and not is_away(FileNotFoundError("x"))


def test_a_reason_is_the_shortest_that_tells_it() -> None:
    assert reason_of(OSError(REFUSED)).startswith("Failed to connect to 127.0.0.1 port 1")
    assert reason_of(OSError("Slow down.")) == "Slow down"


class Flaky:
    """Fails so many times."""

    def __init__(self, failures: int, error: OSError) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return "read"


def test_an_outage_is_said_once_and_its_end_once() -> None:
    said: list[str] = []
    outages = Outages(said.append)
    assert patiently(Flaky(3, OSError(REFUSED)), "s3://lake", 60.0, outages) == "read"
    assert patiently(Flaky(0, OSError()), "s3://lake", 60.0, outages) == "read"
    assert [line.partition(" (")[0].partition(" after")[0] for line in said] == [
        "s3://lake is away",
        "s3://lake is back",
    ]
    assert "waiting for it for up to 60 s" in said[0]


def test_one_failure_that_a_second_try_mends_is_not_said() -> None:
    said: list[str] = []
    assert patiently(Flaky(1, OSError(REFUSED)), "s3://lake", 60.0, Outages(said.append)) == "read"
    assert said == []


def test_after_the_bound_it_is_said_for_how_long_it_was_waited() -> None:
    away = Flaky(99, OSError(REFUSED))
    said: list[str] = []
    outages = Outages(said.append)
    with pytest.raises(OSError, match=r"it has been away for \d s, When reading"):
        patiently(away, "s3://lake", 1.0, outages)
    assert away.calls > 1
    assert patiently(Flaky(2, OSError(REFUSED)), "s3://lake", 60.0, outages) == "read"
    assert [line.rpartition("to ")[2] for line in said[:2]] == ["1 s", "60 s"]


@pytest.mark.parametrize(("error", "waits_s"), [(OSError(STAYS[0]), 60.0), (OSError(REFUSED), 0.0)])
def test_what_cannot_be_mended_or_may_not_wait_fails_at_once(error: OSError, waits_s: float) -> None:
    action = Flaky(99, error)
    with pytest.raises(OSError) as caught:
        patiently(action, "s3://lake", waits_s, Outages(lambda text: None))
    assert caught.value is error and action.calls == 1
