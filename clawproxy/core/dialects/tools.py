"""The tools that a model may call, and whether it must, in no vendor's words.

Functions are what every dialect knows. A :class:`CustomTool` is offered as one where there are no others; a
:class:`ServerTool` exists at its own vendor alone.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.parts import CacheControl


@frozen(slots=True)
class FunctionTool:
    """A tool whose arguments are a JSON object.

    :ivar parameters: its JSON schema as raw JSON; ``None``: it takes none.
    :ivar strict: arguments must match the schema exactly.
    """

    name: str
    description: str | None = None
    parameters: bytes | None = None
    strict: bool | None = None
    cache: CacheControl | None = None


@frozen(slots=True)
class CustomTool:
    """A tool whose argument is free text (OpenAI's custom tools, e.g. Codex's ``apply_patch``).

    A dialect without such tools gets a function with one string parameter ``input``
    (:meth:`as_function`); its call then comes back as JSON, from which :mod:`~.freeform` takes the
    text out again.

    :ivar format: the grammar, as raw JSON.
    """

    name: str
    description: str | None = None
    format: bytes | None = None

    def as_function(self) -> FunctionTool:
        """Return the function that stands in for this tool where only functions exist."""
        description = self.description or ""
        if self.format is not None:
            description += "\n\nThe input must follow this format: " + self.format.decode()
        return FunctionTool(
            name=self.name,
            description=description.strip() or None,
            parameters=b'{"type":"object","properties":{"input":{"type":"string"}},'
            b'"required":["input"],"additionalProperties":false}',
        )


@frozen(slots=True)
class ServerTool:
    """A tool that the vendor itself runs (web search, code execution); only the dialect ``origin``
    can express it.

    :ivar kind: its ``type``.
    :ivar raw: its JSON.
    :ivar optional: the caller offers it with every request and can do without: other dialects leave
        it out instead of refusing the request.
    """

    origin: DialectName
    kind: str
    name: str
    raw: bytes
    where: str = ""
    optional: bool = False


Tool: TypeAlias = FunctionTool | CustomTool | ServerTool


@frozen(slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools.

    :ivar mode: ``tool``: it must call the tool ``name``.
    :ivar allowed: if not ``None``, only these names may be called (OpenAI's ``allowed_tools``),
        with mode ``auto`` or ``required``.
    """

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None
    allowed: tuple[str, ...] | None = None
