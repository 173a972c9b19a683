"""Releasing in Kubernetes: a canary or shadow beside the version that a RayService serves.

The RayService itself says which version that is, so that no record can differ from it; what is wanted of a release is
the same small file in the store as elsewhere, which its replicas follow. What is promoted is applied.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import yaml

from cluster.endpoint_arguments import ServedModel
from cluster.exposure import require_guard_in_kubernetes
from cluster.kubernetes_api import KubernetesApi
from cluster.object_names import endpoint_name
from cluster.output import Output
from cluster.overlay import Overlay
from cluster.preflight import require_remote
from cluster.ray_endpoint import address, serve_model
from cluster.ray_jobs import RayJobs
from cluster.reach import require_reached
from cluster.releasing import Deploy, Served, begin_release, follow, promote
from raymill.console import Console
from raymill.errors import ResourceError
from raymill.release import Release
from raymill.spec import Spec
from raymill.spec_text import load_spec
from raymill.store import Store

_PLACE = "the Kubernetes cluster"
_ASKED_FOR = ("version", "bundle_uri", "digest", "store_uri")


def served(spec: Spec, api: KubernetesApi) -> Served:
    """What the RayService of the spec's name serves.

    Raises ResourceError where there is none of raymill's, or where its replicas look for releases in another store.
    """
    found = api.get("RayService", endpoint_name(spec.name))
    if found is None:
        raise ResourceError(
            f"There is no endpoint {endpoint_name(spec.name)} in the namespace {api.namespace}.",
            "Type `raymill deploy SPEC --on k8s` first.",
        )
    arguments = _arguments(found, spec.name)
    store = Store(spec.store).uri
    if arguments["store_uri"] != store:
        raise ResourceError(
            f"The endpoint {spec.name} in Kubernetes follows releases in the store {arguments['store_uri']}, "
            f"not in {store}.",
            f"Type the spec with store={arguments['store_uri']}.",
        )
    bundle = {key: arguments[key] for key in ("bundle_uri", "digest")}
    return Served(version=arguments["version"], url=address(spec, api), **bundle)


def release_champion(
    spec: Spec,
    champion: ServedModel | None,
    arguments: argparse.Namespace,
    api: KubernetesApi,
    overlay: Overlay,
    console: Console,
) -> Release:
    """Gives the champion its share of the endpoint's requests, and with --auto waits for the judge, and obeys.

    Raises what `begin_release` and `follow` raise.
    """
    is_shadow = arguments.shadow is not None
    share = arguments.shadow if is_shadow else arguments.canary
    begun = begin_release(spec, served(spec, api), champion, console, share=share, shadow=is_shadow)
    return follow(spec, console, _deploys(api, overlay)) if arguments.auto else begun


def require_releasable(spec: Spec, jobs: RayJobs) -> None:
    """Raises what would keep a release from being begun or ended here, where what is wanted of it is written."""
    served(spec, jobs.api)
    jobs.store_place().require(spec.store, jobs.api.namespace)
    require_reached(Store(spec.store), None)


def promote_candidate(arguments: argparse.Namespace, console: Console, output: Output) -> dict[str, Any]:
    """`raymill release promote SPEC --on k8s`."""
    spec = load_spec(arguments.spec, arguments.overrides)
    require_remote(spec, _PLACE, {})
    require_guard_in_kubernetes(spec.serve)
    jobs = RayJobs.connected(console.say)
    overlay = jobs.overlay()
    require_releasable(spec, jobs)
    return {"endpoint": promote(spec, console, deploy=_deploys(jobs.api, overlay))}


def _deploys(api: KubernetesApi, overlay: Overlay) -> Deploy:
    return lambda spec, model, console: serve_model(spec, model, api, overlay, console)


def _arguments(service: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Arguments of its application, as `serving.app` takes them; raises ResourceError where it is none of raymill's."""
    try:
        [application] = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
        return {key: application["args"][key] for key in _ASKED_FOR}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ResourceError(
            f"The RayService {endpoint_name(name)} was not made by raymill.",
            "Delete it, or give the spec another name.",
        ) from error
