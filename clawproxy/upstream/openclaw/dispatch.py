"""What is sent to start a run: :func:`prepare` words an errand for the gateway at hand, as a
:class:`Mission`.

It asks ``agent``, whose second response ends the run. On gateways of protocol 3 only runs of
``chat.send`` can be aborted, so there it asks that.
"""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.errand import Errand
from clawproxy.upstream.openclaw.frames import JSON
from clawproxy.upstream.openclaw.handshake import Hello

Method = Literal["agent", "chat.send"]


@frozen
class Mission:
    """What is sent to start a run.

    :ivar run_id: chosen here: it is the request's ``idempotencyKey``, and gateways of all versions
        name the run by it, so its events are known from the first one on.
    """

    method: Method
    run_id: str
    session_key: str
    params: JSON

    @property
    def twice(self) -> bool:
        """Whether the request is answered twice, the second time when the run is over."""
        return self.method == "agent"

    def sent(self) -> Mission:
        """Give what is still of use once it was sent: a run may wait long for its user, and its images are large.

        A run of ``chat.send`` is asked about with the same parameters.
        """
        return evolve(self, params={}) if self.twice else self


def prepare(errand: Errand, hello: Hello, run_id: str) -> Mission:
    """Word an errand for the gateway at hand.

    :raises ProxyError: ``TOO_LARGE``: an image is longer than the gateway takes.
    """
    _check_sizes(errand, hello)
    params: dict[str, object] = {"sessionKey": errand.session_key, "idempotencyKey": run_id}
    if errand.attachments:
        params["attachments"] = [a.params() for a in errand.attachments]
    if errand.thinking is not None:
        params["thinking"] = errand.thinking
    abortable = hello.protocol >= 4 and ("agent" in hello.methods or not hello.methods)
    if not abortable and {"chat.send", "chat.abort"} <= hello.methods:
        # chat.send has no place for instructions: they go before the first message.
        lead = f"[Instructions]\n{errand.system}\n\n[Message]\n" if errand.system else ""
        params["message"] = (lead if errand.opening else "") + errand.message
        return Mission("chat.send", run_id, errand.session_key, params)
    params |= {"message": errand.message, "agentId": errand.agent}
    if errand.system:
        params["extraSystemPrompt"] = errand.system
    return Mission("agent", run_id, errand.session_key, params)


def _check_sizes(errand: Errand, hello: Hello) -> None:
    total = 0
    for attachment in errand.attachments:
        total += attachment.size
        if hello.image_limit is not None and attachment.size > hello.image_limit:
            raise ProxyError(
                Kind.TOO_LARGE,
                f"{attachment.name} has {attachment.size} bytes; the OpenClaw gateway takes images "
                f"of at most {hello.image_limit}",
                param="messages",
            )
    if hello.attachment_limit is not None and total > hello.attachment_limit:
        raise ProxyError(
            Kind.TOO_LARGE,
            f"the images have {total} bytes together; the OpenClaw gateway takes at most "
            f"{hello.attachment_limit}",
            param="messages",
        )
