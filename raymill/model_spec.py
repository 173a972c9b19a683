"""The spec's model section: a network of raymill's, or a function of the user's that builds one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from raymill.section import Count, Section


class LinearSpec(Section):
    type: Literal["linear"]


class MlpSpec(Section):
    """A multilayer perceptron in the simplified form of RealMLP (Holzmüller et al. 2024, arXiv 2407.04491)."""

    type: Literal["mlp"] = "mlp"
    hidden: tuple[Count, ...] = (256, 256, 256)
    dropout: float = Field(0.0, ge=0, lt=1)


class ImportedSpec(Section):
    """A function of the user's own: `build_model(layout, task, **options) -> nn.Module`."""

    import_: str = Field(
        alias="import",
        pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$",
        description="a module and a function in it, as my_package.net.build_model",
    )
    options: dict[str, Any] = Field({})


def _model_form(value: Any) -> str:
    """The kind of model that a model section asks for; a section without a type is an mlp."""
    if isinstance(value, dict):
        return "<import>" if "import" in value else f"<{value.get('type', 'mlp')}>"
    if isinstance(value, ImportedSpec):
        return "<import>"
    return "<linear>" if isinstance(value, LinearSpec) else "<mlp>"


ModelSpec = Annotated[
    Annotated[LinearSpec, Tag("<linear>")]
    | Annotated[MlpSpec, Tag("<mlp>")]
    | Annotated[ImportedSpec, Tag("<import>")],
    Discriminator(_model_form),
]
