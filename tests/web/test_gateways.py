"""Agents in the catalogue of models."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from clawproxy.upstream.openclaw.directory import UNKNOWN_REST
from clawproxy.web.gateways import AgentSource
from tests.upstream.openclaw.calling import Caller
from tests.upstream.openclaw.gateway import AgentGateway
from tests.web.agents import AgentsCase, Reply
from tests.wire import ASK


class AgentSourceTests(SynchronousTestCase):
    """What ``/v1/models`` says of agents."""

    def test_agents(self) -> None:
        """Each has two names, and a time of creation that clients can take for one."""
        caller = Caller.make(AgentGateway())
        self.addCleanup(caller.provider.stopService)
        source = AgentSource(caller.provider)
        models = self.successResultOf(Deferred.fromCoroutine(source.fetch(())))
        self.assertEqual(
            [(model.id, model.display_name) for model in models],
            [
                ("main", "Main Agent"),
                ("openclaw/main", "Main Agent"),
                ("dev", "Dev Agent"),
                ("openclaw/dev", "Dev Agent"),
                ("openclaw/default", "Main Agent"),
                ("openclaw", "Main Agent"),
            ],
        )
        self.assertEqual({model.created for model in models}, {1_800_000_000})


class NameTests(AgentsCase):
    """What is listed can be looked up and used, by the same names."""

    def test_listed_looked_up_and_used(self) -> None:
        self.begin("providers.claw.default_agent=dev")
        listed = [model["id"] for model in self.get("/v1/models").json["data"]]
        meant = {
            "main": "main",
            "openclaw/main": "main",
            "dev": "dev",
            "openclaw/dev": "dev",
            "openclaw/default": "dev",
            "openclaw": "dev",
        }
        self.assertLessEqual(meant.keys(), set(listed))
        for name, agent in meant.items():
            one = self.get(f"/v1/models/{name}")
            self.assertEqual((one.status, one.json["id"]), (200, name))
            self.assertEqual(one.json["owned_by"], "claw")
            asking = self.chat(name)
            run = self.gateway.runs()[-1]
            self.assertEqual(run["params"]["agentId"], agent)
            self.gateway.play(run, "hello")
            self.assertEqual(self.read(asking).status, 200)

    def test_the_same_under_the_providers_own_path(self) -> None:
        self.begin()
        listed = [model["id"] for model in self.get("/claw/v1/models").json["data"]]
        self.assertIn("openclaw/default", listed)
        self.assertEqual(self.get("/claw/v1/models/openclaw/default").status, 200)

    def test_nobody_is_the_default_of_no_agents(self) -> None:
        gateway = AgentGateway()
        gateway.answers["agents.list"] = {"agents": []}
        self.begin(gateway=gateway)
        self.assertEqual(self.get("/v1/models/openclaw/default").status, 404)


class NewAgentTests(AgentsCase):
    """An agent that was created after the start is there for whoever asks for it."""

    def setUp(self) -> None:
        super().setUp()
        self.begin("default_provider.openai=null")
        self.get("/v1/models")
        self.offer("main", "new")
        self.asked = self.times_asked

    def assertAnswers(self, model: str, path: str = "/v1/chat/completions") -> None:
        asking = self.chat(model, path)
        run = self.gateway.runs()[-1]
        self.assertEqual(run["params"]["agentId"], "new")
        self.gateway.play(run, "hello")
        self.assertEqual(self.read(asking).status, 200)
        self.assertEqual(self.times_asked, self.asked + 1)

    def test_used(self) -> None:
        self.assertAnswers("openclaw/new")
        self.assertEqual(self.proxy.exchanges[-1].routed_model, "new")

    def test_used_by_its_bare_id(self) -> None:
        """Where no route and no default provider takes the name."""
        self.assertAnswers("new")

    def test_used_under_the_providers_own_path(self) -> None:
        self.assertAnswers("new", "/claw/v1/chat/completions")

    def test_looked_up(self) -> None:
        self.assertEqual(self.get("/v1/models/openclaw/new").status, 200)
        self.assertEqual(self.get("/v1/models/new").status, 200)
        self.assertIn("new", [model["id"] for model in self.get("/v1/models").json["data"]])
        self.assertEqual(self.get("/v1/models/dev").status, 404)

    def test_tools(self) -> None:
        self.gateway.answers["skills.status"] = {"skills": []}
        self.assertEqual(self.get("/v1/tools?model=openclaw/new").status, 200)
        self.assertEqual(self.gateway.last.asked("skills.status")[-1]["params"], {"agentId": "new"})
        self.assertEqual(self.get("/v1/tools?model=gone").status, 404)

    def test_one_that_is_gone(self) -> None:
        """Its name is still known until somebody asks: the gateway then refuses it."""
        self.assertAnswers("openclaw/new")
        self.assertEqual(self.read(self.chat("openclaw/dev")).status, 404)


class AbsentGatewayTests(AgentsCase):
    """A gateway that was never there: what is said of its agents is why."""

    def setUp(self) -> None:
        super().setUp()
        gateway = AgentGateway()
        gateway.refusal = {"code": "INVALID_REQUEST", "message": "unauthorized: token mismatch"}
        self.begin(gateway=gateway)

    def test_looked_up_as_used(self) -> None:
        for name in ("openclaw/default", "openclaw/any", "main"):
            used, found = self.read(self.chat(name)), self.get(f"/v1/models/{name}")
            self.assertEqual((found.status, found.json), (used.status, used.json))
            self.assertEqual(found.json["error"]["code"], "upstream_unreachable")

    def test_led_there(self) -> None:
        """By a rule or as the default, by whatever name."""
        self.begin(
            'routes=[{match: "my-*", provider: claw, model: main}]',
            "default_provider={openai: claw, anthropic: claw}",
            gateway=self.gateway,
        )
        for name in ("my-agent", "any"):
            used, found = self.read(self.chat(name)), self.get(f"/v1/models/{name}")
            self.assertEqual((found.status, found.json), (used.status, used.json))
            self.assertEqual(found.json["error"]["code"], "upstream_unreachable")

    def test_led_to_one_that_is_gone(self) -> None:
        """That its agents are known from before does not answer for it now."""
        self.begin('routes=[{match: "my-*", provider: claw, model: main}]')
        self.assertEqual(self.get("/v1/models/my-agent").status, 404)
        self.gateway.refusal = {
            "code": "INVALID_REQUEST",
            "message": "unauthorized: token mismatch",
        }
        self.gateway.last.drop()
        self.proxy.advance(5)
        used, found = self.read(self.chat("my-agent")), self.get("/v1/models/my-agent")
        self.assertEqual((found.status, found.json), (used.status, used.json))
        self.assertEqual(found.json["error"]["code"], "upstream_unreachable")

    def test_other_names(self) -> None:
        self.assertEqual(self.get("/v1/models/nothing-like-it").status, 404)

    def test_listed(self) -> None:
        """The others' models are there."""
        self.assertEqual(self.get("/v1/models").status, 200)


