"""How many tokens a request has, estimated where no upstream can be asked.

1. :func:`estimate` counts a request body of any dialect.
2. :func:`preload` loads the tokenizer, which takes some 0.2 s and 60 MB once, at a time of the
   caller's choosing.

Texts are counted with OpenAI's ``o200k_base``, whose vocabulary comes inside the tokenizer's
package, so that nothing is ever fetched. For other models it is an estimate: their vocabularies are
not public, or differ by a tenth. Messages and tools go by
https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken and
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview (pricing), images and
documents by :mod:`clawproxy.core.token_rules`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache

from clawproxy.core.dialects import DialectName
from clawproxy.core.imagesize import image_size_of_base64
from clawproxy.core.jsonread import JSONError, read
from clawproxy.core.token_rules import PER_PDF_PAGE, anthropic_image, openai_image, pdf_pages

MOST_CHARACTERS = 1024 * 1024
"""Characters that are really counted, at 1 to 2 ms per 100,000; the rest is taken to be alike."""

PER_MESSAGE = 3
PER_REPLY = 3
PER_TOOL = 7
TOOLS_ANTHROPIC = 346
"""Tokens of the system prompt that the API adds when there are tools (``tool_choice`` ``auto``)."""

_WARM = "Warm-up: foo_bar(1234)\n\n  Ünï 漢字 x'll 😀\t"
_DATA_URL = re.compile(r"data:([^,]*+),")

# Members that are not shown to the model as text, or are counted in another way.
_NOT_TEXT = frozenset(
    {
        "type",
        "id",
        "tool_use_id",
        "tool_call_id",
        "call_id",
        "cache_control",
        "signature",
        "data",
        "encrypted_content",
        "encrypted_index",
        "encrypted_stdout",
        "status",
        "file_id",
        "media_type",
    }
)


@cache
def _encoder() -> Callable[[str], list[int]]:
    from splintr import Tokenizer

    encode: Callable[[str], list[int]] = Tokenizer.from_pretrained("o200k_base").encode_ordinary
    encode(_WARM)
    return encode


def preload() -> None:
    """Load the tokenizer now; may be called from any thread."""
    _encoder()


def estimate(dialect: DialectName, body: bytes, model: str = "") -> int:
    """Estimate the input tokens of a request.

    A pure function of its arguments. What is not understood is counted as the text that it is.

    :param dialect: the body's.
    :param model: the model that will read it: the sizes of images depend on it.
    :raises JSONError: if the body is not JSON, or nested beyond reason.
    """
    request = read(body)
    counter = _Counter(dialect, model)
    if isinstance(request, dict):
        try:
            counter.request(request)
        except RecursionError:
            raise JSONError("JSON nested too deeply") from None
    return counter.total()


class _Counter:
    """Sums up one request."""

    def __init__(self, dialect: DialectName, model: str) -> None:
        self._openai_model = model if dialect != "anthropic" or _is_openai(model) else None
        self._anthropic = dialect == "anthropic"
        self._encode = _encoder()
        self._counted = 0
        self._beyond = 0
        self._text = 0
        self._other = 0

    def total(self) -> int:
        """Give the sum, texts beyond the bound taken to be like those before."""
        beyond = 0
        if self._beyond:
            beyond = math.ceil(self._beyond * self._text / max(1, self._counted))
        return self._text + beyond + self._other

    def text(self, value: object) -> None:
        """Count a string."""
        if not isinstance(value, str) or not value:
            return
        room = MOST_CHARACTERS - self._counted
        self._beyond += max(0, len(value) - room)
        if room > 0:
            counted = value[:room]
            self._counted += len(counted)
            self._text += len(self._encode(counted))

    def structure(self, value: object) -> None:
        """Count JSON as the model is shown it: as text."""
        if value is not None:
            self.text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def request(self, request: dict[str, object]) -> None:
        """Count a request of any dialect: their members do not collide."""
        self.content(request.get("system"))
        self.content(request.get("instructions"))
        messages = request.get("messages", request.get("input"))
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if isinstance(messages, list):
            last = next((n for n in reversed(range(len(messages))) if _by_model(messages[n])), -1)
            for place, message in enumerate(messages):
                self.message(message, thinking=place >= last)
            self._other += PER_REPLY
        tools = [*_list(request.get("tools")), *_list(request.get("functions"))]
        for tool in tools:
            self.structure(_without(tool, "cache_control"))
            self._other += PER_TOOL
        if tools and self._anthropic:
            self._other += TOOLS_ANTHROPIC
        for name in ("response_format", "text", "output_config", "output_format"):
            value = request.get(name)
            if isinstance(value, dict) and isinstance(value.get("format", value), dict):
                inner = value.get("format", value)
                self.structure(inner.get("schema") or inner.get("json_schema"))

    def message(self, message: object, *, thinking: bool) -> None:
        """Count one message, or one item of a Responses input."""
        self._other += PER_MESSAGE
        if not isinstance(message, dict):
            self.text(message)
            return
        self.content(message.get("content"), thinking=thinking)
        self.text(message.get("name"))
        self.text(message.get("arguments"))
        self.text(message.get("refusal"))
        self.content(message.get("output"))
        if isinstance(message.get("input"), str):
            self.text(message["input"])
        for call in _list(message.get("tool_calls")) + _list([message.get("function_call")]):
            if isinstance(call, dict):
                called = call.get("function") or call.get("custom") or call
                self.structure(called)
                self._other += PER_MESSAGE

    def content(self, content: object, *, thinking: bool = True) -> None:
        """Count a content: a string, or a list of parts."""
        if not isinstance(content, list):
            self.part(content, thinking=thinking)
            return
        for part in content:
            self.part(part, thinking=thinking)

    def part(self, part: object, *, thinking: bool) -> None:
        """Count one part of a content."""
        if not isinstance(part, dict):
            self.text(part)
            return
        kind = part.get("type")
        if kind == "image":
            self._image_source(part.get("source"))
        elif kind == "image_url":
            image = part.get("image_url")
            inner = image if isinstance(image, dict) else {"url": image}
            self._image_url(inner.get("url"), inner.get("detail"))
        elif kind == "input_image":
            self._image_url(part.get("image_url"), part.get("detail"))
        elif kind == "document":
            self._document(part)
        elif kind in ("file", "input_file"):
            file = part.get("file")
            self._file(file if isinstance(file, dict) else part)
        elif kind in ("thinking", "redacted_thinking"):
            # The API drops the thinking of former turns before it counts.
            self.text(part.get("thinking") if thinking else None)
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            self.text(part.get("name"))
            self.structure(part.get("input"))
            self._other += PER_MESSAGE
        elif isinstance(part.get("text"), str):
            self.text(part["text"])
        else:
            self._unknown(part)

    def _unknown(self, part: dict[str, object]) -> None:
        for name, value in part.items():
            if name in _NOT_TEXT:
                continue
            if name == "content":
                self.content(value)
            elif isinstance(value, str):
                self.text(value)
            elif isinstance(value, (dict, list)):
                self.structure(value)

    def _image_source(self, source: object) -> None:
        data = source.get("data") if isinstance(source, dict) else None
        self._image(image_size_of_base64(data) if isinstance(data, str) else None, None)

    def _image_url(self, url: object, detail: object) -> None:
        size = None
        if (
            isinstance(url, str)
            and (match := _DATA_URL.match(url))
            and match[1].endswith(";base64")
        ):
            size = image_size_of_base64(url[match.end() : match.end() + 400_000])
        self._image(size, detail)

    def _image(self, size: tuple[int, int] | None, detail: object) -> None:
        if self._openai_model is not None:
            self._other += openai_image(self._openai_model, size, low=detail == "low")
        else:
            self._other += anthropic_image(size)

    def _document(self, part: dict[str, object]) -> None:
        self.text(part.get("title"))
        self.text(part.get("context"))
        source = part.get("source")
        if not isinstance(source, dict):
            return
        if source.get("type") == "content":
            self.content(source.get("content"))
        elif source.get("type") == "text":
            self.text(source.get("data"))
        else:
            self._pdf(source.get("data"))

    def _file(self, file: dict[str, object]) -> None:
        self.text(file.get("filename"))
        data = file.get("file_data")
        if isinstance(data, str) and (match := _DATA_URL.match(data)):
            data = data[match.end() :]
        self._pdf(data)

    def _pdf(self, data: object) -> None:
        self._other += PER_PDF_PAGE * (pdf_pages(data) if isinstance(data, str) else 1)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _without(value: object, name: str) -> object:
    return {k: v for k, v in value.items() if k != name} if isinstance(value, dict) else value


def _by_model(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant"


def _is_openai(model: str) -> bool:
    return model.startswith(("gpt-", "o1", "o3", "o4", "chatgpt"))
