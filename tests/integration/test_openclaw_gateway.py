"""The real OpenClaw Gateway behind a real proxy, asked over HTTP as chat front-ends ask.

One gateway serves all tests; what a test says in its messages tells the model behind it what to do.
"""

from __future__ import annotations

import atexit
import http.client
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.integration.case import ProxyCase
from tests.integration.front_ends import OpenWebUI
from tests.integration.openclaw import TOKEN, GatewayProcess, Header, Model, installation
from tests.integration.proxy import Proxy
from tests.integration.records import RECORDED, Records
from tests.integration.upstream import Upstream

#: Seconds for an answer that nothing delays.
PATIENCE = 60

#: Seconds in which the gateway has given up a failing provider, even where it asks nine times.
RETRIES = 150


@define
class Fixture:
    """What all tests share."""

    upstream: Upstream
    model: Model
    gateway: GatewayProcess


@cache
def fixture() -> Fixture:
    """Start the gateway; it ends with the test run."""
    installation()
    model = Model()
    upstream = Upstream(model)
    upstream.__enter__()
    folder = Path(tempfile.mkdtemp(prefix="clawproxy-openclaw-"))
    gateway = GatewayProcess(folder, upstream.url)

    def end() -> None:
        gateway.stop(signal.SIGKILL)
        upstream.__exit__()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    gateway.start()
    return Fixture(upstream, model, gateway)


@define
class Spoken:
    """An answer, whatever its form.

    :ivar pieces: seconds after the request at which each piece of text came.
    """

    status: int
    text: str = ""
    thinking: str = ""
    usage: dict[str, Any] = field(factory=dict)
    error: dict[str, Any] | None = None
    pieces: list[float] = field(factory=list)
    raw: str = ""


