"""Commands handed to a cluster of three nodes from a folder that holds nothing but a spec."""

from __future__ import annotations

import json
import signal

from cluster.endpoint_record import health_of
from tests.cluster.conftest import Laptop
from tests.ports import free_port


def test_a_walk_runs_on_the_cluster_to_an_endpoint_that_stays_until_it_is_taken_down(laptop: Laptop) -> None:
    port = free_port()
    laptop.spec("far", serve={"port": port})
    done = laptop.type("run", "far.yaml", "--once", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["job"], report["status"], report["gate"]["decision"]) == ("run", "succeeded", "promote")
    assert sum(report["dataset"]["rows"].values()) == 569
    assert report["model"]["uri"].startswith("s3://")
    assert len(report["answers"]) == 3 and {"prediction", "probabilities"} <= report["answers"][0].keys()
    assert "promote   promote:" in done.stderr and "job_manager" not in done.stderr
    assert health_of(f"http://127.0.0.1:{port}") is None
    deployed = laptop.type("deploy", "far.yaml")
    assert deployed.returncode == 0, deployed.stderr
    assert (health_of(f"http://127.0.0.1:{port}") or {})["version"] == "1"
    known = laptop.type("list")
    mine = [line.split() for line in known.stdout.splitlines() if line.startswith("far-")]
    assert [words[1] for words in mine] == ["succeeded,", "succeeded,"]
    assert "far version 1 is served at" in laptop.type("logs", "far.yaml").stdout
    assert laptop.type("undeploy", "far.yaml").returncode == 0
    assert health_of(f"http://127.0.0.1:{port}") is None


def test_a_mistake_has_its_two_lines_and_its_exit_code_here_too(laptop: Laptop) -> None:
    laptop.spec("wrong", task={"type": "classification", "target": "diagnosi"})
    done = laptop.type("prepare", "wrong.yaml", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["what"].startswith("The table has no column 'diagnosi'")
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    refused = laptop.type("prepare", "wrong.yaml", "store=/on/this/machine")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 2)
    assert "on this machine, but the job is to run at" in refused.stderr


def test_ctrl_c_leaves_a_job_alone_and_cancel_ends_it_with_a_checkpoint(laptop: Laptop) -> None:
    laptop.spec("long", train={"epochs": 100_000, "workers": 2, "batch_size": 16})
    followed = laptop.start("train", "long.yaml")
    assert followed.stderr is not None
    lines = [followed.stderr.readline()]
    while "epoch 1 " not in lines[-1]:
        assert lines[-1], "".join(lines)
        lines.append(followed.stderr.readline())
    followed.send_signal(signal.SIGINT)
    _, err = followed.communicate(timeout=60)
    assert followed.returncode == 130
    assert "goes on at" in err
    assert "long-train" in laptop.type("cancel", "long.yaml").stderr
    ended = laptop.type("logs", "long.yaml", "-f")
    assert ended.returncode == 130
    assert "Training stopped at step" in ended.stderr
    assert "has ended already: stopped" in laptop.type("cancel", "long.yaml").stderr
