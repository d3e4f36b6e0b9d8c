"""Every recorded conversation with a real gateway, played to the client; what must come of each is
written here.

The tables name scenarios as the recordings do. A scenario that no table names fails
:meth:`Completeness.test_every_scenario_is_expected`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind
from clawproxy.upstream.openclaw.agents import read_agents, read_tools
from tests.upstream.openclaw.calling import Caller, Sink
from tests.upstream.openclaw.transcripts import STARTS, Player, Recording, params, recordings

HELLO = "Hello from the fake provider. This is a streamed answer."
TOOL = "Tool said: vm -- done."
THOUGHT = "First I think. Then I think again."
READ = 'read: {"path":"/etc/hostname"}\n'
CUT = "one two three"
LEAD = "Let me run it."
CONNECTED = "connected"

V2, V3, V5, V9 = "2026.2.6-3", "2026.3.13", "2026.5.28", "2026.9.6"
NEW = (V5, V9, f"{V9}-anthropic")


def slow(count: int) -> str:
    """What the fake provider says slowly."""
    return " ".join(f"slow{i}" for i in range(count))


@frozen
class Answer:
    """What a caller gets.

    :ivar error: words of the failure; ``None``: it ends well.
    :ivar usage: input and output tokens; ``None``: not looked at.
    """

    text: str
    thinking: str = ""
    usage: tuple[int, int] | None = None
    error: str | None = None
    kind: Kind | None = None


PLAIN = Answer(HELLO, usage=(11, 7))
THOUGHTFUL = Answer(HELLO, THOUGHT, (11, 7))
UNKNOWN = Answer("", error="the gateway has no agent", kind=Kind.MODEL_NOT_FOUND)
BAD = Answer("", error="invalid agent params", kind=Kind.INVALID_REQUEST)
ABORTED = Answer(slow(7), error="aborted at the gateway")
ERRORS = (UNKNOWN, UNKNOWN, UNKNOWN, BAD, None, BAD, PLAIN)
"""The empty message (the fifth) does not even go out."""

ANSWERS: dict[str, dict[str, tuple[Answer | None, ...]]] = {
    "agent_basic": {"*": (PLAIN,)},
    "agent_basic_caps": {V2: (Answer(TOOL, usage=(11, 7)),), "*": (Answer(TOOL, READ, (22, 14)),)},
    "agent_tool_nocaps": {
        V2: (Answer(TOOL, usage=(11, 7)),),
        V9: (Answer(TOOL, usage=(22, 14)),),
    },
    # Only gateways from 2026.9 tell thinking; older ones keep it in the transcript.
    "agent_reason": {V9: (THOUGHTFUL,), f"{V9}-anthropic": (THOUGHTFUL,), "*": (PLAIN,)},
    "agent_reason_stream": {V9: (THOUGHTFUL,), "*": (PLAIN,)},
    "agent_extra_system": {"*": (PLAIN,)},
    "agent_wait_dup": {"*": (PLAIN,)},
    "agent_errors": {"*": ERRORS},
    # The model said nothing; 2026.5 calls that a failure, 2026.9 asks it once more.
    "agent_empty": {
        V2: (Answer("", usage=(11, 7)),),
        V3: (Answer("", usage=(11, 7)),),
        V5: (Answer("", error="incomplete_result", kind=Kind.API),),
        V9: (Answer(HELLO, usage=(22, 14)),),
    },
    "agent_http401": {
        V9: (Answer("", error="HTTP 401", kind=Kind.API),),
        "*": (Answer("", error="HTTP 401: fake provider error 401", kind=Kind.API),),
    },
    "agent_http500": {"*": (Answer("", error="HTTP 500: fake provider error 500"),)},
    # Told four times, shown once; the failure is the first payload of a good answer.
    "agent_cut": {V2: (Answer(CUT, error="terminated"),), V9: (Answer(CUT, "*", error="*"),)},
    "chat_send": {V9: (THOUGHTFUL,), "*": (PLAIN,)},
    "chat_send_exec": {V9: (Answer("*exec denied: Headless runs", "*"),)},
    "two_clients_a": {"*": (PLAIN,)},
    "two_clients_b": {"*": ()},
    "queue_same_session": {"*": (Answer(slow(6), usage=(11, 7)), Answer(slow(6), usage=(11, 7)))},
    "model_override": {V9: (PLAIN, Answer("", error="Unknown model: nope/none"))},
    # No event at all: the text is the last response's.
    "model_run": {V9: (PLAIN,)},
    "attach": {V9: (Answer("", error="image inputs", kind=Kind.UNSUPPORTED_PARAMETER),)},
    "approvals_nocaps": {V9: (Answer("*Headless runs cannot wait", "*"),)},
    "scopes_no_approvals": {V9: (Answer("*missi", "*"),)},
    # Others abort the run: by another method, or by a message.
    "abort_sessions_abort": {V2: (Answer(slow(80)),), V3: (Answer(slow(80)),), "*": (ABORTED,)},
    "abort_stop_message": {V2: (Answer(slow(80)),), "*": (ABORTED,)},
    "shutdown": {
        # 2026.9 finishes what runs before it goes; older ones drop it.
        V9: (Answer(slow(60), usage=(11, 7)),),
        "*": (Answer("slow0", error="service restart", kind=Kind.UPSTREAM_UNREACHABLE),),
    },
    "approval_bad": {"*": ()},
    "tick": {"*": ()},
    "pairing_admin": {"*": ()},
}

ABORTS = ("abort_chat_abort", "abort_chat_abort_session", "abort_chat_send")
APPROVALS = (
    "approval_allow",
    "approval_deny",
    "caps_approvals_only",
    "caps_exec_approvals_only",
)
ELSEWHERE = ("disconnect_midrun_a", "disconnect_midrun_b", "methods", *ABORTS, *APPROVALS)

HANDSHAKES: dict[str, dict[str, str]] = {
    "hs_backend_new_device_rwa": {"*": CONNECTED},
    "hs_cli_new_device": {"*": CONNECTED},
    "hs_cli_no_device": {"*": CONNECTED},
    "hs_host_name": {"*": CONNECTED},
    "hs_openclaw_probe_no_device": {"*": CONNECTED},
    "hs_token_no_device": {"*": CONNECTED},
    "hs_token_no_device_rw_scopes": {"*": CONNECTED},
    "hs_v2_p3to4": {"*": CONNECTED},
    "hs_v1_no_nonce": {V2: CONNECTED, "*": "rejected"},
    "hs_v3_payload": {V2: "authentication", "*": CONNECTED},
    "hs_v2_p4": {V2: "protocol", V3: "protocol", "*": CONNECTED},
    "hs_old_clawproxy_v2_p3": {V2: CONNECTED, V3: CONNECTED, "*": "protocol"},
    "hs_proto_1": {"*": "protocol"},
    "hs_proto_99": {"*": "protocol"},
    "hs_bad_token_device": {"*": "authentication"},
    "hs_bad_token_no_device": {"*": "authentication"},
    "hs_bad_nonce": {"*": "authentication"},
    "hs_bad_device_id": {"*": "authentication"},
    "hs_stale_signedAt": {"*": "authentication"},
    "hs_no_auth_device": {"*": "authentication"},
    "hs_no_auth_no_device": {"*": "authentication"},
    "hs_password_field": {V9: CONNECTED, "*": "authentication"},
    "hs_unknown_client_id": {"*": "rejected"},
    "hs_webchat_new_device": {"*": "rejected"},
    "hs_first_frame_not_connect": {"*": "rejected"},
    "hs_origin_foreign": {V2: CONNECTED, "*": "rejected"},
    "hs_origin_same": {V2: CONNECTED, "*": "pairing"},
    "hs_forwarded_for": {V9: "nothing", "*": "pairing"},
    "hs_forwarded_backend_device": {V9: "nothing"},
    # The gateway closed without a word: no reason not to try again.
    "hs_silent": {"*": "unreachable"},
    "hs_not_json": {"*": "unreachable"},
    "pairing_1_refused": {"*": "pairing"},
    "pairing_2_accepted": {"*": CONNECTED},
    "pairing_3_as_deviceToken": {"*": CONNECTED},
    "pairing_3_as_token": {"*": CONNECTED},
    "pairing_4_scope_upgrade": {"*": "pairing"},
}


def expected(table: dict[str, object], version: str) -> object:
    """The entry of a version, or that of all others."""
    return table[version] if version in table else table["*"]


class PlayingTestCase(SynchronousTestCase):
    """Play recordings to a provider in memory."""

    def each(self, scenario: str) -> list[Recording]:
        found = [r for r in recordings() if r.scenario == scenario]
        self.assertTrue(found, f"{scenario} is not recorded")
        return found

    def play(self, *recording: Recording, **config: Any) -> tuple[Player, Caller]:
        """Connect; runs go by the method that was recorded."""
        methods = {f.get("method") for r in recording for d, f in r.frames if d == "out"}
        starts = methods & STARTS
        other = STARTS - starts if len(starts) == 1 else frozenset({"chat.send"})
        player = Player(*recording, without=frozenset(other))
        return player, Caller.make(player, **config)

    def start(self, player: Player, caller: Caller, user: str) -> Sink:
        wanted = params(player.wanted)
        agent = wanted.get("agentId") or "main"
        return caller.ask(wanted["message"], model=agent, user=user, image="attachments" in wanted)

    def check(self, sink: Sink, answer: Answer, name: str) -> None:
        for found, wanted, what in (
            (sink.text, answer.text, "text"),
            (sink.thinking, answer.thinking, "thinking"),
        ):
            if wanted.startswith("*"):
                self.assertIn(wanted[1:], found, f"{what} of {name}")
            else:
                self.assertEqual(found, wanted, f"{what} of {name}")
        if answer.error == "*":
            self.assertEqual(sink.ends, [], name)
        elif answer.error is not None:
            self.assertIn(answer.error, sink.error.message, name)
            if answer.kind is not None:
                self.assertIs(sink.error.kind, answer.kind, name)
        else:
            self.assertEqual(sink.ends, [None], name)
        if answer.usage is not None:
            usage = sink.usage
            assert usage is not None, name
            self.assertEqual((usage.input_tokens, usage.output_tokens), answer.usage, name)


class Completeness(SynchronousTestCase):
    """Nothing recorded goes without an expectation, and nothing expected without a recording."""

    def test_every_scenario_is_expected(self) -> None:
        recorded = {r.scenario for r in recordings()}
        self.assertEqual(recorded, {*ANSWERS, *HANDSHAKES, *ELSEWHERE})

    def test_every_version(self) -> None:
        self.assertEqual({r.version for r in recordings()}, {V2, V3, *NEW})
        self.assertEqual(len(list(recordings())), 223)


class Handshakes(PlayingTestCase):
    """How each version receives a client: what the client makes of it, and what it does then."""

    def see(self, scenario: str) -> None:
        for recording in self.each(scenario):
            outcome = expected(dict(HANDSHAKES[scenario]), recording.version)
            player, caller = self.play(recording)
            health = caller.provider.health()
            name = f"{recording.name}: {health}"
            if outcome == "nothing":
                # The gateway refused the upgrade; there is not a single frame.
                self.assertEqual(recording.frames, ())
                self.assertFalse(health["connected"], name)
            elif outcome == CONNECTED:
                self.assertTrue(health["connected"], name)
                protocol = 3 if recording.version in (V2, V3) else 4
                self.assertEqual(health["protocol"], protocol, name)
            elif outcome == "unreachable":
                # Recorded as a polite close, which the player leaves to the test.
                player.last.close(player.close_code or 1000)
                self.assertEqual(caller.provider.health()["obstacle"], "unreachable", name)
                caller.clock.advance(2)
                self.assertEqual(player.attempts, 2, name)
                continue
            else:
                self.assertEqual(health["obstacle"], outcome, name)
                self.assertTrue(health["remedy"], name)
                caller.clock.advance(3600)
                self.assertEqual(player.attempts, 1, name)


def _handshake_test(scenario: str) -> Callable[[Handshakes], None]:
    def test(self: Handshakes) -> None:
        self.see(scenario)

    return test


for _scenario in HANDSHAKES:
    setattr(Handshakes, f"test_{_scenario}", _handshake_test(_scenario))


class Answers(PlayingTestCase):
    """What callers get of each recorded run."""

    def see(self, scenario: str) -> None:
        for recording in self.each(scenario):
            answers = expected(dict(ANSWERS[scenario]), recording.version)
            assert isinstance(answers, tuple)
            player, caller = self.play(recording)
            sinks: list[Sink | None] = []
            for number, answer in enumerate(answers):
                if answer is None:
                    player.skip()
                    sinks.append(None)
                    continue
                user = "same" if scenario == "queue_same_session" else f"u{number}"
                sinks.append(self.start(player, caller, user))
            self.assertIsNone(player.wanted, recording.name)
            caller.clock.advance(20)
            for sink, answer in zip(sinks, answers, strict=True):
                if sink is not None:
                    self.check(sink, answer, recording.name)
            if not any(a and a.error == "*" for a in answers):
                self.assertEqual(caller.provider.health()["runs"], 0, recording.name)


def _answer_test(scenario: str) -> Callable[[Answers], None]:
    def test(self: Answers) -> None:
        self.see(scenario)

    return test


for _scenario in ANSWERS:
    setattr(Answers, f"test_{_scenario}", _answer_test(_scenario))


class Aborts(PlayingTestCase):
    """A caller that leaves: the gateway is told, and the run ends wherever the gateway can end
    it."""

    def see(self, scenario: str) -> None:
        for recording in self.each(scenario):
            player, caller = self.play(recording)
            player.own.add("chat.abort")
            sink, run = caller.call(params(player.wanted)["message"])
            self.assertEqual(sink.text, slow(7), recording.name)
            run.cancel()
            self.assertEqual(len(player.last.asked("chat.abort")), 1, recording.name)
            aborted = player.last.asked("chat.abort")[0]["params"]
            started = next(r for r in player.last.requests if r["method"] in STARTS)["params"]
            self.assertEqual(aborted["runId"], started["idempotencyKey"])
            self.assertEqual(aborted["sessionKey"], started["sessionKey"])
            caller.clock.advance(20)
            self.assertEqual(sink.text, slow(7), recording.name)
            self.assertEqual(sink.ends, [], recording.name)
            self.assertEqual(caller.provider.health()["runs"], 0, recording.name)

    def test_abort_chat_abort(self) -> None:
        self.see("abort_chat_abort")

    def test_abort_chat_abort_session(self) -> None:
        self.see("abort_chat_abort_session")

    def test_abort_chat_send(self) -> None:
        self.see("abort_chat_send")


class Approvals(PlayingTestCase):
    """A command that its user has to allow, on gateways whose runs wait and on those that go on."""

    def see(self, scenario: str, word: str, said: str) -> None:
        for recording in self.each(scenario):
            player, caller = self.play(recording)
            player.own.add("exec.approval.resolve")
            message = params(player.wanted)["message"]
            asked = caller.ask(message, user="u")
            if recording.version in (V2, V3):
                self.on_the_side(recording, player, caller, asked, said)
                continue
            self.assertTrue(asked.done, recording.name)
            self.assertTrue(asked.text.startswith(f"{LEAD}\n\n**Approval needed.**"), asked.text)
            self.assertIn("echo approved-ok", asked.text)
            self.assertIn("/home/openclaw/workspace", asked.text)
            self.assertIn("**APPROVE**", asked.text)
            # With ask: always no standing permission is taken.
            self.assertNotIn("ALWAYS", asked.text)
            self.assertEqual(len(caller.provider.approvals.list()), 1)
            answered = caller.ask(message, asked.text, word, user="u")
            self.assertTrue(answered.done, recording.name)
            self.assertIn(said, answered.text)
            self.assertNotIn(LEAD, answered.text)
            usage = answered.usage
            assert usage is not None
            self.assertEqual((usage.input_tokens, usage.output_tokens), (22, 14))
            self.assertEqual(caller.provider.approvals.list(), [])
            self.assertEqual(caller.provider.health()["runs"], 0)

    def on_the_side(
        self, recording: Recording, player: Player, caller: Caller, sink: Sink, said: str
    ) -> None:
        """The recorded client decided while the run went on: here an operator does."""
        (approval,) = caller.provider.approvals.list()
        decision = "allow-once" if "approved" in said else "deny"
        self.assertEqual(sink.ends, [], recording.name)
        decided = caller.provider.approvals.resolve(str(approval["id"]), decision)
        self.successResultOf(Deferred.fromCoroutine(decided))
        self.assertTrue(sink.done, recording.name)
        self.assertIn("Tool said: Approval required", sink.text)
        self.assertIn("-- done.\n\n**Approval needed.**", sink.text)
        # What follows runs in the agent's main session, and is nobody's here.
        self.assertNotIn(HELLO, sink.text)

    def test_approval_allow(self) -> None:
        self.see("approval_allow", "APPROVE", "Tool said: approved-ok -- done.")

    def test_approval_deny(self) -> None:
        self.see("approval_deny", "DENY", "Tool said: Exec denied")

    def test_caps_approvals_only(self) -> None:
        self.see("caps_approvals_only", "APPROVE", "Tool said: approved-ok -- done.")

    def test_caps_exec_approvals_only(self) -> None:
        self.see("caps_exec_approvals_only", "APPROVE", "Tool said: approved-ok -- done.")


class Disconnects(PlayingTestCase):
    """The connection is lost in the middle of a run, and comes back to the same gateway."""

    def test_disconnect_midrun(self) -> None:
        first, second = self.each("disconnect_midrun_a"), self.each("disconnect_midrun_b")
        for before, after in zip(first, second, strict=True):
            player, caller = self.play(before, after)
            player.own.add("agent.wait")
            sink = caller.ask(params(player.wanted)["message"], user="u")
            self.assertEqual(sink.text, "slow0")
            player.last.drop()
            self.assertEqual(sink.ends, [])
            caller.clock.advance(1)
            self.assertTrue(sink.done, before.name)
            self.assertEqual(sink.text, slow(30), before.name)
            usage = sink.usage
            assert usage is not None
            self.assertEqual((usage.input_tokens, usage.output_tokens), (11, 7))


class Methods(PlayingTestCase):
    """Agents become models and skills become tools, in every version's words."""

    def test_methods(self) -> None:
        for recording in self.each("methods"):
            for payload in recording.responses("agents.list"):
                roster = read_agents(payload)
                self.assertEqual([a.id for a in roster.agents], ["main", "dev"], recording.name)
                self.assertEqual(roster.agents[1].name, "Dev Agent")
                self.assertEqual(roster.default, "main")
                self.assertEqual(bool(roster.agents[0].thinking), recording.version == V9)
            skills = recording.responses("skills.status")
            self.assertTrue(skills, recording.name)
            for payload in skills:
                tools = read_tools(payload)
                self.assertEqual(len(tools), 4, recording.name)
                for tool in tools:
                    self.assertEqual(tool["type"], "function")
                    function = tool["function"]
                    assert isinstance(function, dict)
                    self.assertRegex(function["name"], r"^[A-Za-z0-9_-]{1,64}$")
                    self.assertTrue(function["description"])
