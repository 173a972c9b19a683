"""What an overlay settles for jobs and endpoints: its ConfigMap `raymill-jobs`, whose texts are read strictly, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from raymill.errors import ResourceError

CONFIG_MAP = "raymill-jobs"


def _whole(text: Any) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        raise ValueError(f"whole seconds are wanted, as '3600', not {text!r}")
    return int(text)


_Seconds = Annotated[int, BeforeValidator(_whole)]
_Name = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"


class JobSettings(BaseModel):
    """How long jobs may take, wait and stay, where they queue, and as whom scheduled ones act.

    `gateway_class` is that of the Gateways which bring requests to other pods of an endpoint step by step; none if "".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    deadline_s: Annotated[_Seconds, Field(gt=0)]
    ttl_s: _Seconds
    wait_s: Annotated[_Seconds, Field(gt=0)]
    queue: str = Field(pattern=rf"{_Name}|^$")
    launcher_service_account: str = Field(pattern=_Name)
    gateway_class: str = Field(pattern=rf"{_Name}|^$")

    @classmethod
    def of(cls, config_map: Mapping[str, Any], place: str) -> JobSettings:
        """Reads a ConfigMap. Raises ResourceError with every mistake in it."""
        try:
            return cls.model_validate(dict(config_map.get("data") or {}))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_said(e['msg'])}" for e in error.errors())
            raise ResourceError(
                f"The ConfigMap {CONFIG_MAP} of {place} can't be used: {wrong}.",
                f"Its keys are {', '.join(cls.model_fields)}, each a text; k8s/base has them all.",
            ) from None


def _said(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")