class FallbackTests(AgentsCase):
    """An agent that is asked after another provider failed."""

    def ask(self, code: str, message: str, *sets: str) -> Reply:
        self.begin(
            "providers.other={kind: openai, base_url: 'http://127.0.0.1:3', api_key: k}",
            'routes=[{match: "m", provider: other, fallbacks: ["main"]}]',
            *sets,
        )
        asking = self.chat("m")
        self.proxy.upstream().write(b"HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n")
        (run,) = self.gateway.runs()
        self.gateway.last.answer(run, code=code, message=message)
        return self.read(asking)

    def test_its_400_is_an_answer(self) -> None:
        reply = self.ask("INVALID_REQUEST", "message is too odd")
        self.assertEqual(reply.status, 400)
        self.assertIn("too odd", reply.json["error"]["message"])

    def test_its_words_are_the_upstreams(self) -> None:
        """They may repeat the prompt, which is not kept where no body is."""
        reply = self.ask("INVALID_REQUEST", "what is 'hi'?", "storage.bodies=metadata")
        self.assertIn("'hi'", reply.json["error"]["message"])
        self.assertNotIn("'hi'", str(self.proxy.exchanges[-1].error))

    def test_what_cannot_be_put_to_it(self) -> None:
        """That says nothing about why it was needed."""
        self.begin(
            "providers.other={kind: openai, base_url: 'http://127.0.0.1:3', api_key: k}",
            'routes=[{match: "m", provider: other, fallbacks: ["main"]}]',
        )
        said = {"model": "m", "messages": [{"role": "user", "content": ""}]}
        asking = self.send("POST", "/v1/chat/completions", said)
        self.proxy.upstream().write(b"HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.read(asking).status, 502)


class ReloadTests(AgentsCase):
    """Gateways come and go with the configuration."""

    def test_health(self) -> None:
        """It tells of the gateways that there are now."""
        self.begin()
        without = MemoryProxy().config
        for config, names in ((without, None), (self.proxy.config, ["claw"])):
            self.proxy.assembly.rewire(config)
            told = self.get("/health").json.get("gateways")
            self.assertEqual(told if told is None else list(told), names)


class UnknownAgentTests(AgentsCase):
    """Names that nobody has cost the gateway little."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()
        self.asked = self.times_asked

    def test_asked_once_in_a_while(self) -> None:
        for _ in range(5):
            reply = self.read(self.chat("openclaw/nobody"))
            self.assertEqual((reply.status, reply.json["error"]["code"]), (404, "model_not_found"))
            self.assertEqual(self.get("/claw/v1/models/openclaw/nobody").status, 404)
        self.assertEqual(self.times_asked, self.asked + 1)
        self.proxy.advance(UNKNOWN_REST)
        self.read(self.chat("openclaw/nobody"))
        self.assertEqual(self.times_asked, self.asked + 2)

    def test_one_question_for_all(self) -> None:
        """Who comes while the gateway is being asked waits for the same answer; one that leaves
        takes nobody's."""
        told = self.gateway.answers.pop("agents.list")
        asking = [self.chat("openclaw/new") for _ in range(3)]
        self.chat("openclaw/new").leave()
        asking[0].leave()
        (question,) = self.gateway.last.asked("agents.list")[self.asked :]
        told["agents"].append({"id": "new"})
        self.gateway.last.answer(question, told)
        runs = self.gateway.runs()
        self.assertEqual(len(runs), 2)
        for each, run in zip(asking[1:], runs, strict=True):
            self.gateway.play(run, "hello")
            self.assertEqual(self.read(each).status, 200)

    def test_one_that_leaves_while_another_gateway_is_asked(self) -> None:
        """Nothing is begun for it, although its agent is known by then."""
        other = AgentGateway()
        file = self.mktemp()
        self.begin(
            f"providers.other={{kind: openclaw, url: 'ws://127.0.0.1:9', device_file: {file}}}"
        )
        provider = self.proxy.assembly.providers.gateways["other"]
        provider._connection._endpoint = other
        provider.startService()
        self.addCleanup(provider.stopService)
        del other.answers["agents.list"]
        self.offer("main", "new")
        leaving = self.chat("openclaw/new")
        self.assertIn("new", self.provider.agent_ids)
        self.assertFalse(leaving.closed)
        leaving.leave()
        self.assertEqual(self.gateway.runs(), [])

    def test_a_gateway_that_does_not_tell(self) -> None:
        """What it told before holds."""
        del self.gateway.answers["agents.list"]
        asking = self.chat("openclaw/nobody")
        (question,) = self.gateway.last.asked("agents.list")[self.asked :]
        self.gateway.last.answer(question, code="UNAVAILABLE", message="busy")
        self.assertEqual(self.read(asking).status, 404)

    def test_nobody_is_left_to_hear_why(self) -> None:
        del self.gateway.answers["agents.list"]
        self.chat("openclaw/nobody").leave()
        (question,) = self.gateway.last.asked("agents.list")[self.asked :]
        self.gateway.last.answer(question, code="UNAVAILABLE", message="busy")
        self.assertEqual([each.outcome for each in self.proxy.exchanges], ["client_gone"])
        self.assertEqual(self.read(self.chat("openclaw/nobody")).status, 404)

    def test_a_gateway_that_is_away(self) -> None:
        """Nobody waits for it: what it told before holds."""
        self.gateway.reachable = False
        self.gateway.last.drop()
        self.assertEqual(self.read(self.chat("openclaw/nobody")).status, 404)

    def test_a_provider_that_nobody_has(self) -> None:
        """That a caller names it has nothing to do with agents."""
        caller = self.proxy.caller()
        caller.post("/v1/messages", ASK, {"x-clawproxy-provider": "nobody"})
        self.assertIn(b" 404 ", caller.read())
        self.assertEqual(self.times_asked, self.asked)

    def test_other_models_ask_nobody(self) -> None:
        self.chat("gpt-5")
        self.chat("something-else")
        self.assertEqual(self.times_asked, self.asked)
