"""The front's keeper: on each node, an HAProxy that died is started again at once, with the replicas that it knew.

It takes the place of Ray Serve's own manager of HAProxy, from which it differs in three things. That one leaves a dead
HAProxy to the controller, which misses it three times and then starts another manager; a new manager's HAProxy answers
404 until the controller has told it of replicas; and its HAProxy hands a request over with its first bytes, so that a
few hundred clients that send a byte a second take all places of a replica. Ray's controller calls `install` before it
starts managers: `cluster.ray_settings` names it by string. The manager is Ray's private class, and Ray's version is
pinned.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import ray
from ray.serve._private import controller, haproxy
from ray.serve._private.haproxy import HAProxyManager

logger = logging.getLogger("ray.serve")
_LOOK_EVERY_S = 0.1
_TOLD_WITHIN_S = 5.0
_TRY_AGAIN_AFTER_S = 0.5
# A replica gets a request when it is whole, or has filled HAProxy's buffer of 16 KiB; it has so long to come so far.
_HTTP = "frontend http_frontend\n"
_WHOLE = "    option http-buffer-request\n    timeout http-request 30s\n"
_Manager: Any = HAProxyManager.__ray_metadata__.modified_class.__ray_actor_class__


class KeepingManager(_Manager):  # type: ignore[misc]
    """Ray's manager, whose HAProxy starts once there is what it may answer with, and starts again where it died."""

    _haproxy_start_task: asyncio.Task[None]

    def __init__(self, *args: Any, **options: Any) -> None:
        haproxy.HAPROXY_CONFIG_TEMPLATE = patient(haproxy.HAPROXY_CONFIG_TEMPLATE)
        super().__init__(*args, **options)
        if Path(self._haproxy.config_file_path).exists():  # another manager was here before
            self._haproxy_start_task.cancel()
            self._haproxy_start_task = self.event_loop.create_task(self._start_when_told())
        self._keeping = self.event_loop.create_task(self._keep())

    async def shutdown(self) -> None:
        self._keeping.cancel()
        await super().shutdown()

    async def _start_when_told(self) -> None:
        """Where nobody tells it of replicas, it starts without any, as Ray's does."""
        for _ in range(int(_TOLD_WITHIN_S / _LOOK_EVERY_S)):
            if self._received_target_groups_broadcast and not self._update_pending:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        await self._haproxy.start()

    async def _keep(self) -> None:
        await self._haproxy_start_task
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            async with self._reload_lock:
                if self._haproxy._proc is not None and not self._haproxy._is_running():
                    logger.warning("HAProxy ended with %s, and starts again", self._haproxy._proc.returncode)
                    await self._start_again()

    async def _start_again(self) -> None:
        """Where that fails, as by a port that is still taken, the keeper tries anew."""
        try:
            await self._haproxy.start()
        except (RuntimeError, OSError) as error:
            logger.warning("HAProxy did not start: %s", error)
            await asyncio.sleep(_TRY_AGAIN_AFTER_S)


def patient(template: str) -> str:
    """Ray's template of HAProxy's configuration, in which requests over HTTP (gRPC streams them) are waited for."""
    return template.replace(_HTTP, _HTTP + _WHOLE) if _WHOLE not in template else template


def install() -> None:
    """From now on this controller starts such managers."""
    controller.HAProxyManager = ray.remote(num_cpus=0)(KeepingManager)
