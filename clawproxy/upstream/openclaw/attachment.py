"""An image that goes to an agent with a message: :class:`Attachment`.

A gateway takes images, as data only. What else a caller attaches is refused by its place in the
request: left out, the agent would answer as if it had seen it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    Part,
    PlainText,
    ToolResultPart,
)
from clawproxy.core.dialects.turn import unsupported


@frozen
class Attachment:
    """An image as the gateway takes it.

    :ivar content: standard base64.
    """

    mime_type: str
    name: str
    content: str = field(repr=False)

    @property
    def size(self) -> int:
        """Its bytes, decoded."""
        return len(self.content) * 3 // 4 - self.content.count("=", -2)

    def params(self) -> dict[str, str]:
        """The attachment as it travels."""
        return {
            "type": "image",
            "mimeType": self.mime_type,
            "fileName": self.name,
            "content": self.content,
        }


def _flat(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, ToolResultPart):
            yield from part.content
        else:
            yield part


def read_images(messages: Iterable[Message]) -> tuple[Attachment, ...]:
    """Read the images of messages, in their order, those that tools gave back among them.

    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for a file, an image's URL, or what is no image.
    """
    found: list[Attachment] = []
    for message in messages:
        for part in _flat(message.parts):
            if isinstance(part, FilePart) and not isinstance(part.source, PlainText):
                raise unsupported(
                    part.where or "messages", "an OpenClaw agent takes images and text, no files"
                )
            if not isinstance(part, ImagePart):
                continue
            source, where = part.source, part.where or "messages"
            if not isinstance(source, InlineData):
                raise unsupported(
                    where, "an OpenClaw agent takes images as data only; send a data: URL"
                )
            if not source.media_type.startswith("image/"):
                raise unsupported(where, f"{source.media_type} is not an image")
            kind = source.media_type.removeprefix("image/").partition("+")[0]
            name = f"image-{len(found) + 1}.{kind}"
            found.append(Attachment(source.media_type, name, source.data))
    return tuple(found)
