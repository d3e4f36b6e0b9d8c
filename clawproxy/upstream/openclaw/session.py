"""One WebSocket connection to a gateway, without the socket: :class:`GatewaySession`.

1. Text messages go into :meth:`GatewaySession.receive`; out come the things that happened.
2. The first of them is a :class:`Say` with the ``connect`` request, then :class:`Connected` or
   :class:`Refused`.
3. :meth:`GatewaySession.request` gives the text of a request, once its size is known to be
   accepted.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.frames import (
    JSON,
    Event,
    Response,
    decode,
    encode_request,
)
from clawproxy.upstream.openclaw.handshake import Credentials, Hello, connect_params, read_hello
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from clawproxy.upstream.openclaw.refusal import Obstacle, Refusal, read_refusal

CHALLENGE = "connect.challenge"


@frozen
class Say:
    """Send this text."""

    text: str


@frozen
class Connected:
    """The handshake is complete."""

    hello: Hello


@frozen
class Refused:
    """The gateway refuses this proxy; the connection is of no further use."""

    refusal: Refusal


Happening: TypeAlias = Say | Connected | Refused | Response | Event


class GatewaySession:
    """The protocol's state on one connection: CHALLENGED after the nonce came, then READY or
    refused.

    :param identity: signs the challenge.
    :param credentials: what is configured.
    :param device_token: what the gateway issued to this device earlier.
    :param now_ms: gives milliseconds since the epoch.
    :ivar hello: what the gateway granted, once it is ready.
    """

    def __init__(
        self,
        *,
        identity: DeviceIdentity,
        credentials: Credentials,
        device_token: Secret | None,
        now_ms: Callable[[], int],
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._identity = identity
        self._credentials = credentials
        self._device_token = device_token
        self._now_ms = now_ms
        self._new_id = new_id
        self._connect_id: str | None = None
        self.hello: Hello | None = None

    def receive(self, message: str) -> list[Happening]:
        """Take one text message.

        :raises FrameError: it is no JSON object.
        """
        frame = decode(message)
        if isinstance(frame, Event):
            if self.hello is None:
                return self._challenged(frame) if frame.name == CHALLENGE else []
            return [frame]
        if isinstance(frame, Response):
            if self.hello is not None:
                return [frame]
            return self._answered(frame) if frame.id == self._connect_id else []
        return []

    def _challenged(self, event: Event) -> list[Happening]:
        if self._connect_id is not None:
            return []
        self._connect_id = self._new_id()
        params = connect_params(
            event.payload,
            identity=self._identity,
            credentials=self._credentials,
            device_token=self._device_token,
            now_ms=self._now_ms(),
        )
        return [Say(encode_request(self._connect_id, "connect", params))]

    def _answered(self, response: Response) -> list[Happening]:
        if response.error is not None:
            return [Refused(read_refusal(response.error))]
        hello = read_hello(response.payload)
        if hello is None:
            return [
                Refused(
                    Refusal(
                        Obstacle.REJECTED,
                        "What answers there is not an OpenClaw Gateway",
                        "Check the provider's url",
                    )
                )
            ]
        self.hello = hello
        return [Connected(hello)]

    def request(self, method: str, params: JSON) -> tuple[str, str]:
        """Give the id and the text of a request.

        :raises ProxyError: ``TOO_LARGE``: the gateway would close the connection on a frame this
            long; ``UPSTREAM_UNREACHABLE``: the handshake is not complete.
        """
        if self.hello is None:
            raise ProxyError(Kind.UPSTREAM_UNREACHABLE, "the OpenClaw gateway is not connected")
        request_id = self._new_id()
        text = encode_request(request_id, method, params)
        size, limit = len(text.encode()), self.hello.max_payload
        if size > limit:
            raise ProxyError(
                Kind.TOO_LARGE,
                f"the request is {size} bytes long, and the OpenClaw gateway takes "
                f"at most {limit}; "
                "send a shorter conversation or smaller images",
            )
        return request_id, text
