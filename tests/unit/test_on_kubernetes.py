"""Commands with `--on k8s` from their words to their end, against a Kubernetes in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import main
from cluster.ray_endpoint import progress
from raymill.errors import StoreError
from raymill.job_record import JobRecord
from raymill.judge import Promote
from raymill.release import Release, find_release
from raymill.release_report import ReleaseReport
from raymill.store import Store
from tests.fake_kubernetes import FakeKubernetes, status, with_the_base

ID = "far-train-20261126-120000-abcd"
SPEC = "name: far\ntask: {type: regression, target: y}\ndata: {source: s3://lake/t.csv}\ntracking: http://mlflow:5000\n"
SERVE = "serve: {tokens: gateway}\n"
CHAMPION = {"name": "far", "number": 3, "bundle_uri": "s3://ml/b", "digest": "d" * 64, "run_id": "r"}
COMPLETE = status(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED", rayClusterName="far-1")
RUNNING = status(jobDeploymentStatus="Running", jobStatus="RUNNING", rayClusterName="far-1")
SERVED = {
    "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "True"}],
    "activeServiceStatus": {"rayClusterName": "far-2", "applicationStatuses": {"far": {"status": "RUNNING"}}},
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeKubernetes:
    """What commands find: the base is applied, and a job runs, then has succeeded, the second time that it is got."""
    made = with_the_base(looks={"RayJob": [RUNNING, COMPLETE]})
    monkeypatch.setattr("cluster.kubernetes_api.KubernetesApi.connect", lambda: made)
    for module in ("on_kubernetes", "rendering"):
        monkeypatch.setattr(f"cluster.{module}.new_id", lambda name, command, at: ID)
    for module in ("ray_job_submission", "ray_endpoint"):
        monkeypatch.setattr(f"cluster.{module}._POLL_S", 0)
    monkeypatch.setattr("cluster.on_kubernetes.require_store", lambda uri, console: None)
    made.add("Pod", "s-1", metadata={"labels": {"batch.kubernetes.io/job-name": ID}}, status={"phase": "Running"})
    return made


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Types a command for a spec whose store is a folder, which counts as a bucket here."""
    path = tmp_path / "far.yaml"
    path.write_text(f"{SPEC}{SERVE}store: {tmp_path}/store\n")
    monkeypatch.setattr("cluster.on_kubernetes.require_remote", lambda *_: None)

    def typed(*words: str) -> tuple[int, dict[str, Any], list[str]]:
        on = [] if "--on" in words else ["--on", "k8s"]
        code = main([words[0], str(path), "--json", *words[1:], *on])
        shown = capsys.readouterr()
        return code, json.loads(shown.out), shown.err.splitlines()

    return typed


def reported(**report: Any) -> str:
    return json.dumps({"job": "train", "status": "succeeded", "elapsed_s": {}} | report)


