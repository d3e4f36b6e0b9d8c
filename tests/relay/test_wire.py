"""The other side of exchanges with a gateway, as it goes into the record."""

from __future__ import annotations

import json
import pickle
from typing import Any, ClassVar

from attrs import define, field

from clawproxy.core.record import Exchange
from clawproxy.relay import wire
from tests.upstream.openclaw.gateway import AgentGateway
from tests.web.agents import AgentsCase


@define(eq=False)
class Kept:
    """A recording in memory."""

    keeps: ClassVar = True
    exchange: Exchange
    request: bytes
    upstream: bytes | None = None
    heard: list[tuple[float, bytes]] = field(factory=list)
    ended: bool = False

    def upstream_request(self, body: bytes) -> None:
        assert not self.ended
        self.upstream = body

    def sent(self, data: bytes, at_ms: float) -> None:
        assert not self.ended

    def received(self, data: bytes, at_ms: float) -> None:
        assert not self.ended
        self.heard.append((at_ms, data))

    def again(self) -> None:
        self.upstream = None
        self.heard = []

    def end(self) -> None:
        self.ended = True

    @property
    def asked(self) -> list[Any]:
        """The frames that went out."""
        return [json.loads(line) for line in (self.upstream or b"").splitlines()]

    @property
    def methods(self) -> list[str]:
        """Their methods."""
        return [frame["method"] for frame in self.asked]

    @property
    def frames(self) -> list[Any]:
        """The frames that came."""
        return [json.loads(data) for _, data in self.heard]


class Keeping:
    """Record in memory."""

    def __init__(self) -> None:
        self.all: list[Kept] = []

    def begin(self, exchange: Exchange, request_body: bytes) -> Kept:
        self.all.append(Kept(exchange, request_body))
        return self.all[-1]


