"""What the responses to a run's request say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.events import TokenUsage
from clawproxy.core.errors import Kind
from clawproxy.upstream.openclaw.frames import JSON, GatewayError, Response
from clawproxy.upstream.openclaw.result import RunResult, is_underway, read_failure


class Failures(SynchronousTestCase):
    """Why a run failed."""

    def kind(self, payload: JSON) -> Kind | None:
        error = read_failure(Response("1", True, payload), "main", accepted=True)
        return None if error is None else error.kind

    def test_statuses(self) -> None:
        for status in ("accepted", "started", "in_flight"):
            self.assertTrue(is_underway(Response("1", True, {"status": status})))
            self.assertFalse(is_underway(Response("1", False, {"status": status})))
        self.assertIsNone(self.kind({"status": "ok"}))
        self.assertIs(self.kind({"status": "error", "summary": "HTTP 429"}), Kind.RATE_LIMIT)
        self.assertIs(self.kind({"status": "timeout"}), Kind.UPSTREAM_TIMEOUT)
        self.assertIs(self.kind({"status": "timeout", "summary": "aborted"}), Kind.API)
        self.assertIs(self.kind({"status": "aborted", "stopReason": "rpc"}), Kind.API)

    def test_refused_or_failed(self) -> None:
        """Before the run was accepted an error is about the request, then about the run."""
        response = Response("1", False, {}, GatewayError("INVALID_REQUEST", "at /message: short"))
        for accepted, kind in ((False, Kind.INVALID_REQUEST), (True, Kind.API)):
            error = read_failure(response, "main", accepted=accepted)
            assert error is not None
            self.assertIs(error.kind, kind)


class Results(SynchronousTestCase):
    """What a run came to."""

    def test_read(self) -> None:
        meta = {"stopReason": "length", "agentMeta": {"usage": {"input": 3, "output": 4}}}
        payloads = [{"text": "a"}, {"mediaUrl": "x"}, {"text": None}, "?", {"text": "b"}]
        result = RunResult.read({"result": {"payloads": payloads, "meta": meta}})
        self.assertEqual(result, RunResult(("a", "b"), TokenUsage(3, 4, 0, 0), "length"))

    def test_nothing(self) -> None:
        for payload in ({}, {"result": None}, {"result": {"meta": 3, "payloads": {}}}):
            self.assertEqual(RunResult.read(payload), RunResult())
