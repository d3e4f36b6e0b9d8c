"""What an exchange cost, from what its answer says of it."""

from __future__ import annotations

from clawproxy.core.jsonread import JSONError, peek
from clawproxy.core.message_base import Finished
from clawproxy.core.pricing import PriceTable, charges
from clawproxy.core.record import Exchange


def cost_of(exchange: Exchange, finished: Finished | None, prices: PriceTable) -> float | None:
    """Price an exchange in US dollars; ``None`` where the model's price, or what was used, is not known.

    The answer's own ``usage`` says more than the record's counts: lifetimes of cache writes, tiers, the models of a
    fallback. It is read where it is there, in the dialect in which the record has the answer.
    """
    model = exchange.routed_model or exchange.model or (finished.model if finished else None)
    if model is None or exchange.usage is None:
        return None
    if finished is not None and finished.message is not None and exchange.dialect is not None:
        try:
            message = peek(finished.message)
            told = message.get("usage")
            tier = message.get("service_tier")
        except JSONError:
            told = tier = None
        charged = charges(exchange.dialect, model, told, tier)
        if charged:
            return prices.cost(charged)
    return prices.cost_usd(model, exchange.usage)