class WireTests(AgentsCase):
    """What is said to a gateway for an exchange, and what it says of it."""

    def begin(self, *sets: str, gateway: AgentGateway | None = None) -> None:
        super().begin(*sets, gateway=gateway)
        self.recorder = Keeping()
        self.proxy.assembly.board.recorder = self.recorder

    @property
    def kept(self) -> Kept:
        return self.recorder.all[-1]

    def test_a_run(self) -> None:
        """The request and all that came of it, as it came and when it came."""
        self.begin()
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.assertEqual(self.kept.asked, [run])
        self.gateway.accepted(run)
        self.proxy.advance(1)
        self.gateway.says(run, "hel", "lo")
        self.gateway.last.event("tick", {"ts": 1})
        self.gateway.last.event("agent", {"runId": "another", "stream": "assistant", "data": {}})
        self.proxy.advance(1)
        self.gateway.finished(run, "hello")
        self.assertEqual(self.read(asking).status, 200)
        self.assertTrue(self.kept.ended)
        accepted, *said, finished = self.kept.frames
        self.assertEqual(accepted["payload"]["status"], "accepted")
        self.assertEqual([frame["payload"]["data"]["text"] for frame in said], ["hel", "hello"])
        self.assertEqual(finished["payload"]["status"], "ok")
        self.assertEqual([round(at) for at, _ in self.kept.heard], [0, 1000, 1000, 2000])
        self.assertTrue(all(data.endswith(b"}\n") for _, data in self.kept.heard))
        kind = [("content-type", "application/x-ndjson")]
        self.assertEqual(self.kept.exchange.upstream_request_headers, kind)
        self.assertEqual(self.kept.exchange.upstream_response_headers, kind)

    def test_exact_bytes(self) -> None:
        """A frame is kept as the gateway wrote it."""
        self.begin()
        self.chat("main")
        (run,) = self.gateway.runs()
        told = '{ "event":"agent","type":"event", "payload":{"runId":"%s","n":1.0,"s":"\\u00e9"}}'
        frame = told % self.gateway.run_id(run)
        self.gateway.last.text(frame)
        self.assertEqual(self.kept.heard[-1][1], frame.encode() + b"\n")

    def test_aborted(self) -> None:
        """A caller leaves: the abort is the last that is kept."""
        self.begin()
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.accepted(run)
        asking.leave()
        self.assertEqual(self.kept.methods, ["agent", "chat.abort"])
        self.assertTrue(self.kept.ended)
        self.gateway.says(run, "too late")
        self.gateway.finished(run, "too late")
        self.assertEqual(len(self.kept.heard), 1)

    def test_of_an_older_gateway(self) -> None:
        """The transcript, from which the end is read, is part of it."""
        methods = ("chat.send", "chat.abort", "chat.history")
        self.begin(gateway=AgentGateway(3, methods=methods))
        asking = self.chat("main")
        (run,) = self.gateway.runs("chat.send")
        self.gateway.accepted(run)
        self.gateway.says(run, "hello")
        self.gateway.chat(run, "final")
        (history,) = self.gateway.last.asked("chat.history")
        said = {"role": "assistant", "content": "hello", "usage": {"input": 1, "output": 2}}
        self.gateway.last.answer(history, {"messages": [{"role": "user", "content": "hi"}, said]})
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.kept.methods, ["chat.send", "chat.history"])
        self.assertEqual([f["type"] for f in self.kept.frames], ["res", "event", "event", "res"])

    def test_approval(self) -> None:
        """The question belongs to the first exchange, its decision and the rest to the second."""
        self.begin()
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.accepted(run)
        self.gateway.wants(run, command="ls")
        self.assertEqual(self.read(asking).status, 200)
        first = self.kept
        self.assertEqual(first.frames[-1]["event"], "exec.approval.requested")
        said = [{"role": "user", "content": "hi"}, {"role": "user", "content": "APPROVE"}]
        asking = self.send("POST", "/v1/chat/completions", {"model": "main", "messages": said})
        (decision,) = self.gateway.last.asked("exec.approval.resolve")
        self.gateway.last.answer(decision, {"ok": True})
        self.gateway.says(run, "done")
        self.gateway.finished(run, "done")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.kept.methods, ["exec.approval.resolve"])
        self.assertEqual([f["type"] for f in self.kept.frames], ["res", "event", "res"])
        self.assertEqual(len(first.frames), 2)

    def test_between_two_exchanges(self) -> None:
        """What a run says while nobody listens belongs to the exchange that shows it."""
        self.begin()
        self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.accepted(run)
        self.gateway.wants(run, command="ls")
        first = self.kept
        self.gateway.last.event("exec.approval.resolved", {"id": "ap-1", "decision": "allow-once"})
        self.gateway.says(run, "done")
        self.gateway.finished(run, "done")
        said = [{"role": "user", "content": "hi"}, {"role": "user", "content": "thanks"}]
        asking = self.send("POST", "/v1/chat/completions", {"model": "main", "messages": said})
        self.gateway.play(self.gateway.runs()[-1], "welcome")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(len(first.frames), 2)
        told = [f["payload"].get("data", {}).get("text") for f in self.kept.frames]
        self.assertEqual([words for words in told if words], ["done", "welcome"])
        ends = [f["payload"]["status"] for f in self.kept.frames if f["type"] == "res"]
        self.assertEqual(ends, ["ok", "accepted", "ok"])

    def test_adopted(self) -> None:
        """A run from before this proxy's start, too."""
        self.begin()
        session = "agent:main:clawproxy-user-kim"
        request = {"params": {"sessionKey": session, "idempotencyKey": "run-1"}}
        self.gateway.wants(request, command="ls")
        body: dict[str, Any] = {"model": "main", "user": "kim"}
        for words in ("APPROVE", "APPROVE"):
            body["messages"] = [{"role": "user", "content": words}]
            self.send("POST", "/v1/chat/completions", body)
        (decision,) = self.gateway.last.asked("exec.approval.resolve")
        self.gateway.last.answer(decision, {"ok": True})
        self.assertEqual(self.kept.methods, ["exec.approval.resolve"])
        self.gateway.says(request, "done")
        (wait,) = self.gateway.last.asked("agent.wait")
        self.gateway.last.answer(wait, {"status": "ok"})
        (history,) = self.gateway.last.asked("chat.history")
        told = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "done"}]
        self.gateway.last.answer(history, {"messages": told})
        self.assertTrue(self.kept.ended)
        wanted = ["exec.approval.resolve", "agent.wait", "chat.history"]
        self.assertEqual(self.kept.methods, wanted)
        self.assertEqual([f["type"] for f in self.kept.frames], ["res", "event", "res", "res"])

    def test_follow_up_of_an_older_gateway(self) -> None:
        """The run that follows an approval there, from its first event on."""
        methods = ("chat.send", "chat.abort", "chat.history")
        self.begin(gateway=AgentGateway(3, methods=methods))
        self.chat("main")
        (run,) = self.gateway.runs("chat.send")
        self.gateway.accepted(run)
        self.gateway.wants(run, command="ls")
        self.gateway.says(run, "asked")
        self.gateway.chat(run, "final")
        (history,) = self.gateway.last.asked("chat.history")
        told = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "asked"}]
        self.gateway.last.answer(history, {"messages": told})
        said = [{"role": "user", "content": "hi"}, {"role": "user", "content": "APPROVE"}]
        self.send("POST", "/v1/chat/completions", {"model": "main", "messages": said})
        (decision,) = self.gateway.last.asked("exec.approval.resolve")
        self.gateway.last.answer(decision, {"ok": True})
        following = {**run, "params": {**run["params"], "idempotencyKey": "run-2"}}
        self.gateway.says(following, "done", "!")
        events = [f for f in self.kept.frames if f["type"] == "event"]
        self.assertEqual([f["payload"]["data"]["text"] for f in events], ["done", "done!"])
        self.assertIn("agent.wait", [r["method"] for r in self.gateway.last.requests])

    def test_taken_up_again(self) -> None:
        """What is asked on the next connection is part of it."""
        self.begin()
        self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.accepted(run)
        self.gateway.last.drop()
        self.proxy.advance(2)
        (wait,) = self.gateway.last.asked("agent.wait")
        self.gateway.last.answer(wait, {"status": "ok"})
        (history,) = self.gateway.last.asked("chat.history")
        said = {"role": "assistant", "content": "hello"}
        self.gateway.last.answer(history, {"messages": [{"role": "user", "content": "hi"}, said]})
        self.assertTrue(self.kept.ended)
        self.assertEqual(self.kept.methods, ["agent", "agent.wait", "chat.history"])

    def test_no_secret(self) -> None:
        """Neither the handshake nor a token that the agent says."""
        gateway = AgentGateway()
        self.begin("providers.claw.token='secret\"token-1'", gateway=gateway)
        asking = self.chat("main")
        (run,) = gateway.runs()
        gateway.play(run, 'it is secret"token-1, see?')
        self.assertEqual(self.read(asking).status, 200)
        whole = (self.kept.upstream or b"") + b"".join(data for _, data in self.kept.heard)
        self.assertNotIn(b"token-1", whole)
        self.assertIn(b"it is ***, see?", whole)
        self.assertNotIn(b"publicKey", whole)
        self.assertNotIn(b"connect", whole)

    def test_a_secret_that_is_a_word(self) -> None:
        """Nothing is masked for it: it would be in too many words."""
        gateway = AgentGateway()
        self.begin("providers.claw.token=it", gateway=gateway)
        asking = self.chat("main")
        gateway.play(gateway.runs()[0], "it is written")
        self.assertEqual(self.read(asking).status, 200)
        self.assertIn(b"it is written", b"".join(data for _, data in self.kept.heard))

    def test_bounds(self) -> None:
        """Of what goes beyond them the last message is kept, and how much is missing."""
        self.begin()
        self.patch(wire, "MOST_HEARD", 1000)
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.accepted(run)
        self.gateway.says(run, *(f"word-{number:03} " for number in range(30)))
        self.gateway.finished(run, "hello")
        self.assertEqual(self.read(asking).status, 200)
        *kept, left, last = self.kept.frames
        self.assertLess(sum(len(data) for _, data in self.kept.heard[: len(kept)]), 1000)
        self.assertEqual(left["left_out"]["messages"], 32 - len(kept) - 1)
        self.assertEqual(last["payload"]["status"], "ok")

    def test_bounds_of_what_is_asked(self) -> None:
        """The same, also where not even the first message is within them."""
        for room, told in (
            (1, ["left_out", "chat.history"]),
            (400, ["chat.send", "chat.history"]),
        ):
            methods = ("chat.send", "chat.abort", "chat.history")
            self.begin(gateway=AgentGateway(3, methods=methods))
            self.patch(wire, "MOST_ASKED", room)
            self.chat("main")
            (run,) = self.gateway.runs("chat.send")
            self.gateway.accepted(run)
            self.gateway.says(run, "hello")
            self.gateway.chat(run, "final")
            (history,) = self.gateway.last.asked("chat.history")
            self.gateway.last.answer(history, code="UNAVAILABLE", message="no")
            self.assertTrue(self.kept.ended)
            self.assertEqual([each.get("method", "left_out") for each in self.kept.asked], told)
            self.assertEqual(len(self.kept.exchange.upstream_request_headers), 1)

    def test_a_single_message_beyond_the_bound(self) -> None:
        self.begin()
        self.patch(wire, "MOST_ASKED", 1)
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.play(run, "hello")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.kept.asked, [run])

    def test_another_target(self) -> None:
        """A target that failed is forgotten; the other side is that of the one that answered."""
        self.begin(
            "routes=[{match: a, provider: claw, model: main, fallbacks: [b]},"
            " {match: b, provider: other, model: c}]",
            "providers.other={kind: openai, base_url: 'http://127.0.0.1:3', api_key: k}",
        )
        asking = self.chat("a")
        (run,) = self.gateway.runs()
        self.gateway.last.answer(run, code="UNAVAILABLE", message="draining")
        upstream = self.proxy.upstream()
        upstream.request()
        upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.kept.heard, [])
        self.assertEqual(json.loads(self.kept.upstream or b"")["model"], "c")

    def test_holds_nothing_afterwards(self) -> None:
        """A run that waits for its user keeps the record's end at hand, but none of its images."""
        records: list[wire.WireRecord] = []
        original = wire.WireRecord.close

        def close(record: wire.WireRecord) -> None:
            original(record)
            records.append(record)

        self.patch(wire.WireRecord, "close", close)
        for room in (wire.MOST_ASKED, 10):
            self.patch(wire, "MOST_ASKED", room)
            self.begin()
            said = [{"role": "user", "content": "long " * 1000}]
            asked = {"model": "main", "messages": said}
            asking = self.send("POST", "/v1/chat/completions", asked)
            (run,) = self.gateway.runs()
            self.gateway.play(run, "hello")
            self.assertEqual(self.read(asking).status, 200)
            self.assertEqual(self.kept.methods, ["agent"])
            self.assertLess(len(pickle.dumps(vars(records[-1]))), 1000)

    def test_never_sent(self) -> None:
        """No frame went out: there is no other side."""
        self.begin()
        self.assertEqual(self.read(self.chat("openclaw/nobody")).status, 404)
        self.assertIsNone(self.kept.upstream)
        self.assertEqual(self.kept.heard, [])


class NothingKeptTests(AgentsCase):
    """Where no byte is kept none is worded."""

    def test_without_storage(self) -> None:
        self.begin()
        self.patch(wire.WireRecord, "__init__", None)
        asking = self.chat("main")
        (run,) = self.gateway.runs()
        self.gateway.play(run, "hello")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.proxy.exchanges[-1].upstream_request_headers, [])
