"""The arguments of an endpoint: all that a replica needs to know, as one strict, frozen value."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

Text = Annotated[str, Field(min_length=1)]


class TokensAt(BaseModel):
    """Where a replica finds the hashes of the tokens that it takes: in a file, or else in a variable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    file: Text | None = None
    env: Text | None = None

    @model_validator(mode="after")
    def _one_place(self) -> TokensAt:
        if (self.file is None) == (self.env is None):
            raise ValueError("give one of file and env")
        return self


class LogArgs(BaseModel):
    """What of the requests goes to the store: `private` are the columns that don't."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sample: float = Field(gt=0, le=1)
    every_s: float = Field(60.0, gt=0)
    private: Annotated[tuple[Text, ...], Field(strict=False)] = ()


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
    configuration: str | None = None
    route: str = "/"
    min_replicas: NonNegativeInt = 1
    max_replicas: PositiveInt = 1
    up_delay_s: NonNegativeFloat = 10
    down_delay_s: NonNegativeFloat = 300
    max_replicas_per_node: PositiveInt | None = None
    cpus: float = Field(0.5, gt=0)
    target_ongoing_requests: PositiveInt = 16
    max_batch_size: PositiveInt = 256
    deadline_s: float = Field(30.0, gt=0)
    tokens: TokensAt | None = None
    grpc_loopback_only: bool = False
    log: LogArgs | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for equal arguments: what decides whether a replica must be replaced."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
