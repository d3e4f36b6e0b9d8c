"""What a prompt and an answer look like to people, the same for every dialect.

A dialect's module (:mod:`~clawproxy.dashboard.view_anthropic` and its like) turns JSON into these
values; templates know nothing else. Whatever the JSON holds, there is a value for it: what nobody
knows is an :class:`Other`, shown as it is.

A *pointer* says where in the JSON a thing stands (``messages/3/content/0``, RFC 6901 without its
escapes and its first slash), so that a page can link to it, and fetch an image or a long text.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen

IMAGE_WEIGHT = 6400
"""Characters that an image counts as where tokens are shared out: some 1,600 tokens."""


@frozen(kw_only=True)
class Part:
    """A part of a message.

    :cvar kind: what templates tell parts apart by.
    :ivar breakpoint: the lifetime that a ``cache_control`` on it asks for, ``""`` for none.
    :ivar weight: characters of the JSON that the model reads, roughly.
    """

    kind: ClassVar[str] = "part"

    pointer: str = ""
    breakpoint: str = ""
    weight: int = 0


@frozen(kw_only=True)
class Citation:
    """Where an answer says it has something from."""

    title: str
    url: str = ""
    quote: str = ""


@frozen(kw_only=True)
class Text(Part):
    """Text, in Markdown as models write it.

    :ivar plain: it is not Markdown: show it as it is.
    :ivar note: what is special about it, e.g. ``refusal``.
    """

    kind: ClassVar[str] = "text"

    text: str
    plain: bool = False
    note: str = ""
    citations: tuple[Citation, ...] = ()


@frozen(kw_only=True)
class Aside(Part):
    """Text that a client's program put between a person's words, e.g. a ``<system-reminder>``."""

    kind: ClassVar[str] = "aside"

    name: str
    text: str


@frozen(kw_only=True)
class Thinking(Part):
    """What a model thought.

    :ivar note: why there is no text, or that there is a signature.
    """

    kind: ClassVar[str] = "thinking"

    text: str
    note: str = ""


@frozen(kw_only=True)
class Image(Part):
    """An image.

    :ivar url: of one that lives elsewhere; it is shown as a link and never fetched.
    :ivar embedded: its bytes are in the JSON, at :attr:`Part.pointer`.
    """

    kind: ClassVar[str] = "image"

    media: str = ""
    url: str = ""
    embedded: bool = False
    size: int = 0
    alt: str = ""


@frozen(kw_only=True)
class File(Part):
    """A document, a sound, an uploaded file.

    :ivar text: its content where that is text.
    :ivar embedded: its bytes are in the JSON.
    """

    kind: ClassVar[str] = "file"

    name: str = ""
    media: str = ""
    text: str = ""
    url: str = ""
    embedded: bool = False
    size: int = 0


@frozen(kw_only=True)
class Result(Part):
    """What a tool gave.

    :ivar call: the id of the call that it answers.
    """

    kind: ClassVar[str] = "result"

    call: str = ""
    name: str = ""
    parts: tuple[Part, ...] = ()
    error: bool = False


@frozen(kw_only=True)
class Call(Part):
    """A tool call.

    :ivar arguments: as JSON, where they are JSON.
    :ivar raw: as text, where they are none.
    :ivar note: whose tool it is, e.g. ``server`` for one that the provider runs.
    :ivar result: what came of it, if the prompt has that.
    """

    kind: ClassVar[str] = "call"

    id: str = ""
    name: str = ""
    arguments: object = None
    raw: str = ""
    note: str = ""
    result: Result | None = None


@frozen(kw_only=True)
class Other(Part):
    """Something this program does not know."""

    kind: ClassVar[str] = "other"

    name: str
    value: object


@frozen(kw_only=True)
class Message:
    """A message.

    :ivar role: ``system``, ``developer``, ``user``, ``assistant``, ``tool``, or whatever stands there.
    :ivar number: its place in the request's list, from 0; of several items that make up one message,
        the first one's.
    :ivar span: how many items of the request's list it is made of.
    :ivar answered: all it holds are results that stand beside their calls.
    """

    role: str
    parts: tuple[Part, ...] = ()
    pointer: str = ""
    number: int = 0
    span: int = 1
    name: str = ""
    answered: bool = False

    @property
    def weight(self) -> int:
        """Characters of all parts."""
        return sum(part.weight for part in self.parts)


@frozen(kw_only=True)
class Tool:
    """A tool that was offered."""

    name: str
    description: str = ""
    schema: object = None
    note: str = ""
    pointer: str = ""
    breakpoint: str = ""
    weight: int = 0


@frozen(kw_only=True)
class Prompt:
    """A request.

    :ivar settings: all else that was asked for, in the request's order.
    :ivar raw: the list that the messages were read from, for comparing turns.
    """

    model: str = ""
    system: tuple[Part, ...] = ()
    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()
    settings: tuple[tuple[str, object], ...] = ()
    raw: tuple[object, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class Failure:
    """An error that was answered."""

    kind: str
    message: str
    code: str = ""


@frozen(kw_only=True)
class Answer:
    """An answer.

    :ivar messages: one, or several where several were asked for (``n``).
    :ivar usage: the API's own object.
    """

    model: str = ""
    messages: tuple[Message, ...] = ()
    stop: str = ""
    usage: object = None
    error: Failure | None = None
    extras: tuple[tuple[str, object], ...] = ()
