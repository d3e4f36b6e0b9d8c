"""What an exchange cost, from what its answer says of it."""

from __future__ import annotations

from clawproxy.core.jsonread import JSONError, peek
from clawproxy.core.message_base import Finished
from clawproxy.core.pricing import PriceTable, charges
from clawproxy.core.record import Exchange


def cost_of(
    exchange: Exchange,
    finished: Finished | None,
    prices: PriceTable,
    upstream: Finished | None = None,
) -> float | None:
    """Price an exchange in US dollars; ``None`` where the model's price, or what was used, is not known.

    The answer's own ``usage`` says more than the record's counts: lifetimes of cache writes, tiers, the models of a
    fallback. It is read where it is there, and where the answer was translated in the upstream's own words: the
    caller's dialect has none for most of this.

    :param upstream: the upstream's answer, where it was translated.
    """
    model = exchange.routed_model or exchange.model or (finished.model if finished else None)
    if model is None or exchange.usage is None:
        return None
    dialect, told_by = exchange.dialect, finished
    if upstream is not None and upstream.usage is not None:
        dialect, told_by = exchange.upstream_dialect, upstream
    if told_by is not None and told_by.message is not None and dialect is not None:
        try:
            message = peek(told_by.message)
            told = message.get("usage")
            tier = message.get("service_tier")
        except JSONError:
            told = tier = None
        charged = charges(dialect, model, told, tier)
        if charged:
            return prices.cost(charged)
    return prices.cost_usd(model, exchange.usage)
