"""The RayService of an endpoint."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from cluster.endpoint_arguments import ServedModel
from cluster.listening import GRPC_SERVICE
from cluster.object_names import SPEC
from cluster.ray_service import endpoint_objects, ray_service, remarks, replicas_on
from cluster.ray_template import RayTemplate
from cluster.worker_groups import WorkerGroup
from raymill.errors import ResourceError, SpecError
from serving.app import build
from serving.arguments import EndpointArgs, TokensAt
from tests.ray_clusters import cluster, group, spec_in_a_bucket, template

MODEL = ServedModel(version="3", bundle_uri="s3://ml/raymill/runs/far-1/bundles/9", digest="d" * 64, run_id="r")


def rendered(groups: Any = (), made_of: dict[str, Any] | None = None, **serve: Any) -> dict[str, Any]:
    return ray_service(spec_in_a_bucket(serve=serve), MODEL, template(*groups, **(made_of or {})))


def config(service: dict[str, Any]) -> dict[str, Any]:
    return dict(yaml.safe_load(service["spec"]["serveConfigV2"]))


def test_serve_takes_its_text_and_the_application_its_arguments() -> None:
    read = ServeDeploySchema.model_validate(config(rendered(replicas={"min": 1, "max": 6})))
    (application,) = read.applications
    assert (application.name, application.route_prefix, application.import_path) == ("far", "/", "serving.app:build")
    arguments = EndpointArgs.model_validate(application.args)
    assert (arguments.version, arguments.bundle_uri, arguments.digest) == ("3", MODEL.bundle_uri, MODEL.digest)
    assert (arguments.min_replicas, arguments.max_replicas, arguments.max_replicas_per_node) == (2, 6, 1)
    call_user_app_builder_with_args_if_necessary(build, application.args)


def test_it_listens_to_all_on_the_port_that_is_named() -> None:
    service = rendered()
    assert config(service)["proxy_location"] == "EveryNode"
    assert config(service)["http_options"] == {"host": "0.0.0.0", "port": 8000, "keep_alive_timeout_s": 20}
    cluster = service["spec"]["rayClusterConfig"]
    for pod in (cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]):
        container = pod["spec"]["containers"][0]
        assert {"name": "serve", "containerPort": 8000} in container["ports"]
        assert {"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"} in container["env"]
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "endpoint"


def test_grpc_is_served_to_all_where_the_spec_asks_for_it() -> None:
    service, _, beside = endpoint_objects(spec_in_a_bucket(serve={"grpc_port": 9100}), MODEL, template())
    read = ServeDeploySchema.model_validate(config(service))
    assert (read.grpc_options.port, read.grpc_options.enable_reflection) == (9000, False)
    assert read.grpc_options.grpc_servicer_functions == [GRPC_SERVICE]
    assert EndpointArgs.model_validate(read.applications[0].args).grpc_loopback_only is False
    cluster = service["spec"]["rayClusterConfig"]
    for pod in (cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]):
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert (ports["serve"], ports["grpc"]) == (8000, 9000)
        chosen, of_kuberay = beside["spec"]["selector"], {"ray.io/serve": "true"}
        assert chosen.items() <= (pod["metadata"]["labels"] | of_kuberay).items()
        assert of_kuberay.items() <= chosen.items()
        assert not chosen.items() <= ({SPEC: "far"} | of_kuberay).items()  # those of a job
    assert beside["spec"]["ports"] == [{"name": "grpc", "port": 9000, "targetPort": "grpc"}]
    assert beside["metadata"]["name"] == "far-grpc"


def test_no_grpc_is_served_where_nobody_asks_for_it() -> None:
    service, _ = endpoint_objects(spec_in_a_bucket(), MODEL, template())
    assert "grpc_options" not in config(service)
    container = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert "grpc" not in {port.get("name") for port in container["ports"]}


def test_one_worker_of_an_endpoint_stays_whatever_its_clusters_are_called() -> None:
    service, budget = endpoint_objects(spec_in_a_bucket(), MODEL, template())
    assert (budget["kind"], budget["metadata"]["name"]) == ("PodDisruptionBudget", "far-endpoint")
    assert (budget["spec"]["minAvailable"], budget["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    chosen = budget["spec"]["selector"]["matchLabels"]
    cluster, of_kuberay = service["spec"]["rayClusterConfig"], {"ray.io/node-type": "worker"}
    (workers,) = cluster["workerGroupSpecs"]
    labels = workers["template"]["metadata"]["labels"] | of_kuberay
    assert chosen.items() <= labels.items()
    assert not chosen.items() <= (labels | {SPEC: "another"}).items()
    heads = cluster["headGroupSpec"]["template"]["metadata"]["labels"] | {"ray.io/node-type": "head"}
    assert not chosen.items() <= heads.items()
    assert not chosen.items() <= ({SPEC: "far"} | of_kuberay).items()  # workers of a job


def test_what_the_overlay_has_settled_is_kept() -> None:
    head = rendered()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    threads = [variable["value"] for variable in head["env"] if variable["name"] == "RAY_SERVE_HAPROXY_NBTHREAD"]
    assert threads == ["2"]


def test_tokens_come_to_the_workers_as_a_file_from_a_secret() -> None:
    service = rendered(tokens={"env": "ELSEWHERE"})
    arguments = EndpointArgs.model_validate(config(service)["applications"][0]["args"])
    assert arguments.tokens == TokensAt(file="/etc/raymill/tokens/tokens")
    cluster = service["spec"]["rayClusterConfig"]
    workers = cluster["workerGroupSpecs"][0]["template"]["spec"]
    (volume,) = workers["volumes"]
    assert volume["secret"]["secretName"] == "far-tokens" and volume["secret"]["optional"] is True
    assert volume["secret"]["items"] == [{"key": "tokens", "path": "tokens"}]
    (mount,) = workers["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"], mount["readOnly"]) == (volume["name"], "/etc/raymill/tokens", True)
    assert "volumes" not in cluster["headGroupSpec"]["template"]["spec"]


def test_an_endpoint_of_which_it_is_not_said_who_may_ask_is_refused() -> None:
    with pytest.raises(SpecError, match=r"serve\.tokens is none"):
        rendered(tokens="none")
    with pytest.raises(SpecError, match=r"a gateway speaks TLS"):
        rendered(tls={"certificate": "c", "key": "k"})
    assert config(rendered())["applications"][0]["args"]["tokens"] is None


def test_two_pods_at_least_are_on_two_nodes() -> None:
    (workers,) = rendered((group("cpu", "4", 8), group("gpu", "8", 5)))["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert (workers["groupName"], workers["minReplicas"], workers["maxReplicas"]) == ("cpu", 2, 8)
    (spread,) = workers["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
    chosen = spread["labelSelector"]["matchLabels"]
    labels = workers["template"]["metadata"]["labels"] | {"ray.io/node-type": "worker"}
    assert chosen.items() <= labels.items()
    assert not chosen.items() <= (labels | {SPEC: "another"}).items()
    assert spread["matchLabelKeys"] == ["ray.io/cluster"]
    assert workers["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/-/healthz"


def test_how_it_changes_is_written_out_and_the_head_takes_requests() -> None:
    spec = rendered()["spec"]
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["excludeHeadPodFromServeSvc"] is False
    assert "upgradeStrategy" not in spec["rayClusterConfig"]


def test_another_version_is_another_text_for_serve_and_no_other_cluster() -> None:
    spec = spec_in_a_bucket()
    other = ServedModel(version="4", bundle_uri=MODEL.bundle_uri, digest="e" * 64)
    now, then = (ray_service(spec, model, template())["spec"] for model in (MODEL, other))
    assert now["rayClusterConfig"] == then["rayClusterConfig"]
    assert now["serveConfigV2"] != then["serveConfigV2"]
    assert (
        config({"spec": now})["applications"][0]["args"]["endpoint_id"]
        == config({"spec": then})["applications"][0]["args"]["endpoint_id"]
    )


def test_namesakes_in_two_namespaces_are_told_apart() -> None:
    def id_in(namespace: str) -> str:
        there = RayTemplate.of(cluster() | {"metadata": {"name": "raymill", "namespace": namespace}}, "here")
        service = ray_service(spec_in_a_bucket(), MODEL, there)
        return str(config(service)["applications"][0]["args"]["endpoint_id"])

    assert id_in("a") == id_in("a") != id_in("b")


def test_state_that_outlives_a_head_belongs_to_one_cluster_only() -> None:
    options = {"redisAddress": "redis:6379", "externalStorageNamespace": "raymill"}
    service = rendered(made_of={"gcsFaultToleranceOptions": options})
    assert service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"] == {"redisAddress": "redis:6379"}
    assert "externalStorageNamespace" in options


@pytest.mark.parametrize(
    ("least", "most", "pods", "wanted"),
    [
        (1, 1, 8, (2, 2, 1)),
        (1, 2, 8, (2, 2, 1)),
        (2, 7, 8, (2, 7, 1)),
        (2, 8, 8, (3, 8, 2)),
        (4, 8, 8, (4, 8, 2)),
        (1, 2, 2, (2, 2, 2)),
        (1, 8, 4, (4, 8, 3)),
    ],
)
def test_no_pod_may_have_all_replicas_where_there_is_room_for_a_change(
    least: int, most: int, pods: int, wanted: tuple[int, int, int]
) -> None:
    found = replicas_on(WorkerGroup.of(group("cpu", "4", pods)), least, most)
    assert found == wanted
    assert pods * found[2] > found[1]  # one replica more than the most, so that a version can be changed


def test_what_an_endpoint_has_otherwise_than_its_spec_is_said() -> None:
    def said(**serve: Any) -> list[str]:
        return remarks(spec_in_a_bucket(serve=serve), template())

    assert said() == said(replicas={"min": 2, "max": 2}) == []
    assert said(tokens={"file": "t"}) == ["serve.tokens: from the Secret far-tokens here, key tokens"]
    assert said(replicas={"min": 2, "max": 2}, grpc_port=9000) == []
    assert said(grpc_port=9100) == ["serve.grpc_port: 9100 is 9000 of the Service far-grpc here"]
    assert said(replicas={"min": 2, "max": 2}, port=8001)[0].startswith("serve.port: 8001 is 8000 here")
    (line,) = said(replicas={"min": 1, "max": 4})
    assert line == "serve.replicas: 2 to 4 here, so that they are on two nodes, with 1 a pod at most"


def test_replicas_that_the_pods_could_never_hold_are_refused() -> None:
    with pytest.raises(ResourceError, match="One replica asks for 6 CPUs"):
        rendered(cpus=6)
    with pytest.raises(ResourceError, match="9 replicas ask for 4 CPUs"):
        rendered(cpus=4, replicas={"min": 1, "max": 9})


def test_with_a_class_of_gateways_other_pods_take_over_by_tenths() -> None:
    assert rendered()["spec"]["upgradeStrategy"] == {"type": "NewCluster"}
    service, _ = endpoint_objects(spec_in_a_bucket(), MODEL, template(), "istio")
    strategy = service["spec"]["upgradeStrategy"]
    assert strategy["type"] == "NewClusterWithIncrementalUpgrade"
    options = strategy["clusterUpgradeOptions"]
    assert options["gatewayClassName"] == "istio"
    # What KubeRay refuses otherwise: steps within the surge, and clusters that are scaled.
    assert 0 < options["stepSizePercent"] <= options["maxSurgePercent"] and options["intervalSeconds"] > 0
    assert service["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"] is True
