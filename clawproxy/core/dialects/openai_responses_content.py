"""The content of a Responses message or tool output becomes parts: texts, pictures, documents.

An earlier answer's ``output_text`` is read as the caller's ``input_text`` is: clients replay both.

Parts: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from clawproxy.core.dialects.dataurl import read_url
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    RefusalPart,
    RemoteUrl,
    TextPart,
    VendorFile,
)
from clawproxy.core.dialects.rawjson import MALFORMED, Fields, String, decode, elements
from clawproxy.core.dialects.turn import unsupported

Content: TypeAlias = TextPart | RefusalPart | ImagePart | FilePart


def read_content(raw: msgspec.Raw, where: str) -> tuple[Content, ...]:
    """Read the content of a message: a string, or a list of parts.

    :raises ProxyError: ``INVALID_REQUEST`` for a wrong shape, ``UNSUPPORTED_PARAMETER`` for a part
        that no other dialect can express.
    """
    try:
        return (TextPart(decode(String, raw)),)
    except MALFORMED:
        pass
    return tuple(
        read_part(Fields.of(each, f"{where}[{index}]"))
        for index, each in enumerate(elements(raw, where))
    )


def read_part(part: Fields) -> Content:
    """Read one part.

    :raises ProxyError: as :func:`read_content`.
    """
    kind = part.need("type", String, "the content part's type")
    if kind in ("input_text", "output_text", "text", "summary_text"):
        return TextPart(part.need("text", String, "the part's text"), _cache(part))
    if kind == "refusal":
        return RefusalPart(part.need("refusal", String, "the refusal's text"))
    if kind == "input_image":
        return _image(part)
    if kind == "input_file":
        return _file(part)
    raise unsupported(
        part.path("type"),
        f"content of type {kind!r} cannot be expressed for the provider that this model is routed "
        "to.",
    )


def _cache(part: Fields) -> CacheControl | None:
    mark = part.object("prompt_cache_breakpoint")
    if mark is None:
        return None
    # 30 minutes is this API's default and Anthropic's is 5; both are renewed by use.
    return CacheControl("1h" if mark.take("ttl", String) == "12h" else None)


def _image(part: Fields) -> ImagePart:
    detail = part.take("detail", String)
    cache = _cache(part)
    if file_id := part.take("file_id", String):
        source = VendorFile(file_id, "openai_responses")
        return ImagePart(source, detail, cache, part.path("file_id"))
    url = part.need("image_url", String, "the image's URL, or a file_id")
    where = part.path("image_url")
    return ImagePart(read_url(url, where), detail, cache, where)


def _file(part: Fields) -> FilePart:
    name = part.take("filename", String)
    cache = _cache(part)
    if file_id := part.take("file_id", String):
        source = VendorFile(file_id, "openai_responses")
        return FilePart(source, name, cache=cache, where=part.path("file_id"))
    if url := part.take("file_url", String):
        where = part.path("file_url")
        return FilePart(RemoteUrl(url), name, cache=cache, where=where)
    data = part.need("file_data", String, "the file's data, or a file_id or file_url")
    where = part.path("file_data")
    if data.startswith("data:"):
        return FilePart(read_url(data, where), name, cache=cache, where=where)
    media_type = "application/pdf" if (name or ".pdf").lower().endswith(".pdf") else "text/plain"
    return FilePart(InlineData(media_type, data), name, cache=cache, where=where)