class GatewayCase(ProxyCase):
    """A proxy before the gateway."""

    def setUp(self) -> None:
        super().setUp()
        self.shared = fixture()
        if self.shared.gateway.process is None:
            self.shared.gateway.start()

    def before(self, url: str | None = None, **settings: object) -> Proxy:
        """Start a proxy before the gateway."""
        ours = {
            "providers.openclaw.kind": "openclaw",
            "providers.openclaw.url": url or self.shared.gateway.url,
            "providers.openclaw.token": TOKEN,
            "providers.openclaw.device_file": str(self.folder / "device.json"),
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        return self.stack.enter_context(Proxy(self.folder / "proxy", settings=ours))

    def ready(self) -> Proxy:
        """Start a proxy before the gateway, and wait until it knows the agents."""
        proxy = self.before()
        self.eventually(lambda: self.health(proxy)["agents"], bool)
        return proxy

    def connected(self, proxy: Proxy, wanted: bool = True) -> dict[str, Any]:
        """Wait until the proxy says that the gateway is connected, or why not."""
        found: dict[str, Any] = self.eventually(
            lambda: self.health(proxy),
            lambda h: h["connected"] is wanted and (wanted or bool(h["obstacle"])),
        )
        return found

    def health(self, proxy: Proxy) -> dict[str, Any]:
        found: dict[str, Any] = proxy.get("/health")[1]["gateways"]["openclaw"]
        return found

    def eventually(
        self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = PATIENCE
    ) -> Any:
        deadline = time.monotonic() + seconds
        while not good(seen := look()):
            if time.monotonic() > deadline:
                self.fail(f"still {seen!r} after {seconds} s\n{self.shared.gateway.log[-3000:]}")
            time.sleep(0.1)
        return seen

    def post(
        self, proxy: Proxy, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=RETRIES)
        self.addCleanup(connection.close)
        connection.request(
            "POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})}
        )
        return connection

    def chat(
        self,
        proxy: Proxy,
        *said: str,
        model: str = "main",
        stream: bool = True,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Spoken:
        """Ask as a chat front-end does."""
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": words} for i, words in enumerate(said)]
        body = {"model": model, "messages": messages, "stream": stream, **more}
        if stream:
            body["stream_options"] = {"include_usage": True}
        began = time.monotonic()
        answer = self.post(proxy, "/v1/chat/completions", body, headers).getresponse()
        if not stream or answer.status != 200:
            whole = json.loads(answer.read())
            if "error" in whole:
                return Spoken(answer.status, error=whole["error"])
            message = whole["choices"][0]["message"]
            thinking = message.get("reasoning_content") or ""
            return Spoken(answer.status, message["content"], thinking, whole["usage"])
        spoken = Spoken(answer.status)
        for line in answer:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                spoken.error = chunk["error"]
                break
            spoken.usage = chunk.get("usage") or spoken.usage
            for choice in chunk["choices"]:
                spoken.thinking += choice["delta"].get("reasoning_content") or ""
                piece = choice["delta"].get("content") or ""
                spoken.text += piece
                if piece:
                    spoken.pieces.append(time.monotonic() - began)
        return spoken

    def asked_messages(self) -> list[list[str]]:
        """What the model was asked, as text, one list a request."""
        found = []
        for asked in self.shared.upstream.asked:
            if asked.target.endswith("/chat/completions"):
                messages = asked.json["messages"]
                found.append([json.dumps(m["content"]) for m in messages if m["role"] == "user"])
        return found


class Agents(GatewayCase):
    """Agents as models."""

    def test_lists(self) -> None:
        proxy = self.ready()
        status, models = proxy.get("/v1/models")
        self.assertEqual(status, 200)
        ids = {model["id"] for model in models["data"]}
        self.assertTrue({"main", "dev", "openclaw/main", "openclaw/dev"} <= ids, ids)
        status, tools = proxy.get("/v1/tools")
        self.assertEqual(status, 200)
        self.assertTrue(tools["data"])
        self.assertEqual({tool["type"] for tool in tools["data"]}, {"function"})

    def test_by_environment(self) -> None:
        """The README's way: no more than the gateway's token, and where it is."""
        env = {"OPENCLAW_GATEWAY_TOKEN": TOKEN, "CLAWPROXY_GATEWAY_URL": self.shared.gateway.url}
        proxy = self.stack.enter_context(Proxy(self.folder / "proxy", env=env))
        self.eventually(lambda: self.health(proxy)["agents"], bool)
        spoken = self.chat(proxy, "hello", model="openclaw/default", stream=False)
        self.assertEqual((spoken.status, spoken.text), (200, Model.GREETING))

    def test_stream(self) -> None:
        proxy = self.ready()
        spoken = self.chat(proxy, "SLOW(12)")
        self.assertEqual(spoken.text, " ".join(f"w{i}" for i in range(12)))
        # Twelve words, a tenth of a second apart: they came as they were said.
        self.assertGreater(spoken.pieces[-1] - spoken.pieces[0], 0.6)
        self.assertGreater(len(spoken.pieces), 5)

    def test_whole(self) -> None:
        proxy = self.ready()
        spoken = self.chat(proxy, "hello", stream=False)
        self.assertEqual((spoken.status, spoken.text), (200, Model.GREETING))
        self.assertEqual(spoken.usage["prompt_tokens"], 11)
        self.assertEqual(spoken.usage["completion_tokens"], 7)

    def test_second_agent(self) -> None:
        proxy = self.ready()
        for model in ("dev", "openclaw/dev"):
            spoken = self.chat(proxy, "SAY(dev here)", model=model, stream=False)
            self.assertEqual(spoken.text, "dev here")
        spoken = self.chat(proxy, "hi", model="openclaw/nosuch", stream=False)
        self.assertEqual((spoken.status, spoken.error["code"]), (404, "model_not_found"))  # type: ignore[index]

    def test_thinking(self) -> None:
        spoken = self.chat(self.ready(), "THINK", reasoning_effort="medium")
        self.assertEqual((spoken.thinking, spoken.text), ("First I think.", Model.GREETING))

    def test_tool(self) -> None:
        proxy = self.ready()
        file = self.folder / "note.txt"
        file.write_text("the note's words")
        spoken = self.chat(proxy, f"READ({file})")
        self.assertEqual(spoken.text, "Let me see.\n\nThe tool said: the note's words")
        self.assertIn(f'read: {{"path":"{file}"}}', spoken.thinking)
        self.assertEqual(spoken.usage["completion_tokens"], 14)

    def test_image(self) -> None:
        """The model takes no images: a clear 400."""
        url = (
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg"
            "YGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
        )
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        body = {"model": "main", "messages": [{"role": "user", "content": parts}]}
        answer = self.post(self.ready(), "/v1/chat/completions", body).getresponse()
        error = json.loads(answer.read())["error"]
        self.assertEqual((answer.status, error["code"]), (400, "unsupported_parameter"), error)

    def test_other_dialects(self) -> None:
        proxy = self.ready()
        asked = {"model": "main", "max_tokens": 99}
        words = [{"role": "user", "content": "SAY(in other words)"}]
        answer = self.post(proxy, "/v1/messages", {**asked, "messages": words}).getresponse()
        message = json.loads(answer.read())
        self.assertEqual(message["content"], [{"type": "text", "text": "in other words"}])
        self.assertEqual(message["usage"]["input_tokens"], 11)
        answer = self.post(
            proxy, "/v1/responses", {"model": "main", "input": "SAY(so)"}
        ).getresponse()
        response = json.loads(answer.read())
        self.assertEqual(response["output"][-1]["content"][0]["text"], "so")


class Recorded(GatewayCase):
    """The gateway's side of an exchange, read over the API."""

    def test_frames(self) -> None:
        proxy = self.before(**{key.replace(".", "__"): value for key, value in RECORDED.items()})
        self.eventually(lambda: self.health(proxy)["agents"], bool)
        spoken = self.chat(proxy, "SLOW(6)", model="openclaw/default")
        self.assertEqual(spoken.text, "w0 w1 w2 w3 w4 w5")
        records = Records(proxy)
        (exchange,) = records.all(1)
        asked = records.body(exchange["id"], "upstream-request") or b""
        frame = json.loads(asked)
        self.assertEqual((frame["method"], frame["params"]["message"]), ("agent", "SLOW(6)"))
        came = records.events(exchange["id"], "received")
        whole = "".join(piece["data"] for piece in came)
        self.assertEqual(records.body(exchange["id"], "upstream-response"), whole.encode())
        frames = [json.loads(piece["data"]) for piece in came]
        self.assertEqual(frames[0]["payload"]["status"], "accepted")
        self.assertEqual(frames[-1]["payload"]["status"], "ok")
        run = frame["params"]["idempotencyKey"]
        self.assertEqual({each["payload"]["runId"] for each in frames}, {run})
        times = [piece["at_ms"] for piece in came]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1] - times[0], 400)
        self.assertNotIn(TOKEN.encode(), asked + whole.encode())


