"""How long records stay: by age and by the bytes they take, the oldest first, in steps too small to
notice."""

from __future__ import annotations

from attrs import frozen
from twisted.logger import Logger

from clawproxy.store.protocol import Filter, Sizes, Store

STEP = 200
"""Exchanges deleted by one transaction."""
DAY = 86_400_000
SHRINK_STEPS = 20
"""Steps of giving space back between two deletions."""
_log = Logger()


@frozen
class Retention:
    """What may stay.

    :ivar days: age at which exchanges go; 0 keeps all.
    :ivar max_bytes: disk that the database may take; 0 is any.
    """

    days: float = 0.0
    max_bytes: int = 0

    async def step(self, store: Store, now: float) -> bool:
        """Delete one step's worth, and give its space back.

        :param now: seconds since the epoch.
        :returns: whether there is more to do: call again soon.
        :raises StoreUnavailable: as the store does.
        """
        gone = 0
        if self.days:
            gone = await store.delete(Filter(until=int(now * 1000 - self.days * DAY)), STEP)
            if gone:
                _log.info(
                    "Deleted {count} exchanges older than {days} days", count=gone, days=self.days
                )
        # What was deleted takes its place until it is given back: only then is it known what is
        # still too much, or everything would go.
        if not await self._give_back(store):
            return True
        if gone < STEP and self.max_bytes:
            sizes = await store.sizes()
            if used(sizes) > self.max_bytes:
                # As many as take the surplus, were all of one size; never the greater part at once.
                share = 1 - self.max_bytes / used(sizes)
                count = min(STEP, max(1, int(sizes.exchanges * share)))
                gone = await store.delete(Filter(), count)
                if gone:
                    _log.info(
                        "Deleted the {count} oldest exchanges: the database takes {bytes} bytes"
                        " and may take {limit}",
                        count=gone,
                        bytes=sizes.disk_bytes,
                        limit=self.max_bytes,
                    )
        return gone > 0

    async def _give_back(self, store: Store) -> bool:
        for _ in range(SHRINK_STEPS):
            if not await store.shrink():
                return True
        return False


def used(sizes: Sizes) -> int:
    """Give the bytes that hold something: free ones are given back or used next."""
    return sizes.disk_bytes - sizes.free_bytes
