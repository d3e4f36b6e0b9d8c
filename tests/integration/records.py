"""What the proxy recorded, read over its own API, and held against what was overheard on both sides."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, TWISTD, Proxy, environment
from tests.integration.upstream import Upstream
from tests.integration.wiretap import Overheard, Wiretap

RECORDED = {"storage.url": "sqlite:clawproxy.db"}


class Records:
    """``/api/requests`` of a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def all(self, number: int) -> list[dict[str, Any]]:
        """Wait until so many exchanges are recorded and none is running; oldest first.

        :raises AssertionError: that never is.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            status, page = self._proxy.get("/api/requests?limit=500")
            found: list[dict[str, Any]] = page["requests"][::-1] if status == 200 else []
            running = [each for each in found if each["outcome"] == "running"]
            if len(found) >= number and not running:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{number} records wanted: {status} {page}\n{self._proxy.log}")
            time.sleep(0.1)

    def detail(self, id: str) -> dict[str, Any]:
        """Give everything about one exchange."""
        status, found = self._proxy.get(f"/api/requests/{id}")
        assert status == 200, found
        detail: dict[str, Any] = found
        return detail

    def body(self, id: str, which: str, query: str = "") -> bytes | None:
        """Give the exact bytes of one of the four bodies; ``None`` where there are none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"/api/requests/{id}/{which}{query}")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 404), (answer.status, body)
        return body if answer.status == 200 else None

    def events(self, id: str, side: str = "sent") -> list[dict[str, Any]]:
        """Give the pieces of an answer in their order."""
        status, found = self._proxy.get(f"/api/requests/{id}/events?side={side}")
        assert status == 200, found
        events: list[dict[str, Any]] = found
        return events


def export(proxy: Proxy, *arguments: str) -> bytes:
    """What ``clawproxy export`` writes of a proxy's records."""
    settings = [part for item in RECORDED.items() for part in ("--set", "=".join(item))]
    done = subprocess.run(
        [str(TWISTD.with_name("clawproxy")), "export", *settings, *arguments],
        cwd=proxy.folder,
        env=environment(proxy.folder),
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Said:
    """What an answer amounts to, however it came.

    :ivar calls: id, name and arguments of each tool call.
    """

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)


def frames(body: bytes) -> Iterator[dict[str, Any]]:
    """Give the JSON of each frame of a stream."""
    for line in body.decode().splitlines():
        text = line.removeprefix("data:").strip()
        if line.startswith("data:") and text != "[DONE]":
            yield json.loads(text)


def streamed(dialect: str, body: bytes) -> Said:
    """Read what a stream said, from its deltas alone."""
    said = Said()
    calls: dict[int, list[str]] = {}
    for frame in frames(body):
        if dialect == "anthropic":
            _anthropic(frame, said, calls)
        elif dialect == "openai_chat":
            for choice in frame["choices"]:
                _chat(choice["delta"], said, calls)
        else:
            _responses(frame, said, calls)
    said.calls = [(id, name, _arguments(text)) for id, name, text in calls.values()]
    return said


def told_end(body: bytes) -> bool:
    """Whether a stream came to its dialect's last event, at which many clients hang up."""
    if not body.endswith(b"\n\n"):
        return False
    last = body[:-2].rpartition(b"\n\n")[2]
    if last == b"data: [DONE]":
        return True
    types = ("message_stop", "response.completed")
    return any(frame.get("type") in types for frame in frames(last))


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:  # the input of a custom tool is text
        return text


def _anthropic(frame: dict[str, Any], said: Said, calls: dict[int, list[str]]) -> None:
    block, delta = frame.get("content_block", {}), frame.get("delta", {})
    if block.get("type") == "tool_use":
        calls[frame["index"]] = [block["id"], block["name"], ""]
    if frame["type"] == "content_block_delta":
        said.text += delta.get("text", "")
        said.thinking += delta.get("thinking", "")
        if "partial_json" in delta:
            calls[frame["index"]][2] += delta["partial_json"]


def _chat(delta: dict[str, Any], said: Said, calls: dict[int, list[str]]) -> None:
    said.text += delta.get("content") or ""
    said.thinking += delta.get("reasoning_content") or ""
    for call in delta.get("tool_calls") or ():
        begun = calls.setdefault(call["index"], ["", "", ""])
        begun[0] += call.get("id") or ""
        begun[1] += call["function"].get("name") or ""
        begun[2] += call["function"].get("arguments") or ""


def _responses(frame: dict[str, Any], said: Said, calls: dict[int, list[str]]) -> None:
    kind, item = frame["type"], frame.get("item", {})
    if kind == "response.output_item.added" and "call_id" in item:
        calls[frame["output_index"]] = [item["call_id"], item["name"], ""]
    elif kind == "response.output_text.delta":
        said.text += frame["delta"]
    elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
        said.thinking += frame["delta"]
    elif kind in (
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    ):
        calls[frame["output_index"]][2] += frame["delta"]


