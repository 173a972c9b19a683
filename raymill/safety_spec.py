"""What a spec says about the safety of its endpoint: whose tokens are taken, and by which certificate it is known."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from raymill.section import Section


class TokensSpec(Section):
    """Where the hashes of the tokens are. Neither a token nor a hash is ever in a spec, which many may read."""

    file: str | None = Field(None, min_length=1, description="a file on every node, of lines NAME:SHA256")
    env: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of a variable that holds such lines there"
    )

    @model_validator(mode="after")
    def _one_place(self) -> TokensSpec:
        if (self.file is None) == (self.env is None):
            raise ValueError("give one of file and env")
        return self


def _tokens_form(value: Any) -> str:
    return "<place>" if isinstance(value, dict | TokensSpec) else "<word>"


Tokens = Annotated[
    Annotated[Literal["none", "gateway"], Tag("<word>")] | Annotated[TokensSpec, Tag("<place>")],
    Discriminator(_tokens_form),
]


class TlsSpec(Section):
    """The files of an endpoint that speaks TLS by itself: PEM, the certificate before those that vouch for it."""

    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1, description="without a password, and not for everybody to read")