class OpenWebUITests(GatewayCase):
    """A stream, then a title without one, then the chat goes on."""

    def test_chat(self) -> None:
        proxy = self.ready()
        headers = {"X-OpenWebUI-Chat-Id": f"chat-{time.time_ns()}"}
        tools = OpenWebUI.tools  # it offers them with every message
        first = self.chat(proxy, "SAY(I am blue)", headers=headers, tools=tools)
        self.assertEqual(first.text, "I am blue")
        self.assertEqual(first.usage["total_tokens"], 18)
        task = (
            "### Task:\nGenerate a concise, 3-5 word title.\nSAY(Being blue)\n### Chat History:\n"
            "<chat_history>\nUSER: what are you?\nASSISTANT: I am blue\n</chat_history>"
        )
        title = self.chat(proxy, task, stream=False, headers=headers)
        self.assertEqual(title.text, "Being blue")
        before = len(self.asked_messages())
        said = ("SAY(I am blue)", "I am blue", "SAY(Still)")
        again = self.chat(proxy, *said, headers=headers, tools=tools)
        self.assertEqual(again.text, "Still")
        heard = " ".join(self.asked_messages()[before])
        # The agent remembers the chat, and has not heard of the title.
        self.assertIn("SAY(I am blue)", heard)
        self.assertIn("SAY(Still)", heard)
        self.assertNotIn("### Task", heard)


class Approvals(GatewayCase):
    """Commands that their user allows or not."""

    def ask(self, proxy: Proxy, user: str) -> tuple[str, str]:
        asked = "EXEC(echo approved-words)"
        spoken = self.chat(proxy, asked, user=user)
        self.assertIn("**Approval needed.**", spoken.text)
        self.assertIn("echo approved-words", spoken.text)
        self.assertIsNone(spoken.error)
        return asked, spoken.text

    def test_allowed(self) -> None:
        proxy, user = self.ready(), f"u{time.time_ns()}"
        asked, question = self.ask(proxy, user)
        spoken = self.chat(proxy, asked, question, "APPROVE", user=user)
        self.assertEqual(spoken.text, "The tool said: approved-words")
        self.assertEqual(self.health(proxy)["approvals"], 0)

    def test_denied(self) -> None:
        proxy, user = self.ready(), f"u{time.time_ns()}"
        asked, question = self.ask(proxy, user)
        spoken = self.chat(proxy, asked, question, "DENY", user=user)
        self.assertIn("The tool said: Exec denied", spoken.text)
        self.assertNotIn("said: approved-words", spoken.text)

    def test_anything_else(self) -> None:
        proxy, user = self.ready(), f"u{time.time_ns()}"
        asked, question = self.ask(proxy, user)
        spoken = self.chat(proxy, asked, question, "SAY(never mind)", user=user)
        self.assertEqual(spoken.text, "Denied: `echo approved-words`\n\nnever mind")

    def test_dashboard(self) -> None:
        proxy, user = self.ready(), f"u{time.time_ns()}"
        asked, question = self.ask(proxy, user)
        (approval,) = [
            a
            for a in proxy.get("/api/approvals")[1]["approvals"]
            if a["session_key"].endswith(user)
        ]
        body = {"decision": "allow-once"}
        answer = self.post(proxy, f"/api/approvals/{approval['id']}", body).getresponse()
        self.assertEqual(answer.status, 200, answer.read())
        spoken = self.chat(proxy, asked, question, "SAY(thanks)", user=user)
        self.assertIn("The tool said: approved-words", spoken.text)
        self.assertTrue(spoken.text.endswith("thanks"))


