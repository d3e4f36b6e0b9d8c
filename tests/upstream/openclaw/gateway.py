"""A gateway in memory: the server's end of a WebSocket, joined to the client without a socket.

1. :class:`Wire` carries bytes both ways, in order and at once.
2. :class:`Gateway` is an endpoint; each connection that it accepts is a :class:`Connection`, on
   which a test says what the gateway says, and sees what it was asked.
3. :class:`ObligingGateway` answers the handshake and the small questions by itself.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from zope.interface import implementer

JSONObject = dict[str, Any]


class Wire:
    """Deliver what either end posts, in order; posts made while delivering wait their turn."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._running = False

    def post(self, deliver: Callable[[], None]) -> None:
        """Do something after all that was posted before."""
        self._queue.append(deliver)
        if self._running:
            return
        self._running = True
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._running = False


@implementer(ITransport)
class ClientTransport:
    """The client's transport: what it writes arrives at a :class:`Connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        self._connection.wire.post(lambda: self._connection.arrived(data))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self._connection.wire.post(self._connection.dropped)

    def abortConnection(self) -> None:
        if self._connection.closed is None:
            self._connection.closed = "aborted"
        self.loseConnection()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 18789)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)


class Connection:
    """One client as the gateway sees it.

    :ivar requests: all frames that the client sent, in order.
    :ivar upgrade: the HTTP request of the upgrade.
    :ivar closed: the close code that the client sent, ``"aborted"`` or ``"lost"``.
    """

    def __init__(self, gateway: Gateway, client: IProtocol) -> None:
        self.wire = Wire()
        self.gateway = gateway
        self.client = client
        self.requests: list[JSONObject] = []
        self.upgrade: Request | None = None
        self.closed: int | str | None = None
        self._socket = WSConnection(ConnectionType.SERVER)
        self._gone = False

    def open(self) -> None:
        """Connect the client."""
        self.client.makeConnection(ClientTransport(self))

    def _send(self, data: bytes) -> None:
        def deliver() -> None:
            if not self._gone:
                self.client.dataReceived(data)

        self.wire.post(deliver)

    def arrived(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._gone:
            return
        self._socket.receive_data(data)
        for event in self._socket.events():
            match event:
                case Request():
                    self.upgrade = event
                    self.gateway.upgrading(self)
                case TextMessage():
                    frame = json.loads(event.data)
                    self.requests.append(frame)
                    self.gateway.requested(self, frame)
                case CloseConnection():
                    self.closed = int(event.code)
                case _:
                    pass

    def dropped(self) -> None:
        """The client closed the transport."""
        if self._gone:
            return
        self._gone = True
        if self.closed is None:
            self.closed = "lost"
        self.client.connectionLost(Failure(ConnectionDone()))

    # --- what a test makes the gateway do

    def accept(self) -> None:
        """Grant the upgrade."""
        self._send(self._socket.send(AcceptConnection()))

    def reject(self, status: int, body: bytes = b"") -> None:
        """Refuse the upgrade."""
        headers = [(b"content-length", str(len(body)).encode())]
        self._send(self._socket.send(RejectConnection(status, headers, has_body=bool(body))))
        if body:
            self._send(self._socket.send(RejectData(body)))

    def say(self, frame: JSONObject) -> None:
        """Send a frame."""
        self.text(json.dumps(frame))

    def text(self, text: str, chunk: int = 0) -> None:
        """Send a text message, in frames of ``chunk`` characters if given."""
        if not chunk:
            self._send(self._socket.send(TextMessage(text)))
            return
        for start in range(0, len(text), chunk):
            last = start + chunk >= len(text)
            piece = TextMessage(text[start : start + chunk], message_finished=last)
            self._send(self._socket.send(piece))

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._send(data)

    def ping(self) -> None:
        """Send a ping."""
        self._send(self._socket.send(Ping(b"x")))

    def event(self, name: str, payload: JSONObject) -> None:
        """Send an event."""
        self.say({"type": "event", "event": name, "payload": payload})

    def answer(self, request: JSONObject, payload: Any = None, **error: Any) -> None:
        """Answer a request: with a payload, or with the fields of an error."""
        frame: JSONObject = {"type": "res", "id": request["id"], "ok": not error}
        if payload is not None:
            frame["payload"] = payload
        if error:
            frame["error"] = error
        self.say(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Close politely."""
        self._send(self._socket.send(CloseConnection(code, reason)))
        self.drop(clean=True)

    def drop(self, clean: bool = False) -> None:
        """Break the connection."""

        def deliver() -> None:
            if not self._gone:
                self._gone = True
                error = ConnectionDone() if clean else ConnectionLost()
                self.client.connectionLost(Failure(error))

        self.wire.post(deliver)

    def asked(self, method: str) -> list[JSONObject]:
        """All requests of a method so far."""
        return [r for r in self.requests if r.get("method") == method]


