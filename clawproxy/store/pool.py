"""Several connections to one store, for a process that answers many at once: :class:`StorePool`."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from clawproxy.store.protocol import Store, StoreRefused

T = TypeVar("T")


class StorePool:
    """Lend stores, one caller each; who comes when all are lent waits in line.

    A store is opened at its first use, and again after one that failed: a database that is away is
    tried at every call and not in between.

    :param make: makes a store, not yet open.
    :param size: how many there may be.
    """

    def __init__(self, make: Callable[[], Store], size: int = 3) -> None:
        self._make = make
        self._room = size
        self._idle: list[Store] = []
        self._waiting: deque[Deferred[None]] = deque()

    async def run(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with a store.

        :raises StoreUnavailable: it is away, or was while it worked.
        :raises StoreRefused: it cannot be opened at all.
        """
        while not self._idle and not self._room:
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            await turn
        if self._idle:
            store = self._idle.pop()
        else:
            self._room -= 1
            store = self._make()
            try:
                await store.open()
            except BaseException:
                self._back(None)
                raise
        try:
            result = await work(store)
        except StoreRefused:
            await store.close()
            self._back(None)
            raise
        except BaseException:
            self._back(store)
            raise
        self._back(store)
        return result

    def _back(self, store: Store | None) -> None:
        if store is not None:
            self._idle.append(store)
        else:
            self._room += 1
        if self._waiting:
            self._waiting.popleft().callback(None)

    async def close(self) -> None:
        """Close the stores that nobody uses."""
        idle, self._idle = self._idle, []
        self._room = 0
        for store in idle:
            await store.close()
