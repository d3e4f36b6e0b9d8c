"""An upstream and callers that misbehave at random, for ``soak.py``.

Each request carries a number, and each answer repeats it in every event, with the event's place and
how many there will be. So a caller can tell a whole answer from a cut one and from somebody else's,
whatever the proxy does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = re.compile(rb"n=(\d+) (\d+)/(\d+)")

#: What an upstream does, and how often.
ANSWERS = {
    "whole": 70,
    "busy": 6,
    "reset before head": 4,
    "reset within": 5,
    "end without end": 5,
    "half a chunk": 4,
    "silence": 2,
    "garbage": 4,
}

#: What a caller does, and how often.
CALLERS = {
    "reads": 70,
    "leaves": 15,
    "leaves at once": 5,
    "half closes": 4,
    "slow": 4,
    "half a request": 2,
}


def pick(weights: dict[str, int]) -> str:
    """One of the names, by weight."""
    [name] = random.choices(list(weights), list(weights.values()))
    return name


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop a connection, with what is still to be sent."""
    writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next request, ``None`` at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def chunk(data: bytes) -> bytes:
    """Frame *data* as a chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(name: str, **members: object) -> bytes:
    """One frame."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **members})}\n\n".encode()


@dataclass
class Upstream:
    """Answers each request in one of the ways of :data:`ANSWERS`.

    :ivar rate: events a second in a stream.
    :ivar ways: how each number was answered.
    """

    rate: float
    ways: dict[int, str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while (body := await read_request(reader)) is not None:
                number = int(json.loads(body)["metadata"]["user_id"])
                way = self.ways[number] = pick(ANSWERS)
                self.seen[way] += 1
                if not await self.answer(number, way, writer):
                    break
        writer.close()

    async def answer(self, number: int, way: str, writer: asyncio.StreamWriter) -> bool:
        """Answer, and say whether the connection is good for another."""
        if way == "reset before head":
            reset(writer)
            return False
        if way == "garbage":
            writer.write(b"\x00\xff nonsense\r\n\r\n" * random.randint(1, 50))
            return False
        if way == "busy":
            body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
            writer.write(b"HTTP/1.1 529 Busy\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            return True
        writer.write(HEAD)
        total = random.randint(20, 400)
        last = total if way == "whole" else random.randint(0, total - 1)
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "m"}
        started: dict[str, object] = {**message, "content": [], "stop_reason": None, "usage": usage}
        writer.write(chunk(event("message_start", message=started)))
        for place in range(last):
            delta = {"type": "text_delta", "text": f"n={number} {place}/{total} " + "." * 60}
            writer.write(chunk(event("content_block_delta", index=0, delta=delta)))
            await writer.drain()
            await asyncio.sleep(random.uniform(0.5, 1.5) / self.rate)
        if way == "whole":
            writer.write(chunk(event("message_stop")) + b"0\r\n\r\n")
            return True
        if way == "reset within":
            reset(writer)
        elif way == "half a chunk":
            writer.write(b"200\r\nevent: content_block_delta\ndata: {")
        elif way == "silence":
            await asyncio.sleep(20)
        return False


@dataclass
class Callers:
    """Asks again and again, in one of the ways of :data:`CALLERS`.

    :ivar wrong: what should never be, in words.
    """

    port: int
    upstream: Upstream
    number: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """One caller, for ever."""
        while True:
            way = pick(CALLERS)
            self.seen[way] += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.wrong[f"cannot connect: {error}"] += 1
                await asyncio.sleep(1)
                continue
            try:
                await self.ask(way, reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.seen["saw a cut"] += 1
            finally:
                reset(writer)

    async def ask(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: some requests after one another, the last one in the given way."""
        for remaining in reversed(range(random.randint(1, 4))):
            self.number += 1
            number = self.number
            prompt = "x" * random.choice((100, 1000, 50_000))
            message = {"role": "user", "content": prompt}
            body = json.dumps(
                {
                    "model": "claude-soak",
                    "max_tokens": 9,
                    "stream": True,
                    "metadata": {"user_id": str(number)},
                    "messages": [message],
                }
            ).encode()
            head = (
                f"POST /v1/messages HTTP/1.1\r\nhost: soak\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            ours = "reads" if remaining else way
            if ours == "half a request":
                writer.write(head.encode() + body[: len(body) // 2])
                await asyncio.sleep(random.uniform(0, 2))
                return
            writer.write(head.encode() + body)
            if ours == "leaves at once":
                await asyncio.sleep(random.uniform(0, 0.05))
                return
            if ours == "half closes":
                await asyncio.sleep(random.uniform(0, 2))
                writer.write_eof()
            limit = random.uniform(0, 5) if ours == "leaves" else None
            try:
                async with asyncio.timeout(limit):
                    if not await self.read(number, ours, reader):
                        return
            except TimeoutError:
                return

    async def read(self, number: int, way: str, reader: asyncio.StreamReader) -> bool:
        """Read an answer, judge it, and say whether the connection is good for another."""
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" not in lower:
            length = re.search(rb"content-length: (\d+)", lower)
            await (reader.readexactly(int(length[1])) if length else reader.read())
            upstream = self.upstream.ways.pop(number, "nothing")
            if upstream not in ("busy", "reset before head", "garbage", "nothing"):
                self.wrong[f"{head[9:12].decode()} where the upstream did: {upstream}"] += 1
            return length is not None and b"connection: close" not in lower
        body = b""
        ended = False
        try:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
                if way == "slow":
                    await asyncio.sleep(0.1)
            await reader.readexactly(2)
            ended = True
        finally:
            self.judge(number, body, ended)
        return b"connection: close" not in lower

    def judge(self, number: int, body: bytes, ended: bool) -> None:
        """Count what must not be."""
        upstream = self.upstream.ways.pop(number, "nothing")
        events = [tuple(map(int, found)) for found in EVENT.findall(body)]
        if any(whose != number for whose, _, _ in events):
            self.wrong["an event of another answer"] += 1
        if [place for _, place, _ in events] != list(range(len(events))):
            self.wrong["an event missing or twice"] += 1
        complete = bool(events) and len(events) == events[0][2] and b"message_stop" in body
        if ended and not complete:
            self.wrong[f"a cut answer that looks whole, upstream did: {upstream}"] += 1
        if complete and ended:
            self.seen["saw a whole answer"] += 1
