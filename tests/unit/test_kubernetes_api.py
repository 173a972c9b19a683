"""The real client against an API server over HTTP: what is asked, what is read, and what a failure is called."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.disruption_budget import disruption_budget
from cluster.grpc_service import grpc_service
from cluster.kubernetes_api import KubernetesApi
from cluster.ray_job import JobOrder
from cluster.ray_job_submission import RayJobSubmission
from cluster.ray_jobs import RayJobs
from raymill.errors import MachineError, ResourceError
from tests.kubernetes_server import ApiServer, api_server
from tests.ports import free_port
from tests.ray_clusters import cluster, settings_map, spec_in_a_bucket

pytest.importorskip("kubernetes")

RAY, CORE = "/apis/ray.io/v1/namespaces/raymill", "/api/v1/namespaces/raymill"
ID = "far-train-20261126-120000-abcd"
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


def connected(server: ApiServer, folder: Path, monkeypatch: pytest.MonkeyPatch, **context: str) -> KubernetesApi:
    """What a user with a kubeconfig gets."""
    path = server.kubeconfig(folder, **context)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr("cluster.kubernetes_api._PAUSE_S", 0.01)
    return replace(KubernetesApi.connect(), patience_s=0.5)


@pytest.fixture
def api(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubernetesApi:
    return connected(server, tmp_path, monkeypatch)


def test_the_namespace_is_the_contexts_or_raymill(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connected(server, tmp_path, monkeypatch).namespace == "raymill"
    assert connected(server, tmp_path, monkeypatch, namespace="team-a").namespace == "team-a"


def test_an_object_is_applied_by_the_server_strictly_and_as_ours(api: KubernetesApi, server: ApiServer) -> None:
    assert api.apply(MAP)["data"] == MAP["data"]
    ((method, path, query, content),) = server.asked
    assert (method, path, content) == ("PATCH", f"{CORE}/configmaps/m", "application/apply-patch+yaml")
    assert query == {"fieldManager": "raymill", "fieldValidation": "Strict", "force": "true"}
    assert server.bodies == [MAP]


def test_what_is_not_there_is_none_and_its_end_is_fine(api: KubernetesApi, server: ApiServer) -> None:
    assert api.get("RayJob", "absent") is None
    api.delete("RayJob", "absent")
    assert [path for _, path, _, _ in server.asked] == [f"{RAY}/rayjobs/absent"] * 2


def test_a_list_is_chosen_by_selectors(api: KubernetesApi, server: ApiServer) -> None:
    server.objects[f"{CORE}/pods"] = {"items": [{"metadata": {"name": "p"}}]}
    assert api.list("Pod", labels="a=b,c=d") == [{"metadata": {"name": "p"}}]
    assert server.asked[0][2] == {"labelSelector": "a=b,c=d"}


@pytest.mark.parametrize(
    ("code", "said", "fix"),
    [
        (400, "strict decoding error: unknown field spec.x", "Correct the overlay or the spec."),
        (422, "metadata.name: Invalid value", "Correct the overlay or the spec."),
        (403, 'User "u" cannot patch configmaps', "Choose another context or user"),
        (401, "Unauthorized", "Choose another context or user"),
    ],
)
def test_a_refusal_is_the_users_to_mend_and_is_not_repeated(
    code: int, said: str, fix: str, api: KubernetesApi, server: ApiServer
) -> None:
    server.failing = [(code, {"message": said})] * 2
    with pytest.raises(ResourceError) as caught:
        api.apply(MAP)
    assert (caught.value.what, len(server.failing)) == (f"Kubernetes refuses: {said}.", 1)
    assert caught.value.fix.startswith(fix)


POLICY = "/apis/policy/v1/namespaces/raymill"
BESIDE = {
    f"{CORE}/services/far-grpc": grpc_service("far", "raymill"),
    f"{POLICY}/poddisruptionbudgets/far-endpoint": disruption_budget("far", "raymill"),
}


@pytest.mark.parametrize("path", BESIDE)
def test_what_an_endpoint_has_beside_it_is_applied_and_removed(
    path: str, api: KubernetesApi, server: ApiServer
) -> None:
    api.apply(BESIDE[path])
    api.delete(BESIDE[path]["kind"], BESIDE[path]["metadata"]["name"])
    assert [(method, at) for method, at, *_ in server.asked] == [("PATCH", path), ("DELETE", path)]
    assert path not in server.objects


def test_a_kind_that_is_not_installed_is_said_where_it_is_needed(api: KubernetesApi) -> None:
    with pytest.raises(ResourceError, match="Kubernetes has no such thing") as caught:
        api.list("RayJob")
    assert "KubeRay operator" in caught.value.fix


def test_a_server_that_is_overloaded_is_asked_again_for_a_while(api: KubernetesApi, server: ApiServer) -> None:
    server.failing = [(503, {"message": "later"}), (429, {"message": "later"}), (500, {"message": "later"})]
    assert replace(api, patience_s=60).apply(MAP)["data"] == MAP["data"]
    server.failing = [(503, {"message": "no webhook answers"})] * 1000
    with pytest.raises(MachineError, match=r"Kubernetes at http://127.* fails: no webhook answers\."):
        api.apply(MAP)


def test_a_server_that_is_gone_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = connected(ApiServer(port=free_port()), tmp_path, monkeypatch)
    with pytest.raises(MachineError, match=r"doesn't answer: .*refused") as caught:
        nobody.get("Pod", "p")
    assert "goes on" in caught.value.fix


@pytest.mark.parametrize(("cut", "lines"), [(False, ["one", "twé", "end"]), (True, ["one", "twé"])])
def test_a_log_comes_in_whole_lines_and_may_be_cut_off(
    cut: bool, lines: list[str], api: KubernetesApi, server: ApiServer
) -> None:
    server.log, server.cuts_the_log = [b"one\ntw", "é\ne".encode(), b"nd"], cut
    assert list(api.log("p", "submitter", follow=True)) == lines
    assert server.asked[0][1:3] == (f"{CORE}/pods/p/log", {"container": "submitter", "follow": "true"})


def test_a_job_is_applied_followed_and_deleted(
    api: KubernetesApi, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.ray_job_submission._POLL_S", 0.01)
    server.objects |= {f"{RAY}/rayclusters/raymill": cluster(), f"{CORE}/configmaps/raymill-jobs": settings_map()}
    pod = {"metadata": {"name": "s"}, "spec": {}, "status": {"phase": "Running"}}
    server.objects |= {f"{CORE}/pods": {"items": [pod]}, f"{RAY}/rayjobs": {"items": []}}
    jobs = RayJobs(api, print)
    jobs.submit(JobOrder(spec=spec_in_a_bucket(), command="train", options=[], id=ID), jobs.overlay())
    ray_job = server.objects[f"{RAY}/rayjobs/{ID}"]
    ray_job["status"] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
    server.log = [b"one\ntwo\n"]
    submission = RayJobSubmission(api=jobs, id=ID)
    assert list(submission.lines()) == ["one", "two"]
    assert submission.job().status == "SUCCEEDED"
    ray_job["status"] = {}
    jobs.stop(ID)
    assert f"{RAY}/rayjobs/{ID}" not in server.objects


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none_of_it(name: str, *rest: Any, **more: Any) -> Any:
        if name == "kubernetes":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", none_of_it)
    with pytest.raises(ResourceError, match="needs the package kubernetes") as caught:
        KubernetesApi.connect()
    assert caught.value.fix == "Type pip install 'kubernetes>=31,<37', which is raymill's extra k8s."


def test_without_a_kubeconfig_it_is_said_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "absent"))
    with pytest.raises(ResourceError, match="There is no Kubernetes cluster to ask") as caught:
        KubernetesApi.connect()
    assert "KUBECONFIG" in caught.value.fix


def test_in_a_pod_its_own_account_and_namespace_count(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "namespace").write_text("team-b\n")
    (tmp_path / "token").write_text("secret")
    monkeypatch.setattr("cluster.kubernetes_api._OWN_NAMESPACE", tmp_path / "namespace")
    loaded = []
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda client_configuration: loaded.append(1))
    assert (KubernetesApi.connect().namespace, loaded) == ("team-b", [1])


def test_a_command_in_a_pod_is_run_and_its_end_is_its_own(api: KubernetesApi, server: ApiServer) -> None:
    server.runs = ("Attempting to stop job 'a'", {"status": "Success"})
    assert api.execute("p", "ray-head", ["ray", "job"], 5) == "Attempting to stop job 'a'"
    assert server.asked[0][1] == f"{CORE}/pods/p/exec"
    failed = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "1"}]}}
    server.runs = ("Job 'a' does not exist", failed)
    with pytest.raises(ResourceError, match="ray in p ended with exit code 1: Job 'a' does not exist"):
        api.execute("p", "ray-head", ["ray", "job"], 5)


def test_a_command_that_may_not_be_run_is_a_refusal(api: KubernetesApi, server: ApiServer) -> None:
    with pytest.raises(ResourceError, match="Kubernetes refuses to run a command in p: Handshake status 404"):
        api.execute("p", "ray-head", ["ray"], 1)