class Ends(GatewayCase):
    """Runs that end before their time."""

    def test_abort(self) -> None:
        """The caller leaves: the model is stopped."""
        proxy = self.ready()
        body = {
            "model": "main",
            "stream": True,
            "messages": [{"role": "user", "content": "SLOW(300)"}],
        }
        connection = self.post(proxy, "/v1/chat/completions", body)
        answer = connection.getresponse()
        while b"w3" not in answer.readline():
            pass
        answer.close()
        connection.close()
        self.eventually(lambda: self.health(proxy)["runs"], lambda runs: runs == 0, 10)
        slow = self.shared.model.slow
        assert slow is not None

        def stands() -> bool:
            before = slow.taken
            time.sleep(1)
            return slow.taken == before

        self.eventually(stands, bool, 15)
        self.assertLess(slow.taken, 200)

    def test_provider_fails(self) -> None:
        """The gateway asks up to nine times; what was said is not said again, and failures are
        failures."""
        proxy = self.ready()
        with ThreadPoolExecutor(2) as pool:
            five = pool.submit(self.chat, proxy, "HTTP(500)", user="five")
            cut = pool.submit(self.chat, proxy, "CUT", user="cut")
            # No 401 here: the gateway would leave the model alone for a minute, and other tests with it.
            whole = self.chat(proxy, "HTTP(500)", user="whole", stream=False)
            failed, broken = five.result(RETRIES), cut.result(RETRIES)
        assert failed.error is not None and broken.error is not None
        self.assertIn("500", failed.error["message"])
        self.assertEqual(failed.text, "")
        self.assertEqual(broken.text, "one two three")
        self.assertIn("Retrying", broken.thinking)
        assert whole.error is not None
        self.assertEqual(whole.status, 502)
        self.assertIn("500", whole.error["message"])

    def test_restart_in_the_middle(self) -> None:
        """A gateway that stops politely finishes; one that dies takes its runs along; both come
        back."""
        proxy = self.ready()
        gateway = self.shared.gateway
        self.connected(proxy)
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(self.chat, proxy, "SLOW(25)", user="polite")
            self.eventually(lambda: self.health(proxy)["runs"], lambda runs: runs == 1)
            time.sleep(1)
            gateway.stop()
            spoken = running.result(PATIENCE)
            self.assertEqual(spoken.text, " ".join(f"w{i}" for i in range(25)))
            self.assertIsNone(spoken.error)
            self.connected(proxy, False)
            gateway.start()
            self.connected(proxy)
            running = pool.submit(self.chat, proxy, "SLOW(300)", user="dying")
            self.eventually(lambda: self.health(proxy)["runs"], lambda runs: runs == 1)
            time.sleep(1)
            gateway.stop(signal.SIGKILL)
            gateway.start()
            spoken = running.result(PATIENCE)
            assert spoken.error is not None
            self.assertIn("gateway", spoken.error["message"])
        self.connected(proxy)
        self.assertEqual(self.chat(proxy, "SAY(back)", stream=False).text, "back")


class Refusals(GatewayCase):
    """A gateway that does not want this proxy."""

    def test_wrong_token(self) -> None:
        proxy = self.before(providers__openclaw__token="wrong")
        health = self.connected(proxy, False)
        self.assertEqual(health["obstacle"], "authentication")
        self.assertIn("OPENCLAW_GATEWAY_TOKEN", health["remedy"])
        spoken = self.chat(proxy, "hi", model="openclaw/main", stream=False)
        assert spoken.error is not None
        self.assertEqual(spoken.status, 502)
        self.assertIn("token mismatch", spoken.error["message"])
        time.sleep(3)
        self.assertEqual(proxy.log.count("no OpenClaw gateway"), 1)
        self.assertNotIn(TOKEN, proxy.log)

    def test_pairing(self) -> None:
        """A device that the gateway does not know: the command that the proxy names pairs it."""
        gateway = self.shared.gateway
        # An origin makes the gateway take this client for one that has to be paired.
        between = Header(gateway.port, f"Origin: http://127.0.0.1:{gateway.port}")
        self.addCleanup(between.close)
        proxy = self.before(f"ws://127.0.0.1:{between.port}")
        health = self.connected(proxy, False)
        self.assertEqual(health["obstacle"], "pairing")
        command = health["remedy"].partition("run: openclaw ")[2]
        self.assertTrue(command.startswith("devices approve "), health)
        gateway.command(*command.split())
        proxy.signal(signal.SIGHUP)
        self.connected(proxy)
        self.assertEqual(
            self.chat(proxy, "SAY(paired)", model="openclaw/main", stream=False).text, "paired"
        )
