"""What the front's keeper makes of Ray Serve's manager of HAProxy, without a Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private import controller
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE
from ray.serve._private.utils import call_function_from_import_path

from cluster.ray_settings import serve_settings
from serving import front_keeper
from serving.front_keeper import KeepingManager, patient


@dataclass
class _Api:
    """HAProxy as Ray's manager knows it, whose processes only exit."""

    starts: int = 0
    fails: int = 0
    _proc: Any = field(default_factory=lambda: SimpleNamespace(returncode=None))

    def _is_running(self) -> bool:
        return self._proc is not None and self._proc.returncode is None

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self.fails:
            raise RuntimeError("HAProxy crashed during startup: cannot bind socket")
        self._proc = SimpleNamespace(returncode=None)


def _manager(api: _Api) -> Any:
    manager = object.__new__(KeepingManager)
    manager._haproxy, manager._reload_lock = api, asyncio.Lock()
    manager._received_target_groups_broadcast, manager._update_pending = False, False
    return manager


def _run(body: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_keeper, "_LOOK_EVERY_S", 0.001)
    asyncio.run(body())


def test_rays_controller_starts_keepers_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "HAProxyManager", controller.HAProxyManager)
    call_function_from_import_path(serve_settings()["RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH"])
    assert controller.HAProxyManager.__ray_metadata__.class_name == "KeepingManager"


def test_an_haproxy_that_ended_is_started_again_and_one_that_was_stopped_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        api = _Api()
        manager = _manager(api)
        manager._haproxy_start_task = asyncio.ensure_future(asyncio.sleep(0))
        keeping = asyncio.ensure_future(manager._keep())
        await asyncio.sleep(0.02)
        assert api.starts == 0
        api._proc.returncode = -9
        await asyncio.sleep(0.02)
        assert api.starts == 1 and api._is_running()
        api._proc = None
        await asyncio.sleep(0.02)
        assert api.starts == 1
        keeping.cancel()

    _run(body, monkeypatch)


def test_an_haproxy_that_does_not_start_again_at_once_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        api = _Api(fails=2)
        manager = _manager(api)
        manager._haproxy_start_task = asyncio.ensure_future(asyncio.sleep(0))
        keeping = asyncio.ensure_future(manager._keep())
        api._proc.returncode = -9
        await asyncio.sleep(0.1)
        assert api.starts == 3 and api._is_running()
        keeping.cancel()

    monkeypatch.setattr(front_keeper, "_TRY_AGAIN_AFTER_S", 0.001)
    _run(body, monkeypatch)


def test_a_later_manager_starts_its_haproxy_once_it_knows_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        api = _Api()
        manager = _manager(api)
        starting = asyncio.ensure_future(manager._start_when_told())
        await asyncio.sleep(0.02)
        manager._received_target_groups_broadcast, manager._update_pending = True, True
        await asyncio.sleep(0.02)
        assert api.starts == 0
        manager._update_pending = False
        await starting
        assert api.starts == 1

    _run(body, monkeypatch)


def test_of_rays_template_only_http_waits_for_whole_requests_and_twice_is_once() -> None:
    found = patient(HAPROXY_CONFIG_TEMPLATE)
    assert found.count("option http-buffer-request") == 1 and patient(found) == found
    before, _, rest = found.partition("frontend http_frontend\n")
    assert rest.startswith("    option http-buffer-request\n    timeout http-request 30s\n    bind ")
    assert before == HAPROXY_CONFIG_TEMPLATE.partition("frontend http_frontend\n")[0]
