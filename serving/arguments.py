"""The arguments of an endpoint: all that a replica needs to know, as one strict, frozen value."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

Text = Annotated[str, Field(min_length=1)]


class EndpointArgs(BaseModel):
    """What `serving.app:build` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Text
    version: Text
    bundle_uri: Text
    digest: Text
    run_id: str | None = None
    store_uri: Text | None = None
    endpoint_id: str | None = None
    route: str = "/"
    min_replicas: NonNegativeInt = 1
    max_replicas: PositiveInt = 1
    up_delay_s: NonNegativeFloat = 10
    down_delay_s: NonNegativeFloat = 300
    max_replicas_per_node: PositiveInt | None = None
    cpus: float = Field(0.5, gt=0)
    target_ongoing_requests: PositiveInt = 16
    max_batch_size: PositiveInt = 256

    @property
    def fingerprint(self) -> str:
        """Equal for equal arguments: what decides whether a replica must be replaced."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
