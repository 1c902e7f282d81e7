"""What all shapes share."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A shape whose JSON schema is worked out once: the framework asks for it at every request."""

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """As pydantic has it; not to be changed by whoever gets it."""
        return super().model_json_schema(*args, **kwargs)


MAY_BE_ABSENT = cast(ConfigDict, {"openapi_extra": {"required": False}})
"""The configuration of a body that may be left out, in the framework's own words."""


class Input(Shape):
    """What a caller sends: exactly the types that are named, and nothing that is not."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Query(Shape):
    """Parameters of an address: texts, read as what they stand for."""

    model_config = ConfigDict(extra="forbid")


class Output(Shape):
    """What we answer. More fields may come; none goes away within v1."""

    model_config = ConfigDict(strict=True)


class WithUnknown(Output):
    """An answer in which a figure that is not known is null."""

    unknown: dict[str, str]
    """Why each null figure is null, by its name."""
