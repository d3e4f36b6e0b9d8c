"""What a message holds, in no vendor's words: texts, pictures, documents, thinking, calls of tools and their results.

1. A :class:`Part` that two dialects can say has a class of its own; what only one knows is an
   :class:`OpaquePart`, which builders of other dialects refuse or leave out.
2. Where a part stood in the caller's request, as its own dialect's path (``messages[2].content[0]``), is its
   ``where``, so that a refusal by the target can name the caller's field.
3. Parts and messages are frozen, and compare by value.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from clawproxy.core.dialects import DialectName

Role = Literal["system", "developer", "user", "assistant"]
"""Who speaks."""


@frozen(slots=True)
class CacheControl:
    """A mark up to which the prompt may be cached.

    :ivar ttl: ``"5m"``, ``"1h"``, … or ``None`` for the vendor's default.
    """

    ttl: str | None = None


@frozen(slots=True)
class InlineData:
    """Bytes that came with the request.

    :ivar media_type: e.g. ``image/png``, ``application/pdf``.
    :ivar data: standard base64, without the data URL's head.
    """

    media_type: str
    data: str


@frozen(slots=True)
class RemoteUrl:
    """An ``http(s)`` address that the vendor fetches itself."""

    url: str


@frozen(slots=True)
class VendorFile:
    """A file that was uploaded to the vendor whose dialect is ``origin``; no other vendor can read
    it.
    """

    file_id: str
    origin: DialectName


@frozen(slots=True)
class PlainText:
    """A document's text."""

    text: str


Source: TypeAlias = InlineData | RemoteUrl | VendorFile | PlainText


@frozen(slots=True)
class TextPart:
    """Words."""

    text: str
    cache: CacheControl | None = None


@frozen(slots=True)
class RefusalPart:
    """Words with which an assistant refused earlier (OpenAI); elsewhere they are text."""

    text: str


@frozen(slots=True)
class ImagePart:
    """A picture.

    :ivar detail: OpenAI's ``detail`` hint.
    """

    source: InlineData | RemoteUrl | VendorFile
    detail: str | None = None
    cache: CacheControl | None = None
    where: str = ""


@frozen(slots=True)
class FilePart:
    """A document: a PDF, a text, a vendor's uploaded file.

    :ivar name: its file name or title.
    :ivar context: what the caller says about it (Anthropic).
    :ivar citations: the answer shall cite it (Anthropic).
    """

    source: Source
    name: str | None = None
    context: str | None = None
    citations: bool = False
    cache: CacheControl | None = None
    where: str = ""


@frozen(slots=True)
class ThinkingPart:
    """An assistant's earlier thinking; sent only to the dialect ``origin`` that sealed it, and to
    no other, not even as text.

    :ivar signature: Anthropic's ``signature``, the Responses API's ``encrypted_content``; ``""`` if
        it has none.
    :ivar redacted: Anthropic's ``redacted_thinking.data``.
    :ivar id: the Responses API's item id.
    """

    origin: DialectName
    text: str = ""
    signature: str = ""
    redacted: str = ""
    id: str = ""


@frozen(slots=True)
class ToolCallPart:
    """An assistant's earlier call of a tool.

    :ivar arguments: JSON text as the caller spelled it, or free text if ``custom``. Not checked: a
        cut answer may have left half an object.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False
    cache: CacheControl | None = None


@frozen(slots=True)
class ToolResultPart:
    """What a tool gave back; stands in a ``user`` message, right after the assistant's message that
    called it.

    :ivar content: text, images and files, in order; may be empty.
    """

    call_id: str
    content: tuple[TextPart | ImagePart | FilePart, ...] = ()
    is_error: bool = False
    cache: CacheControl | None = None


@frozen(slots=True)
class OpaquePart:
    """A block that only the dialect ``origin`` knows, e.g. the traces of a server tool.

    :ivar raw: its JSON.
    """

    origin: DialectName
    kind: str
    raw: bytes
    where: str = ""


Part: TypeAlias = (
    TextPart
    | RefusalPart
    | ImagePart
    | FilePart
    | ThinkingPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)


@frozen(slots=True)
class Message:
    """One message; consecutive ones of one role are allowed, ``system`` and ``developer`` may stand
    anywhere.

    :ivar name: OpenAI's participant name, a hint.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
