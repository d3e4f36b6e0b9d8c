"""One exchange's life: :class:`Forward` takes a caller's request and sees to it that it ends, once.

1. :meth:`Forward.begin` starts the coroutine and listens for the caller's leaving.
2. The request is understood (:mod:`.inbound`), targets are found (:mod:`.targets`) and asked (:mod:`.attempt`).
3. What they answer goes to the caller through the :class:`~clawproxy.relay.reply.Reply` that this is too.
4. Every exit passes through :meth:`Forward.close`, which is idempotent.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.record import Outcome
from clawproxy.relay import accesslog
from clawproxy.relay.attempt import Attempt
from clawproxy.relay.inbound import read, size_to_read
from clawproxy.relay.offload import offload
from clawproxy.relay.reply import Reply, State
from clawproxy.upstream.failure import Phase, UpstreamFailure
from clawproxy.web.stall import CallerStalled

CLIENT_GONE = 499
"""The status that stands in the record of a caller that went away (nginx's own)."""


class Forward(Reply):
    """A request on its way.

    :ivar connected: it is on a connection to an upstream.
    """

    _log = Logger()
    _task: Deferred[None] | None = None
    connected = False

    # Beginning.

    def begin(self) -> None:
        """Start; from here on the exchange ends by itself."""
        self.board.running.add(self)
        self.request.caller_gone = self._caller_gone
        self._task = Deferred.fromCoroutine(self._run())
        self._task.addErrback(self._unexpected)

    def refuse(self, error: ProxyError) -> None:
        """Answer a request that goes no further, in place of :meth:`begin`."""
        self.record()
        self.fail(error)

    async def _run(self) -> None:
        try:
            self.exchange.key = self.wiring.callers.authenticate(self.inbound.headers)
            if self.endpoint is not None:
                limit = self.wiring.config.server.max_body
                size = size_to_read(self.inbound)
                reactor = self.board.reactor
                await offload(reactor, size, read, self.inbound, self.endpoint, limit)
                self.exchange.model = self.inbound.model or None
                self.exchange.stream = self.inbound.stream
            self.record()
            await Attempt(self).run()
        # What was raised and the frames that it came through refer to each other. Without its traceback, they and this
        # are freed at once.
        except ProxyError as error:
            self.record()
            self.fail(error.with_traceback(None))
        except UpstreamFailure as failure:
            self.broken(failure.with_traceback(None))
        except CancelledError:
            if self.state is not State.DONE:
                raise

    def _unexpected(self, failure: Failure) -> None:
        if self.state is State.DONE and failure.check(CancelledError):
            return
        self._log.failure("bug: exchange {id} failed", failure, id=self.exchange.id)
        self.record()
        self.fail(ProxyError(Kind.INTERNAL, "the proxy failed; its log says more"))
        self.close("error")

    def sent(self) -> None:
        """Take note that the request is on a connection to an upstream."""
        self.connected = True

    # Ending.

    def _caller_gone(self, reason: Failure) -> None:
        if self.state is State.DONE:
            return
        waiting = self.state is State.WAITING
        self.state = State.DONE
        if self.is_stream and self.told():
            # Many clients hang up at the dialect's last event, before the upstream has ended its body.
            self._stop()
            self.close("ok")
            return
        self.record()
        self.exchange.error = (
            str(reason.value) if reason.check(CallerStalled) else "the caller went away"
        )
        self.exchange.status = CLIENT_GONE
        if waiting:
            phase: Phase = "headers" if self.connected else "connect"
            accesslog.forward_error(self, phase, "the caller went away", gone=True)
        self._stop()
        self.close("client_gone")

    def cut(self) -> str:
        """End at once because the process leaves; gives words for the log."""
        words = f"{self.exchange.id} {self.exchange.path} {self.exchange.model or '-'}"
        if self.state is State.DONE:
            return words
        error = ProxyError(Kind.UNAVAILABLE, "the proxy is shutting down and could wait no longer")
        self.record()
        self.fail(error, "cut")
        self._stop()
        return words

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.called:
            task.cancel()

    def close(self, outcome: Outcome) -> None:
        """Close the books, and let go of what is under way no longer."""
        self.board.running.discard(self)
        super().close(outcome)
        # What refers to this in a circle is not freed before the next collection, which stops every stream.
        self.request.caller_gone = self.account = self.word_error = None
        self.told = bool