@implementer(IStreamClientEndpoint)
class Gateway:
    """An endpoint whose other side a test plays.

    :ivar reachable: whether a connection is accepted; ``None`` leaves the client waiting.
    :ivar attempts: how many connections were tried.
    """

    def __init__(self) -> None:
        self.reachable: bool | None = True
        self.attempts = 0
        self.connections: list[Connection] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts += 1
        if self.reachable is None:
            return Deferred()
        if not self.reachable:
            return fail(ConnectionRefusedError())
        client = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 18789))
        assert client is not None
        connection = Connection(self, client)
        self.connections.append(connection)
        connection.open()
        return succeed(client)

    @property
    def last(self) -> Connection:
        """The newest connection."""
        return self.connections[-1]

    def upgrading(self, connection: Connection) -> None:
        """A client asks for the upgrade."""
        connection.accept()

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        """A client sent a frame."""


CHALLENGE = {"nonce": "n-1", "ts": 1_700_000_000_000}


def hello(
    protocol: int = 4,
    *,
    version: str = "2026.9.6",
    methods: tuple[str, ...] = ("agent", "chat.send", "chat.abort", "exec.approval.list"),
    boot: str = "boot-1",
    uptime: float | None = None,
    **policy: Any,
) -> JSONObject:
    """Word a ``hello-ok``."""
    server = {"version": version, "connId": "c", **({"bootId": boot} if boot else {})}
    snapshot = {} if uptime is None else {"uptimeMs": int(uptime * 1000)}
    return {
        "type": "hello-ok",
        "protocol": protocol,
        "server": server,
        "features": {"methods": list(methods), "events": []},
        "snapshot": snapshot,
        "policy": {"maxPayload": 26214400, "tickIntervalMs": 30000, **policy},
    }


class ObligingGateway(Gateway):
    """A gateway that completes handshakes and answers small questions.

    :ivar hello: what the handshake grants.
    :ivar answers: payloads by method; a method that is not there is left to the test.
    :ivar refusal: the error that the handshake is answered with instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hello = hello()
        self.refusal: JSONObject = {}
        agents = [{"id": "main", "name": "Main Agent"}, {"id": "dev", "name": "Dev Agent"}]
        self.answers: dict[str, Any] = {
            "agents.list": {"defaultId": "main", "agents": agents},
            "exec.approval.list": [],
        }

    def upgrading(self, connection: Connection) -> None:
        connection.accept()
        connection.event("connect.challenge", CHALLENGE)

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        method = frame["method"]
        if method == "connect":
            if self.refusal:
                connection.answer(frame, **self.refusal)
            else:
                connection.answer(frame, self.hello)
        elif method in self.answers:
            connection.answer(frame, self.answers[method])


class AgentGateway(ObligingGateway):
    """A gateway whose runs a test plays, event by event."""

    def __init__(self, protocol: int = 4, **granted: Any) -> None:
        super().__init__()
        self.hello = hello(protocol, **granted)

    def runs(self, method: str = "agent") -> list[JSONObject]:
        """The requests that started runs, on all connections."""
        return [r for c in self.connections for r in c.asked(method)]

    @staticmethod
    def run_id(request: JSONObject) -> str:
        """The run that a request started."""
        return str(request["params"]["idempotencyKey"])

    def accepted(self, request: JSONObject) -> None:
        """Accept a run."""
        status = "accepted" if request["method"] == "agent" else "started"
        self.last.answer(request, {"runId": self.run_id(request), "status": status})

    def tell(self, request: JSONObject, stream: str, **data: Any) -> None:
        """Send an ``agent`` event of a run."""
        payload = {
            "runId": self.run_id(request),
            "sessionKey": request["params"]["sessionKey"],
            "stream": stream,
            "data": data,
        }
        self.last.event("agent", payload)

    def chat(self, request: JSONObject, state: str, **members: Any) -> None:
        """Send a ``chat`` event of a run."""
        self.last.event("chat", {"runId": self.run_id(request), "state": state, **members})

    def says(self, request: JSONObject, *words: str, item: str | None = None) -> None:
        """Stream a segment of text."""
        whole = ""
        for word in words:
            whole += word
            named = {"itemId": item} if item else {}
            self.tell(request, "assistant", text=whole, delta=word, **named)

    def finished(self, request: JSONObject, *payloads: str, usage: bool = True) -> None:
        """End a run well."""
        meta: JSONObject = {"agentMeta": {"usage": {"input": 11, "output": 7} if usage else {}}}
        result = {"payloads": [{"text": p} for p in payloads], "meta": meta}
        self.last.answer(request, {"runId": self.run_id(request), "status": "ok", "result": result})

    def play(self, request: JSONObject, *words: str) -> None:
        """A whole run."""
        self.accepted(request)
        self.tell(request, "lifecycle", phase="start")
        self.says(request, *words)
        self.finished(request, "".join(words))

    def wants(self, request: JSONObject, approval: str = "ap-1", **members: Any) -> None:
        """Ask for an approval on behalf of a run."""
        asked = {
            "command": "rm -rf /tmp/x",
            "cwd": "/home/agent",
            "host": "gateway",
            "agentId": "main",
            "sessionKey": request["params"]["sessionKey"],
            "allowedDecisions": ["allow-once", "allow-always", "deny"],
            **({"runId": self.run_id(request)} if self.hello["protocol"] == 4 else {}),
            **members,
        }
        payload = {"id": approval, "request": asked, "createdAtMs": 1000, "expiresAtMs": 121000}
        self.last.event("exec.approval.requested", payload)