def whole(dialect: str, message: Mapping[str, Any]) -> Said:
    """Read what a finished message says."""
    said = Said()
    if dialect == "anthropic":
        for block in message["content"]:
            said.text += block.get("text", "")
            said.thinking += block.get("thinking", "")
            if block["type"] == "tool_use":
                said.calls.append((block["id"], block["name"], block["input"]))
    elif dialect == "openai_chat":
        told = message["choices"][0]["message"]
        said.text += told.get("content") or ""
        said.thinking += told.get("reasoning_content") or ""
        for call in told.get("tool_calls") or ():
            inner = call["function"]
            said.calls.append((call["id"], inner["name"], _arguments(inner["arguments"])))
    else:
        for item in message["output"]:
            parts = (item.get("content") or []) + (item.get("summary") or [])
            texts = "".join(part.get("text", "") for part in parts)
            if item["type"] == "message":
                said.text += texts
            elif item["type"] == "reasoning":
                said.thinking += texts
            elif "call_id" in item:
                text = item.get("arguments", item.get("input"))
                said.calls.append((item["call_id"], item["name"], _arguments(text)))
    return said


class RecordedCase(ProxyCase):
    """Has proxies that record, and checks what they recorded against what was overheard."""

    def wiretap(self, proxy: Proxy) -> Wiretap:
        """Stand between a client and a proxy."""
        return self.stack.enter_context(Wiretap(proxy.port))

    def recording_proxy(self, upstream: Upstream, **settings: object) -> Proxy:
        """Start a proxy that records.

        :param settings: with ``__`` for the dots.
        """
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        return self.proxy(upstream, settings={**RECORDED, **dotted})

    def check_records(
        self, proxy: Proxy, tap: Wiretap, upstream: Upstream
    ) -> list[tuple[dict[str, Any], Overheard]]:
        """Hold every recorded exchange against the bytes on both sides of the proxy.

        :return: the records with everything in them, each with what its client sent and read,
            oldest first.
        """
        heard = {
            each.reply["x-clawproxy-id"]: each
            for each in tap.exchanges()
            if each.asked.method == "POST" and "/v1/" in each.asked.target
        }
        records = Records(proxy)
        found = {each["id"]: each for each in records.all(len(heard)) if each["method"] == "POST"}
        self.assertEqual(found.keys(), heard.keys())
        checked = []
        for id, listed in found.items():
            overheard = heard[id]
            detail = records.detail(id)
            self.assertEqual({name: detail[name] for name in listed}, listed)
            self._check_caller_side(records, detail, overheard)
            self._check_upstream_side(records, detail, upstream)
            checked.append((detail, overheard))
        return checked

    def _check_caller_side(
        self, records: Records, detail: dict[str, Any], overheard: Overheard
    ) -> None:
        asked, reply, id = overheard.asked, overheard.reply, detail["id"]
        self.assertEqual(records.body(id, "request"), asked.body)
        self.assertEqual(records.body(id, "response"), reply.body)
        self.assertEqual(
            (detail["request_bytes"], detail["response_bytes"]),
            (len(asked.body), len(reply.body)),
        )
        self.assertEqual(detail["status"], reply.status)
        self.assertEqual(detail["request_id"], reply["x-request-id"])
        self.assertEqual(detail["path"], asked.target.partition("?")[0])
        self.assertEqual(detail["client"]["user_agent"], asked.header("user-agent"))
        plain = asked.body
        if asked.header("content-encoding") == "zstd":
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(plain)
            self.assertEqual(records.body(id, "request", "?decoded=1"), plain)
        sent = json.loads(plain)
        self.assertEqual(detail["request"], sent)
        self.assertEqual(detail["model"], sent.get("model"))
        self.assertEqual(detail["stream"], bool(sent.get("stream")))
        pieces = records.events(id)
        self.assertEqual("".join(piece["data"] for piece in pieces), reply.body.decode())
        times = [piece["at_ms"] for piece in pieces]
        self.assertEqual(times, sorted(times))
        if not reply.whole and not (detail["stream"] and told_end(reply.body)):
            self.assertEqual(detail["outcome"], "error")
            self.assertTrue(detail["error"])
        elif reply.status != 200:
            self.assertEqual(detail["outcome"], "error")
            self.assertEqual(detail["response"], json.loads(reply.body))
        elif detail["stream"]:
            self.assertEqual(
                whole(detail["dialect"], detail["response"]),
                streamed(detail["dialect"], reply.body),
            )
        else:
            self.assertEqual(detail["response"], json.loads(reply.body))

    def _check_upstream_side(
        self, records: Records, detail: dict[str, Any], upstream: Upstream
    ) -> None:
        if detail["upstream_dialect"] is None or not detail["tries"]:
            return  # answered by the proxy itself
        sent = records.body(detail["id"], "upstream-request") or records.body(
            detail["id"], "request"
        )
        self.assertIn(sent, [asked.body for asked in upstream.asked])
        translated = detail["upstream_dialect"] != detail["dialect"]
        received = records.body(detail["id"], "upstream-response")
        self.assertEqual(received is not None, translated)
