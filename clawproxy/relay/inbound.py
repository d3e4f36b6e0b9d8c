"""The caller's request as it was understood: :func:`read` looks at head and body and changes neither.

A request on one of the endpoints of the dialects is checked here for what its path demands; any other
path is passed through, and nothing of it is looked at. :func:`turn_of` reads all of one that is translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from attrs import define, frozen

from clawproxy.core.coding import CodingError, decode
from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import RawHeaders
from clawproxy.core.jsonread import JSONError, Members, peek
from clawproxy.relay.offload import LARGE

Operation = Literal["generate", "count_tokens", "passthrough"]


@frozen
class Endpoint:
    """A path of a dialect.

    :ivar wants_messages: whether the body must hold a list of ``messages``.
    """

    dialect: DialectName
    operation: Operation
    wants_messages: bool


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/messages": Endpoint("anthropic", "generate", wants_messages=True),
    "/v1/messages/count_tokens": Endpoint("anthropic", "count_tokens", wants_messages=True),
    "/v1/chat/completions": Endpoint("openai_chat", "generate", wants_messages=True),
    "/v1/responses": Endpoint("openai_responses", "generate", wants_messages=False),
}
"""The paths whose bodies are understood; all take POST."""


@define
class Inbound:
    """A caller's request.

    :ivar target: path and query as they came, from ``/v1`` on: a ``/{provider}`` in front is off.
    :ivar path: the target's path, for the log and the record with what stood in front.
    :ivar pinned: the provider that the caller names, by path or header.
    :ivar first: each header's first value by its name in lower case.
    :ivar body: the bytes as they came.
    :ivar decoded: the body with its content codings undone; the same object where there were none.
    :ivar understood: the body is a JSON object of which ``model`` and the like were read.
    :ivar opaque: the body is in a coding that is not known here: it goes on as it is.
    """

    method: str
    target: bytes
    path: str
    headers: RawHeaders
    first: dict[bytes, bytes]
    body: bytes
    dialect: DialectName | None
    operation: Operation
    pinned: str | None = None
    decoded: bytes = b""
    understood: bool = False
    model: str = ""
    stream: bool = False
    opaque: bool = False
    _members: Members | None = None

    @property
    def members(self) -> Members | None:
        """The top level of the JSON body, read when somebody asks for more of it; ``None`` where there is none."""
        if self._members is None and self.understood:
            self._members = peek(self.decoded)
        return self._members


class _Ordinary(msgspec.Struct):
    """What has to be known of nearly every request; any other one is looked at member by member."""

    model: str
    messages: msgspec.Raw = msgspec.Raw(b"")
    stream: bool | None = None


_BRACKET = ord("[")
_ordinary = msgspec.json.Decoder(_Ordinary)


def dialect_of(path: str, first: Mapping[bytes, bytes]) -> DialectName | None:
    """Tell the dialect in which a caller is answered, errors included.

    :param path: from ``/v1`` on.
    :param first: each header's first value by its name in lower case.
    """
    endpoint = ENDPOINTS.get(path)
    if endpoint is not None:
        return endpoint.dialect
    if path.startswith("/v1/messages/") or b"anthropic-version" in first:
        return "anthropic"
    return None


def size_to_read(inbound: Inbound) -> int:
    """Tell how many bytes :func:`read` will go over; a few of a coded body can be very many.

    What decodes to no more than a body that is read at once is decoded here already.
    """
    size = len(inbound.body)
    coding = inbound.first.get(b"content-encoding")
    if coding is not None and _coded(coding):
        try:
            inbound.decoded = decode(inbound.body, coding.decode("latin-1"), LARGE)
        except CodingError as error:
            if error.reason == "too_large":
                size += LARGE
    return size


def _coded(coding: bytes) -> bool:
    return coding.strip().lower() not in (b"", b"identity")


def read(inbound: Inbound, endpoint: Endpoint, max_body: int) -> None:
    """Understand the body of a request on one of the dialects' endpoints.

    :param max_body: bytes that the body may have once decoded.
    :raises ProxyError: 400 or 413, as the interface's table says.
    """
    coding = inbound.first.get(b"content-encoding")
    if coding is None or not _coded(coding):
        inbound.decoded = inbound.body
    elif not inbound.decoded or len(inbound.decoded) > max_body:
        try:
            inbound.decoded = decode(inbound.body, coding.decode("latin-1"), max_body)
        except CodingError as error:
            if error.reason == "unknown":
                inbound.opaque = True
                return
            if error.reason == "too_large":
                words = f"the decoded body exceeds the limit of {max_body} bytes"
                raise ProxyError(Kind.TOO_LARGE, words) from None
            words = f"the body is not valid {coding.decode('latin-1')!r}: {error}"
            raise ProxyError(Kind.INVALID_JSON, words) from None
    try:
        ordinary = _ordinary.decode(inbound.decoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    else:
        messages = memoryview(ordinary.messages)
        listed = len(messages) > 0 and messages[0] == _BRACKET
        if ordinary.model and (listed or not endpoint.wants_messages):
            inbound.understood = True
            inbound.model, inbound.stream = ordinary.model, ordinary.stream is True
            return
    _look_closely(inbound, endpoint)


def _look_closely(inbound: Inbound, endpoint: Endpoint) -> None:
    """Read what is not ordinary, and say what is wrong with it."""
    try:
        members = peek(inbound.decoded)
    except JSONError as error:
        found = "empty" if not inbound.decoded.strip() else str(error)
        words = f"the request body must be a JSON object; it is {found}"
        raise ProxyError(Kind.INVALID_JSON, words) from None
    model = members.text("model")
    if not model:
        raise _missing(members, "model", "a non-empty string")
    if endpoint.wants_messages and members.kind("messages") != "array":
        raise _missing(members, "messages", "an array")
    inbound._members, inbound.understood = members, True
    inbound.model = model
    inbound.stream = members.get("stream") is True if "stream" in members else False


def turn_of(inbound: Inbound) -> Turn:
    """Read the caller's request as a neutral turn.

    :raise ProxyError: 400, with the field that cannot be translated.
    """
    assert inbound.dialect is not None
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in inbound.headers]
    return DIALECTS[inbound.dialect].parse_request(inbound.decoded, headers)


def _missing(members: Members, name: str, expected: str) -> ProxyError:
    kind = members.kind(name)
    found = "it is missing" if kind is None else f"found {_with_article(kind, members, name)}"
    return ProxyError(Kind.MISSING_FIELD, f"{name}: expected {expected}, {found}", param=name)


def _with_article(kind: str, members: Members, name: str) -> str:
    if kind == "string" and not members.text(name):
        return "an empty string"
    if kind == "null":
        return kind
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"
