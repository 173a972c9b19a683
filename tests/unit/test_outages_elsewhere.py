"""Outages that workers see, as the user sees them."""

from __future__ import annotations

from cluster.outages_elsewhere import OutagesElsewhere
from raymill.outage import Outages


def test_what_many_workers_see_is_said_once_with_the_first_ones_node_and_again_when_it_is_back() -> None:
    said: list[str] = []
    elsewhere = OutagesElsewhere(said.append)
    for pid in (11, 12):
        at = f"10.0.0.5 pid {pid} RayTrainWorker: "
        outages = Outages(lambda text, at=at: elsewhere.hear(f"{at}{text}"))  # type: ignore[misc]
        outages.away("s3://ml", 0.0, "Connection refused", "waiting for it for up to 120 s")
        outages.away("http://mlflow:5000", 0.0, "it answers 503", "what is to be sent is kept")
    elsewhere.hear("10.0.0.5 pid 11: nothing of the kind")
    outages.back("s3://ml")
    outages.back("s3://ml")
    assert said[:2] == [
        "10.0.0.5: s3://ml is away (Connection refused); waiting for it for up to 120 s",
        "10.0.0.5: http://mlflow:5000 is away (it answers 503); what is to be sent is kept",
    ]
    (back,) = said[2:]
    assert back.startswith("10.0.0.5: s3://ml is back after ")