def test_a_job_is_applied_and_its_lines_and_report_are_its_drivers(
    fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    fake.logs["s-1"] = [["prepare   9 rows", reported(rows=9)]]
    code, report, said = run("train", "train.epochs=5")
    assert (code, report["job"], report["rows"]) == (0, "train", 9)
    assert said == [f"submitted {ID} to Kubernetes, as the RayJob {ID} in raymill", "prepare   9 rows"]
    spec = yaml.safe_load(fake.applied[0]["data"]["spec.yaml"])
    assert (spec["name"], spec["train"]["epochs"]) == ("far", 5)
    assert fake.applied[1]["spec"]["entrypoint"] == "python -m jobs.train spec.yaml --json"


def test_a_log_that_is_cut_off_is_gone_on_with_and_so_is_that_of_a_second_pod(
    fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    def second_pod(found: dict[str, Any]) -> None:
        RUNNING(found)
        later = {"labels": {"batch.kubernetes.io/job-name": ID}, "creationTimestamp": "2026-11-26T12:05:00Z"}
        fake.add("Pod", "s-2", metadata=later, status={"phase": "Running"})

    fake.looks["RayJob"] = [RUNNING, RUNNING, second_pod, COMPLETE]
    fake.logs["s-1"] = [["one"], ["one", "two"]]
    fake.logs["s-2"] = [["one", "two", "three", reported()]]
    code, _, said = run("train")
    assert (code, said[1:]) == (0, ["one", "two", "three"])


def test_a_job_that_goes_on_elsewhere_is_shown_from_its_beginning(
    fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    elsewhere = status(jobDeploymentStatus="Running", jobStatus="RUNNING", rayClusterName="far-2")
    ended = status(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED", rayClusterName="far-2")
    fake.looks["RayJob"] = [RUNNING, status(jobDeploymentStatus="Suspended"), elsewhere, ended]
    fake.logs["s-1"] = [["one", "two"], ["one", "two"], ["continues", reported()]]
    assert run("train")[2][1:] == ["one", "two", "waiting for room in its queue", "continues"]


def test_it_is_said_once_what_a_job_waits_for(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    pod = fake.objects.pop(("Pod", "s-1"))

    def started(found: dict[str, Any]) -> None:
        fake.objects[("Pod", "s-1")] = pod
        COMPLETE(found)

    starting = status(jobDeploymentStatus="Initializing", rayClusterName="far-1")
    fake.looks["RayJob"] = [status(jobDeploymentStatus="Suspended"), starting, starting, RUNNING, started]
    fake.logs["s-1"] = [[reported()]]
    _, _, said = run("train")
    assert said[1:] == [
        f"waiting for {what}" for what in ("room in its queue", "its Ray cluster", "the pod that hands it over")
    ]


@pytest.fixture
def only_there(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cluster with a bucket of its own, and somebody who has keys of AWS; which stores were asked from here."""
    fake.add("ConfigMap", "raymill-store", data={"AWS_ENDPOINT_URL": "http://seaweedfs:8333"})
    asked = list[str]()

    def ask() -> None:
        asked.append("S3")
        raise StoreError("It was asked from here.", "")

    monkeypatch.setattr("raymill.bucket.service", ask)
    monkeypatch.setattr("cluster.on_kubernetes.require_store", lambda uri, console: asked.append(uri))
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-aws")
    return asked


@pytest.mark.parametrize("log", [[reported(rows=9)], []])
def test_a_store_that_this_machine_would_look_for_elsewhere_is_not_asked_from_here(
    log: list[str], fake: FakeKubernetes, run: Callable[..., Any], only_there: list[str]
) -> None:
    fake.logs["s-1"] = [log]
    code, _, said = run("train", "store=s3://raymill/far")
    assert (code, only_there) == (0 if log else 3, [])
    assert said[0] == (
        "s3://raymill/far is at http://seaweedfs:8333 for the cluster, and this machine looks at AWS, "
        "so that the job is the first to ask there"
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8333", "http://seaweedfs:8333/"])
def test_a_store_that_is_forwarded_to_this_machine_is_asked(
    endpoint: str,
    fake: FakeKubernetes,
    run: Callable[..., Any],
    only_there: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    fake.logs["s-1"] = [[reported(rows=9)]]
    assert run("train", "store=s3://raymill/far")[0] == 0
    assert only_there[0] == "s3://raymill/far"


@pytest.mark.parametrize("command", [["explain"], ["logs", "--workers"], ["logs", "--job", "far-train-0"]])
def test_whoever_reads_a_store_that_is_elsewhere_is_told_the_way(
    command: list[str], fake: FakeKubernetes, run: Callable[..., Any], only_there: list[str]
) -> None:
    fake.logs["s-1"] = [[reported(rows=9)]]
    run("train", "store=s3://raymill/far")
    code, _, said = run(*command, "store=s3://raymill/far")
    assert (code, only_there) == (2, [])
    assert said[-2:] == [
        "error: s3://raymill/far is at http://seaweedfs:8333 for the cluster, and this machine looks at AWS.",
        "Type `kubectl -n raymill port-forward service/seaweedfs 8333` beside it, and set "
        "AWS_ENDPOINT_URL=http://127.0.0.1:8333 here, with the keys of the Secret raymill-store.",
    ]
    assert run("logs", "store=s3://raymill/far")[1]["log"].startswith('{"job"')
    assert only_there == []


def test_a_release_in_a_store_that_is_elsewhere_is_refused_before_there_is_a_job(
    serves_2: FakeKubernetes, run: Callable[..., Any], only_there: list[str]
) -> None:
    (service,) = [found for (kind, _), found in serves_2.objects.items() if kind == "RayService"]
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    config["applications"][0]["args"]["store_uri"] = "s3://raymill/far"
    service["spec"]["serveConfigV2"] = yaml.safe_dump(config)
    code, report, _ = run("deploy", "--canary", "10%", "store=s3://raymill/far")
    assert (code, serves_2.applied, only_there) == (2, [], [])
    assert report["error"]["what"].startswith("s3://raymill/far is at http://seaweedfs:8333 for the cluster")


@pytest.mark.parametrize("action", ["status", "rollback"])
def test_nothing_of_a_release_is_asked_or_written_from_here_where_its_store_is_elsewhere(
    action: str, run: Callable[..., Any], only_there: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["release", action, str(tmp_path / "far.yaml"), "store=s3://raymill/far", "--on", "k8s"])
    assert (code, only_there) == (2, [])
    assert "port-forward service/seaweedfs 8333" in capsys.readouterr().err


def test_a_job_that_fails_ends_with_its_own_exit_code_and_words(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    failed = status(jobDeploymentStatus="Failed", jobStatus="FAILED", message="... failed with exit code 2, last ...")
    fake.looks["RayJob"] = [RUNNING, failed]
    fake.logs["s-1"] = [
        ["error: no such column", reported(status="failed", error={"what": "no such column", "fix": ""})]
    ]
    code, report, said = run("train")
    assert (code, report["status"], report["error"]["what"]) == (2, "failed", "no such column")
    assert said[-1] == "error: no such column"


def test_a_job_without_a_word_is_told_by_kuberays_reason(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    late = status(
        jobDeploymentStatus="Failed", jobStatus="RUNNING", reason="DeadlineExceeded", message="It has passed."
    )
    fake.looks["RayJob"], fake.logs["s-1"] = [RUNNING, late], [["one"]]
    code, report, _ = run("train")
    assert code == 3
    assert "ended as failed without a result: DeadlineExceeded: It has passed." in report["error"]["what"]


def test_where_the_log_may_not_be_read_the_status_is_followed_and_the_store_has_the_report(
    fake: FakeKubernetes, run: Callable[..., Any], tmp_path: Path
) -> None:
    fake.refused = {"log"}
    begun = JobRecord.begin("far", "train", "train far.yaml", "k8s", datetime.now(UTC), ID)
    ended = {"state": "succeeded", "ended": begun.started, "exit_code": 0, "report": {"rows": 9}}
    JobRecord(**{name: getattr(begun, name) for name in JobRecord.__slots__} | ended).write(Store(f"{tmp_path}/store"))
    fake.looks["RayJob"] = [RUNNING, RUNNING, COMPLETE]
    code, report, said = run("train")
    assert (code, report["rows"]) == (0, 9)
    assert said[1:] == [
        "Kubernetes refuses: log is forbidden. What the job says is in its store; its state follows here.",
        "waiting for its end",
    ]


def test_a_job_that_was_cancelled_is_interrupted(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    stopped = status(jobDeploymentStatus="Complete", jobStatus="STOPPED")
    fake.looks["RayJob"], fake.logs["s-1"] = [RUNNING, stopped], [["one"]]
    code, report, _ = run("train")
    assert (code, report["error"]["what"]) == (130, f"The job {ID} was cancelled.")


def test_a_job_that_was_deleted_is_said_to_be_gone(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    fake.looks["RayJob"] = [RUNNING, lambda found: fake.delete("RayJob", ID)]
    fake.logs["s-1"] = [["one"]]
    code, report, _ = run("train")
    assert (code, report["error"]["what"]) == (3, f"The job {ID} is no longer in Kubernetes: its RayJob was deleted.")


def test_nobody_looking_after_ray_jobs_is_said_after_a_while(
    fake: FakeKubernetes, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.ray_job_submission._SEEN_WITHIN_S", 0)
    fake.looks["RayJob"], fake.logs["s-1"] = [], [[]]
    code, report, _ = run("train")
    assert code == 3
    assert report["error"]["what"].startswith(f"Nobody has looked at the RayJob {ID}")
    assert "KubeRay operator" in report["error"]["fix"]


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    def interrupted(found: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    fake.looks["RayJob"] = [interrupted]
    code, report, _ = run("train")
    assert (code, fake.deleted) == (130, [])
    assert report["error"]["what"] == f"The job {ID} goes on at k8s."
    assert "raymill logs -f SPEC --on k8s" in report["error"]["fix"]


def test_a_walk_serves_its_champion_and_says_how_to_reach_it(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    fake.logs["s-1"] = [[reported(job="run", champion=CHAMPION)]]
    deploying = SERVED | {"activeServiceStatus": {"applicationStatuses": {"far": {"status": "DEPLOYING"}}}}
    fake.looks["RayService"] = [status(), status(**deploying), status(**SERVED)]
    code, report, said = run("run")
    assert (code, report["endpoint"]) == (0, "http://far-serve-svc.raymill:8000")
    assert fake.applied[1]["spec"]["entrypoint"].endswith("--json --no-serve")
    service, budget = fake.applied[-2:]
    assert (budget["kind"], budget["metadata"]["ownerReferences"][0]["uid"]) == ("PodDisruptionBudget", "uid-of-far")
    arguments = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"][0]["args"]
    assert (arguments["version"], arguments["bundle_uri"], arguments["digest"]) == ("3", "s3://ml/b", "d" * 64)
    assert said[1:] == [
        "waiting for the KubeRay operator",
        "waiting for its replicas, deploying",
        "far version 3 is served in Kubernetes at http://far-serve-svc.raymill:8000",
        "next:     kubectl -n raymill port-forward service/far-serve-svc 8000",
    ]


@pytest.mark.parametrize(("words", "champion"), [(["--no-serve"], CHAMPION), ([], None)])
def test_no_endpoint_is_made_where_none_is_wanted_or_nothing_was_promoted(
    words: list[str], champion: Any, fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    fake.logs["s-1"] = [[reported(job="run", champion=champion)]]
    code, report, _ = run("run", *words)
    assert code == 0 and report.get("endpoint") is None
    assert not [made for made in fake.applied if made["kind"] == "RayService"]


def test_deploy_serves_the_champion_that_the_gate_names_and_undeploy_ends_it(
    fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    fake.logs["s-1"] = [[reported(job="promote", champion=CHAMPION)]]
    fake.looks["RayService"] = [status(**SERVED)]
    code, report, said = run("deploy")
    assert (code, report["job"]) == (0, "deploy")
    assert report["endpoint"] == "http://far-serve-svc.raymill:8000"
    assert fake.applied[1]["spec"]["entrypoint"].startswith("python -m jobs.promote ")
    code, report, _ = run("undeploy")
    assert (code, report["endpoint"]) == (0, None)
    assert {("RayService", "far"), ("PodDisruptionBudget", "far-endpoint")} <= set(fake.deleted)
    code, report, said = run("undeploy")
    assert (code, said[0]) == (2, "error: There is no endpoint far in the namespace raymill.")


def test_grpc_has_a_service_that_goes_with_its_endpoint(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    fake.logs["s-1"] = [[reported(job="promote", champion=CHAMPION)]]
    fake.looks["RayService"] = [status(**SERVED)]
    _, _, said = run("deploy", "serve.grpc_port=9100")
    service = fake.objects[("Service", "far-grpc")]
    (owner,) = service["metadata"]["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"], owner["name"], owner["uid"]) == (
        "ray.io/v1",
        "RayService",
        "far",
        "uid-of-far",
    )
    assert "WARNING: serve.grpc_port: 9100 is 9000 of the Service far-grpc here" in said
    assert said[-2].endswith("http://far-serve-svc.raymill:8000, and by gRPC at far-grpc.raymill:9000")
    fake.looks["RayJob"], fake.looks["RayService"] = [RUNNING, COMPLETE], [status(**SERVED | {"observedGeneration": 2})]
    run("deploy")
    assert ("Service", "far-grpc") not in fake.objects
    fake.refused = {"Service", "PodDisruptionBudget"}
    assert run("undeploy")[0] == 0


@pytest.fixture
def serves_2(fake: FakeKubernetes, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> FakeKubernetes:
    """One in which version 2 is served, the next job finds version 3 the champion, and replicas take releases up."""
    monkeypatch.setattr("cluster.releasing.ReleaseReport.gather", lambda *_: ReleaseReport(replicas=1))
    monkeypatch.setattr("cluster.kubernetes_release.require_remote", lambda *_: None)
    fake.logs["s-1"] = [[reported(job="promote", champion=CHAMPION | {"number": 2})]]
    fake.looks["RayService"] = [status(**SERVED)]
    assert run("deploy")[0] == 0
    fake.looks["RayJob"] = [RUNNING, COMPLETE]
    fake.logs["s-1"] = [[reported(job="promote", champion=CHAMPION)]]
    fake.applied.clear()
    return fake


def released(tmp_path: Path) -> Release:
    found = find_release(Store(f"{tmp_path}/store"), "far")
    assert found is not None
    return found


def test_a_canary_goes_beside_the_version_that_the_ray_service_serves(
    serves_2: FakeKubernetes, run: Callable[..., Any], tmp_path: Path
) -> None:
    code, report, said = run("deploy", "--canary", "10%")
    assert (code, report["job"]) == (0, "deploy")
    begun = released(tmp_path)
    assert (begun.stable, begun.candidate.version, begun.state) == ("2", "3", "on")
    assert (begun.share, begun.shadow, begun.id) == (0.1, False, report["release"]["id"])
    assert said[-1] == "far version 3 answers 0.1 of the requests at http://far-serve-svc.raymill:8000"
    assert [each["kind"] for each in serves_2.applied] == ["ConfigMap", "RayJob", "ConfigMap"]
    assert serves_2.applied[1]["spec"]["entrypoint"] == "python -m jobs.promote spec.yaml --json"


def test_what_is_promoted_is_applied(serves_2: FakeKubernetes, run: Callable[..., Any], tmp_path: Path) -> None:
    run("deploy", "--shadow")
    assert released(tmp_path).shadow
    serves_2.looks["RayService"] = [lambda _: None, status(**SERVED | {"observedGeneration": 2})]
    assert main(["release", "promote", str(tmp_path / "far.yaml"), "--on", "k8s"]) == 0
    assert (released(tmp_path).state, released(tmp_path).share) == ("promoted", 1.0)
    (service,) = [each for each in serves_2.applied if each["kind"] == "RayService"]
    arguments = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"][0]["args"]
    assert (arguments["version"], arguments["bundle_uri"], arguments["run_id"]) == ("3", "s3://ml/b", "r")


def test_with_auto_the_judge_is_obeyed(
    serves_2: FakeKubernetes, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.releasing.judge", lambda *_, **__: Promote(reason="no worse"))
    serves_2.looks["RayService"] = [lambda _: None, lambda _: None, status(**SERVED | {"observedGeneration": 2})]
    code, report, _ = run("deploy", "--canary", "50%", "--auto")
    assert code == 0, report
    assert (report["release"]["state"], report["release"]["reason"]) == ("promoted", "no worse")
    assert [each["kind"] for each in serves_2.applied][-2:] == ["RayService", "PodDisruptionBudget"]


def test_a_release_that_could_not_be_carried_out_is_refused_before_there_is_a_job(
    serves_2: FakeKubernetes, run: Callable[..., Any], tmp_path: Path
) -> None:
    code, report, said = run("deploy", "--canary", "10%", f"store={tmp_path}/other")
    assert (code, serves_2.applied, len(said)) == (2, [], 2)
    assert f"follows releases in the store {tmp_path}/store" in report["error"]["what"]
    run("undeploy")
    code, report, _ = run("deploy", "--canary", "10%")
    assert (code, serves_2.applied) == (2, [])
    assert report["error"]["what"] == "There is no endpoint far in the namespace raymill."


@pytest.mark.parametrize("text", ["{", "applications: []", "applications: [{import_path: mine:app}]"])
def test_a_ray_service_that_somebody_else_made_is_refused_by_name(
    serves_2: FakeKubernetes, run: Callable[..., Any], text: str
) -> None:
    (service,) = [found for (kind, _), found in serves_2.objects.items() if kind == "RayService"]
    service["spec"]["serveConfigV2"] = text
    code, report, _ = run("deploy", "--canary", "10%")
    assert (code, serves_2.applied) == (2, [])
    assert report["error"]["what"] == f"The RayService {service['metadata']['name']} was not made by raymill."


@pytest.mark.parametrize(
    ("told", "code", "what"),
    [
        ({"status": "DEPLOY_FAILED", "message": "raymill.errors.StoreError: no bucket.\nMake it."}, 3, "no bucket."),
        ({"status": "DEPLOYING"}, 3, "isn't ready after 1 seconds; it waits for its replicas, deploying"),
    ],
)
def test_an_endpoint_that_does_not_start_says_why(
    told: dict[str, str], code: int, what: str, run: Callable[..., Any], fake: FakeKubernetes
) -> None:
    fake.logs["s-1"] = [[reported(job="run", champion=CHAMPION)]]
    fake.objects[("ConfigMap", "raymill-jobs")]["data"]["wait_s"] = "1"
    fake.looks["RayService"] = [
        status(**SERVED | {"activeServiceStatus": {"applicationStatuses": {"far": told}}})
    ] * 99_999
    found, report, _ = run("run")
    assert found == code
    assert what in report["error"]["what"]


@pytest.mark.parametrize(
    ("command", "setting", "what"),
    [
        ("run", "serve.tokens=none", "serve.tokens is none"),
        ("deploy", "serve.tokens=none", "serve.tokens is none"),
        ("run", "serve.tls={certificate: c, key: k}", "serve.tls is set"),
    ],
)
def test_an_endpoint_of_which_it_is_not_said_who_may_ask_is_refused_before_there_is_a_job(
    command: str, setting: str, what: str, fake: FakeKubernetes, run: Callable[..., Any]
) -> None:
    code, report, said = run(command, setting)
    assert (code, fake.applied, len(said)) == (2, [], 2)
    assert report["error"]["what"].startswith(what)
    fake.logs["s-1"] = [[reported(job="train")]]
    assert run("train", setting)[0] == 0


def test_once_is_refused_before_there_is_a_job(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    code, report, said = run("run", "--once")
    assert (code, fake.applied, len(said)) == (2, [], 2)
    assert report["error"]["what"].startswith("--once asks an endpoint from here")


def test_a_path_of_this_machine_is_refused_before_there_is_a_job(
    fake: FakeKubernetes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "far.yaml"
    path.write_text(SPEC)
    assert main(["train", str(path), "--on", "k8s"]) == 2
    assert "on this machine, but the job is to run at the Kubernetes cluster" in capsys.readouterr().err
    assert fake.applied == []


def test_an_api_server_that_is_away_is_the_machines_fault(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    fake.away = True
    code, report, said = run("train")
    assert (code, report["error"]["fix"]) == (3, "Check the way there.")
    assert "waiting for Kubernetes, which doesn't answer" in said


def test_logs_list_explain_and_cancel_know_the_same_jobs(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    fake.logs["s-1"] = [["one", reported()]]
    run("train")
    fake.objects[("RayJob", ID)]["status"] |= {"startTime": "2026-11-26T12:00:00Z"}
    _, listed, _ = run("list")
    assert [(job["id"], job["state"], job["started"]) for job in listed["jobs"]] == [
        (ID, "succeeded", "2026-11-26T12:00:00Z")
    ]
    assert run("logs")[1]["log"].startswith("one\n")
    assert run("logs", "-f", "--job", ID)[0] == 0
    _, explained, _ = run("explain")  # salvaged, since the fake job has left no record
    assert (explained["id"], explained["state"]) == (ID, "succeeded")
    code, cancelled, said = run("cancel")
    assert (code, cancelled["id"], said) == (0, ID, [f"{ID} has ended already: succeeded"])


def test_status_tells_what_the_endpoint_there_serves_and_does(fake: FakeKubernetes, run: Callable[..., Any]) -> None:
    assert run("status")[1]["endpoint"] is None
    fake.logs["s-1"] = [[reported(job="promote", champion=CHAMPION)]]
    fake.looks["RayService"] = [status(**SERVED)]
    run("deploy")
    found = run("status")[1]["endpoint"]
    assert (found["url"], found["version"]) == ("http://far-serve-svc.raymill:8000", "3")
    assert (found["answers"], found["state"], found["started"]) == (True, "answers", None)
    code, report, _ = run("status", "store=elsewhere")
    assert (code, "follows releases in the store" in report["error"]["what"]) == (2, True)
    service = fake.objects[("RayService", "far")]
    for app, state in (
        ({"status": "DEPLOYING"}, "waits for its replicas, deploying"),
        ({"status": "DEPLOY_FAILED", "message": "no"}, "failed: no"),
    ):
        service["status"] = SERVED | {"activeServiceStatus": {"applicationStatuses": {"far": app}}}
        found = run("status")[1]["endpoint"]
        assert (found["answers"], found["state"]) == (False, state)
    fake.add("ConfigMap", "raymill-store", data={"AWS_ENDPOINT_URL": "http://seaweedfs:8333"})
    code, report, _ = run("status", "store=s3://raymill/far")
    assert (code, "port-forward service/seaweedfs 8333" in report["error"]["fix"]) == (2, True)


def test_a_status_of_before_the_last_change_says_nothing() -> None:
    before = {"metadata": {"generation": 2}, "status": SERVED}
    assert not progress(before, "far").ready
    assert progress(before, "far").waits_for == "the KubeRay operator"
    assert progress(before | {"status": SERVED | {"observedGeneration": 2}}, "far").ready


def test_while_a_cluster_takes_over_it_is_the_new_one_that_counts() -> None:
    upgrading = [{"type": "Ready", "status": "True"}, {"type": "UpgradeInProgress", "status": "True"}]
    pending = {"rayClusterName": "far-3", "applicationStatuses": {"far": {"status": "DEPLOY_FAILED", "message": "no"}}}
    service = {"metadata": {"generation": 2}, "status": SERVED | {"observedGeneration": 2, "conditions": upgrading}}
    assert not progress(service, "far").ready
    service["status"] |= {"pendingServiceStatus": pending}
    assert progress(service, "far").failure == "no"
