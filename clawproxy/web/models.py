"""``/v1/models``: every provider's models, in the caller's dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from clawproxy.core import headers as heads
from clawproxy.core.headers import RawHeaders
from clawproxy.core.models import Model, Shape, merge, named_by, render_list, render_one
from clawproxy.relay.switchboard import Switchboard, Wiring
from clawproxy.upstream.catalogue import Catalogue, FixedSource, Source
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.listing import HTTPListing
from clawproxy.web.local import answer_with
from clawproxy.web.request import ProxyRequest
from clawproxy.web.v1 import Local, refuse_method

PATH = "/v1/models"


class Models:
    """Answers ``GET /v1/models`` and ``GET /v1/models/{id}``.

    :param extra: gives further sources of a wiring, e.g. the agents of a gateway.
    :param search: looks for a model that no list has; after it the lists are looked at once more.
    """

    def __init__(
        self,
        board: Switchboard,
        extra: Any = lambda wiring: (),
        search: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._board = board
        self._extra = extra
        self._search = search
        self._wiring: Wiring | None = None
        self._catalogue: Catalogue | None = None

    def of_provider(self, name: str) -> Mapping[str, Local]:
        """Give what answers ``/{name}/v1/models``: for a provider that has no such path itself, its models alone."""
        if isinstance(self._board.wiring.providers[name], HTTPProvider):
            return {}
        answer = partial(self.answer, only=name)
        return {PATH: answer, f"{PATH}/*": answer}

    def answer(self, request: ProxyRequest, target: bytes, only: str | None = None) -> bool:
        """Answer, or let a request that is none of ours pass through: a model's deletion.

        :param only: list this provider's models instead of all.
        """
        if request.method not in (b"GET", b"HEAD"):
            path = target.partition(b"?")[0].decode("latin-1")
            one = path.strip("/") != PATH.strip("/")
            if one and request.method == b"DELETE":
                return False
            refuse_method(self._board, request, path, *(("DELETE",) if one else ()))
            return True
        answer_with(
            self._board,
            request,
            target.partition(b"?")[0].decode("latin-1"),
            lambda lines: self._gather(lines, target, only),
        )
        return True

    async def _gather(self, lines: RawHeaders, target: bytes, only: str | None) -> bytes:
        path, _, query = target.decode("latin-1").partition("?")
        models = merge(await self._current().lists(lines, only))
        anthropic = heads.value(lines, b"anthropic-version") is not None
        shape: Shape = "anthropic" if anthropic else "openai"
        name = unquote(path[len(PATH) :].strip("/"))
        if name and self._search is not None and all(model.id != name for model in models):
            await self._search(name)
            models = merge(await self._current().lists(lines, only))
        return render_one(models, name, shape) if name else render_list(models, shape, query)

    def _current(self) -> Catalogue:
        """Give the catalogue of the wiring in use; a reload begins a new one."""
        wiring = self._board.wiring
        if self._catalogue is None or self._wiring is not wiring:
            if self._catalogue is not None:
                self._catalogue.close()
            self._wiring = wiring
            self._catalogue = Catalogue(self._board.reactor, self._sources(wiring))
        return self._catalogue

    def _sources(self, wiring: Wiring) -> Sequence[Source]:
        defaults = wiring.config.default_provider
        sources: list[Source] = []
        for name, provider in wiring.providers.items():
            if isinstance(provider, HTTPProvider):
                account = wiring.accounts[name]
                default = name == getattr(defaults, provider.kind)
                sources.append(HTTPListing(provider, account, wiring.callers, default=default))
            elif wiring.config.providers[name].kind == "demo":
                sources.append(FixedSource(name, [Model("demo", name, "ClawProxy demo")]))
        sources += self._extra(wiring)
        # In a name of no provider's, since each list is kept under its source's.
        sources.append(FixedSource("(routes)", named_by(wiring.router.rules)))
        return sources

    def close(self) -> None:
        """Ask nobody any more."""
        if self._catalogue is not None:
            self._catalogue.close()
