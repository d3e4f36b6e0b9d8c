"""What an answer cost: :class:`PriceTable` turns token counts into US dollars.

1. :func:`charges` reads a ``usage`` object as its API sent it: which tokens, of which model, on
   which tier. One answer can hold several models (server-side fallbacks, advisors, compaction).
2. :meth:`PriceTable.cost` adds up their prices; a model that the table does not know makes the
   whole unknown (``None``), never 0.

Thinking and reasoning need no price of their own: both vendors bill them as output tokens, in which
they are already counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate

from attrs import field, frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.message_usage import count, usage_of
from clawproxy.core.record import Usage

_MILLION = 1_000_000
_STANDARD = frozenset({"", "standard", "default", "auto", "on_demand"})

# Snapshots are priced as the model that they are of.
_SNAPSHOT = re.compile(r"(?:[-@]20\d\d-?\d\d-?\d\d|-latest)\Z")


@frozen
class Charge:
    """Tokens of one model that are billed alike.

    :ivar model: the model that used them.
    :ivar tiers: what changes the price: ``batch``, ``priority``, ``flex``, ``fast``.
    :ivar geo: where inference ran, if the API said so.
    """

    model: str
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    web_searches: int = 0
    tiers: frozenset[str] = frozenset()
    geo: str | None = None

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not: what long-prompt prices go by."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


@frozen
class LongPrompt:
    """Other prices for the whole request once its prompt is long.

    :ivar above: prompt tokens up to which the usual prices hold.
    :ivar input: factor on every input price.
    :ivar output: factor on the output price.
    """

    above: int
    input: float
    output: float


@frozen
class Price:
    """What a model costs, in US dollars for a million tokens.

    :ivar tiers: factors on the whole, by tier; a tier that is not listed has no known price.
    :ivar geo: factors on the whole, by place of inference; one that is not listed costs no more.
    :ivar web_search: US dollars for a thousand searches by the vendor's own tool.
    """

    input: float
    output: float
    cache_read: float
    cache_write_5m: float
    cache_write_1h: float
    tiers: Mapping[str, float] = field(factory=dict)
    geo: Mapping[str, float] = field(factory=dict)
    long_prompt: LongPrompt | None = None
    web_search: float = 0.0

    def cost(self, charge: Charge) -> float | None:
        """Price a charge; ``None`` where its tier has no known price."""
        put_in = (
            charge.input * self.input
            + charge.cache_read * self.cache_read
            + charge.cache_write_5m * self.cache_write_5m
            + charge.cache_write_1h * self.cache_write_1h
        )
        put_out = charge.output * self.output
        if self.long_prompt is not None and charge.prompt > self.long_prompt.above:
            put_in *= self.long_prompt.input
            put_out *= self.long_prompt.output
        total = (put_in + put_out) / _MILLION
        for tier in charge.tiers:
            factor = self.tiers.get(tier)
            if factor is None:
                return None
            total *= factor
        if charge.geo is not None:
            total *= self.geo.get(charge.geo, 1.0)
        return total + charge.web_searches * self.web_search / 1000


class PriceTable:
    """Prices by model pattern; the first that matches wins.

    A pattern is matched with the model's name in lower case, as it is, without a snapshot's date,
    and without what stands before its last ``/`` (``openai/gpt-5``).

    :param prices: globs and what they cost, in order.
    """

    def __init__(self, prices: Iterable[tuple[str, Price]]) -> None:
        self._prices = [(re.compile(translate(glob)), price) for glob, price in prices]
        self._found: dict[str, Price | None] = {}

    def price(self, model: str) -> Price | None:
        """Find a model's price, if the table has one."""
        if model not in self._found:
            if len(self._found) >= 1024:
                self._found.clear()
            self._found[model] = self._find(model.lower())
        return self._found[model]

    def _find(self, model: str) -> Price | None:
        base = model.rpartition("/")[2]
        for name in dict.fromkeys((model, base, _SNAPSHOT.sub("", base))):
            for pattern, price in self._prices:
                if pattern.match(name):
                    return price
        return None

    def cost(self, charged: Iterable[Charge]) -> float | None:
        """Add up what an answer cost, in US dollars; ``None`` if any part of it is unknown."""
        total = 0.0
        for charge in charged:
            price = self.price(charge.model)
            part = None if price is None else price.cost(charge)
            if part is None:
                return None
            total += part
        return round(total, 12)

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """Price a record's counts, where the API's own object is gone.

        Cache writes count as those of five minutes, and the tier as the standard one.
        """
        return self.cost([_counted(model, usage)])


def _counted(model: str, usage: Usage) -> Charge:
    return Charge(
        model,
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write_5m=usage.cache_creation_input_tokens,
    )


def _tier(value: object) -> frozenset[str]:
    if not isinstance(value, str) or value.lower() in _STANDARD:
        return frozenset()
    return frozenset({value.lower()})


def charges(
    dialect: DialectName, model: str, usage: object, service_tier: object = None
) -> tuple[Charge, ...]:
    """Read what is billed from a ``usage`` object.

    :param dialect: the dialect of the API that sent it.
    :param model: the model that answered.
    :param usage: the decoded object; anything else gives no charges.
    :param service_tier: the answer's own ``service_tier`` (OpenAI's stands beside ``usage``).
    """
    if not isinstance(usage, dict):
        return ()
    if dialect == "anthropic":
        return _anthropic(model, usage)
    counted = usage_of(dialect, usage)
    if counted is None:
        return ()
    charge = _counted(model, counted)
    tiers = _tier(service_tier)
    return (_with(charge, tiers, None),)


def _with(charge: Charge, tiers: frozenset[str], geo: str | None) -> Charge:
    return Charge(
        charge.model,
        charge.input,
        charge.output,
        charge.cache_read,
        charge.cache_write_5m,
        charge.cache_write_1h,
        charge.web_searches,
        tiers,
        geo,
    )


def _anthropic(model: str, usage: dict[str, object]) -> tuple[Charge, ...]:
    """Read Anthropic's object, with ``iterations`` where there are any.

    The top-level counts leave out compaction and advisors and do not say which model a fallback
    was; the iterations hold it all (``BetaIterationsUsage`` of the SDK's types).
    """
    tiers = _tier(usage.get("service_tier")) | _tier(usage.get("speed"))
    geo = usage.get("inference_geo")
    place = geo if isinstance(geo, str) else None
    tools = usage.get("server_tool_use")
    searches = count(tools.get("web_search_requests")) if isinstance(tools, dict) else 0
    iterations = usage.get("iterations")
    parts = (
        [part for part in iterations if isinstance(part, dict)]
        if isinstance(iterations, list)
        else []
    )
    found = [_anthropic_part(model, part, tiers, place) for part in parts or [usage]]
    if searches:
        found.append(Charge(model, web_searches=searches))
    return tuple(found)


def _anthropic_part(
    model: str, part: dict[str, object], tiers: frozenset[str], geo: str | None
) -> Charge:
    named = part.get("model")
    lifetimes = part.get("cache_creation")
    hour = count(lifetimes.get("ephemeral_1h_input_tokens")) if isinstance(lifetimes, dict) else 0
    five = count(lifetimes.get("ephemeral_5m_input_tokens")) if isinstance(lifetimes, dict) else 0
    written = max(count(part.get("cache_creation_input_tokens")), hour + five)
    return Charge(
        named if isinstance(named, str) and named else model,
        input=count(part.get("input_tokens")),
        output=count(part.get("output_tokens")),
        cache_read=count(part.get("cache_read_input_tokens")),
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        tiers=tiers,
        geo=geo,
    )
