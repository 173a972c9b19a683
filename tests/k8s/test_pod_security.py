"""The profile *restricted* is read as the standard writes it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s import pod_security
from tests.k8s.builds import Build

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def said(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> list[str]:
    """What is said of a good pod that a change was made to; it gets the pod's spec and its container."""
    spec = copy.deepcopy(GOOD)
    change(spec, spec["containers"][0])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    return pod_security.unrestricted(Build(name="pod", objects=(pod,)))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, c: spec.update(hostPID=True),
        lambda spec, c: spec.update(hostIPC=True),
        lambda spec, c: spec["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        lambda spec, c: spec["volumes"].append({"name": "n", "nfs": {"server": "s", "path": "/"}}),
        lambda spec, c: spec["securityContext"].update(runAsNonRoot=False),
        lambda spec, c: spec["securityContext"].update(runAsUser=0),
        lambda spec, c: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        lambda spec, c: spec["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        lambda spec, c: spec["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
        lambda spec, c: c["securityContext"].update(privileged=True),
        lambda spec, c: c["securityContext"].update(runAsNonRoot=False),
        lambda spec, c: c["securityContext"].update(runAsUser=0),
        lambda spec, c: c["securityContext"].update(procMount="Unmasked"),
        lambda spec, c: c["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        lambda spec, c: c["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
        lambda spec, c: c["securityContext"].update(windowsOptions={"hostProcess": True}),
        lambda spec, c: c["securityContext"].pop("allowPrivilegeEscalation"),
        lambda spec, c: c["securityContext"].update(capabilities={"drop": ["NET_RAW"]}),
        lambda spec, c: c["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
        lambda spec, c: c.update(ports=[{"containerPort": 80, "hostPort": 80}]),
        lambda spec, c: c.update(livenessProbe={"httpGet": {"port": 80, "host": "elsewhere"}}),
        lambda spec, c: spec.update(initContainers=[{"name": "i"}]),
    ],
)
def test_what_the_standard_forbids_is_found(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    assert said(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, c: None,
        lambda spec, c: c["securityContext"]["capabilities"].update(add=["NET_BIND_SERVICE"]),
        lambda spec, c: (spec.pop("securityContext"), c["securityContext"].update(GOOD["securityContext"])),
        lambda spec, c: spec["volumes"].append({"name": "s", "secret": {"secretName": "s"}}),
        lambda spec, c: spec["securityContext"].update(sysctls=[{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
    ],
)
def test_what_the_standard_allows_is_let_through(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    assert said(change) == []
