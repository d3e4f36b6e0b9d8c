"""What chat front-ends send, as Open WebUI 0.12.4 and SillyTavern 1.19.0 sent it in November 2026.

Headers, members and their order are theirs; prompts and the descriptions of tools are cut short. Both programs are too
large to be installed for a test.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.integration.proxy import PATIENCE, Proxy

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

#: The models of a connection, as both ask for them.
MODELS = (
    {
        "Authorization": "Bearer sk-mine",
        "Accept": "*/*",
        "User-Agent": "Python/3.11 aiohttp/3.14.5",
    },
    {"Accept": "*/*", "Authorization": "Bearer sk-mine", "User-Agent": "node-fetch"},
)

_TITLE = """\
### Task:
Generate a concise title summarizing the chat history.
### Output:
JSON format: { "title": "your concise title here" }
"""
_TAGS = """\
### Task:
Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific subtopic tags.

### Output:
JSON format: { "tags": ["tag1", "tag2", "tag3"] }

"""
_FOLLOW_UPS = """\
### Task:
Predict 3-5 useful messages this user might naturally send next to advance their current objective.
### Output:
JSON format: { "follow_ups": ["Suggested next message 1", "Suggested next message 2"] }
"""
_TASKS = {"title": _TITLE, "tags": _TAGS, "follow_ups": _FOLLOW_UPS}

Message = dict[str, Any]


def said(role: str, content: object) -> Message:
    """A message."""
    return {"role": role, "content": content}


def _tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"properties": properties, "type": "object"}
    function = {"name": name, "description": f"{name}, in many words.", "parameters": parameters}
    return {"type": "function", "function": function}


class OpenWebUI:
    """A chat in Open WebUI; the tools are the first of those that it offers with each message.

    :param chat_id: what the connection's headers say of the chat, if they say anything.
    """

    tools = (
        _tool("get_current_timestamp"),
        _tool("calculate_timestamp", days_ago={"default": 0, "type": "integer"}),
        _tool("search_memories", query={"type": "string"}, count={"default": 5, "type": "integer"}),
    )

    def __init__(self, model: str, chat_id: str | None = None) -> None:
        self.model = model
        self.headers = {
            "Content-Type": "application/json",
            "Authorization": "Bearer sk-mine",
            **({"X-OpenWebUI-Chat-Id": chat_id} if chat_id else {}),
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate, br",
            "User-Agent": "Python/3.11 aiohttp/3.14.5",
        }

    def turn(self, *messages: Message) -> bytes:
        """A message of the user's; "continue" ends with the assistant's own."""
        body = {"stream": True, "model": self.model, "messages": messages, "tools": self.tools}
        return json.dumps(body).encode()

    def task(self, kind: str, *messages: Message) -> bytes:
        """What it asks beside the chat."""
        chat = "\n".join(f"{each['role'].upper()}: {each['content']}" for each in messages)
        words = f"{_TASKS[kind]}### Chat History:\n<chat_history>\n{chat}\n</chat_history>"
        body = {"model": self.model, "messages": [said("user", words)], "stream": False}
        return json.dumps(body | ({"max_tokens": 1000} if kind == "title" else {})).encode()


class SillyTavern:
    """A chat in SillyTavern, source *Custom (OpenAI-compatible)*, without a character."""

    going_on = said(
        "system", "[Continue your last message without repeating its original content.]"
    )

    def __init__(self, model: str) -> None:
        self.model = model
        self.headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate, br",
            "Authorization": "Bearer sk-mine",
            "Content-Type": "application/json",
            "User-Agent": "node-fetch",
            "Connection": "close",
        }

    def turn(self, *messages: Message, stream: bool = True) -> bytes:
        """A message, a swipe (the same once more), or with :attr:`going_on` "continue"."""
        standing = (
            said(
                "system",
                "Write Assistant's next reply in a fictional chat between Assistant and User.",
            ),
            said("system", "[Start a new Chat]"),
        )
        body = {
            "messages": [*standing, *messages],
            "model": self.model,
            "temperature": 1,
            "max_tokens": 300,
            "stream": stream,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_p": 1,
        }
        return json.dumps(body, separators=(",", ":")).encode()


def post(
    proxy: Proxy, chat: OpenWebUI | SillyTavern, body: bytes
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Ask, and give the answer as soon as it has begun."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
    connection.request("POST", "/v1/chat/completions", body, chat.headers)
    return connection, connection.getresponse()
