"""Every wish of every caller, as each upstream gets it: see :mod:`.asks`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.errors import Kind, ProxyError
from tests.conformance.asks import ABSENT, ASKS, REFUSALS, Ask, Refused
from tests.conformance.readers import MISSING
from tests.conformance.shapes import faults

if MISSING is None:
    from anthropic.types.message_create_params import MessageCreateParamsStreaming
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

    SHAPES: dict[str, Any] = {
        "anthropic": MessageCreateParamsStreaming,
        "openai_chat": CompletionCreateParamsStreaming,
        "openai_responses": ResponseCreateParamsStreaming,
    }

MODELS = {"anthropic": "claude-sonnet-4-5", "openai_chat": "gpt-4o", "openai_responses": "gpt-4o"}


def body_of(caller: str, members: dict[str, Any]) -> bytes:
    """Write a caller's request; what Messages requires and an ask does not care about is added."""
    base: dict[str, Any] = {"model": "asked-model", "stream": True}
    if caller == "anthropic":
        base["max_tokens"] = 1000
    return json.dumps(base | members).encode()


def at(value: Any, path: str) -> Any:
    """Follow a path; ``ABSENT`` where it leads nowhere."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else ABSENT
        else:
            value = value.get(step, ABSENT) if isinstance(value, dict) else ABSENT
        if value is ABSENT:
            return ABSENT
    return value


class RequestsTests(SynchronousTestCase):
    """One test for each wish, caller and upstream; its shape is one of the SDK's own types."""

    skip = MISSING


class RefusalsTests(SynchronousTestCase):
    """What cannot be passed on is refused by name, before anything is sent."""


def _asked(ask: Ask, caller: DialectName, upstream: DialectName) -> Callable[[RequestsTests], None]:
    def test(self: RequestsTests) -> None:
        turn = DIALECTS[caller].parse_request(body_of(caller, ask.asked[caller]), [])
        model = ask.models.get(upstream, MODELS[upstream])
        built = json.loads(
            DIALECTS[upstream].build_request(
                turn, model=model, stream=True, api_version=ask.version
            )
        )
        for path, value in ask.sent[upstream].items():
            self.assertEqual(at(built, path), value, path)
        self.assertIs(built["stream"], True)
        self.assertEqual(built["model"], model)
        if caller == upstream:
            for name in turn.extras:
                built.pop(name, None)
        if upstream == "anthropic":
            for name in ("temperature", "top_p"):  # older versions of the API take them
                built.pop(name, None)
        self.assertEqual(faults(built, SHAPES[upstream]), [])

    return test


def _refused(ask: Refused, target: DialectName) -> Callable[[RefusalsTests], None]:
    def test(self: RefusalsTests) -> None:
        caller = DIALECTS[cast(DialectName, ask.caller)]

        def pass_on() -> bytes:
            turn = caller.parse_request(body_of(ask.caller, ask.members), [])
            return DIALECTS[target].build_request(turn, model=MODELS[target], stream=True)

        error = self.assertRaises(ProxyError, pass_on)
        self.assertEqual(error.kind, Kind.UNSUPPORTED_PARAMETER)
        self.assertEqual(error.param, ask.param)
        self.assertIn(ask.param, error.message + ask.param)

    return test


def _add_tests() -> None:
    for ask in ASKS:
        for caller in DIALECTS:
            for upstream in DIALECTS:
                if caller in ask.asked and upstream in ask.sent:
                    name = f"test_{ask.name.replace(' ', '_')}_{caller}_to_{upstream}"
                    setattr(RequestsTests, name, _asked(ask, caller, upstream))
    for refusal in REFUSALS:
        for target in refusal.targets:
            name = f"test_{refusal.name.replace(' ', '_')}_{refusal.caller}_to_{target}"
            setattr(RefusalsTests, name, _refused(refusal, cast(DialectName, target)))


_add_tests()
