"""Lists of models, read from and written in the vendors' two shapes.

1. :func:`parse` reads what a provider's ``/v1/models`` answers.
2. :func:`merge` makes one list of all providers' lists.
3. :func:`render_list` and :func:`render_one` word it for a caller: in Anthropic's shape
   (https://docs.anthropic.com/en/api/models-list) or OpenAI's
   (https://platform.openai.com/docs/api-reference/models).

A model's own fields (context length, capabilities, lifecycle) stay in it towards callers of the
dialect that they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import parse_qs

import msgspec
from attrs import field, frozen

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.jsonread import read
from clawproxy.core.routing import Rule
from clawproxy.core.timestamp import rfc3339

Shape = Literal["anthropic", "openai"]

MOST_LISTED = 1000
"""The largest ``limit`` of Anthropic's API, and what is listed here where none is asked for."""

_EPOCH = "1970-01-01T00:00:00Z"


@frozen
class Model:
    """A model that callers can ask for.

    :ivar id: its name in requests.
    :ivar provider: the provider that lists it.
    :ivar display_name: its name for people; the id if there is none.
    :ivar created: Unix time in seconds; 0 where nobody says.
    :ivar shape: whose fields ``fields`` are.
    :ivar fields: the whole object as its provider sent it.
    """

    id: str
    provider: str
    display_name: str | None = None
    created: int = 0
    shape: Shape | None = None
    fields: Mapping[str, object] = field(factory=dict)


def _created(entry: Mapping[str, object]) -> int:
    seconds = entry.get("created")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
        return int(seconds) if 0 <= seconds < 2**53 else 0
    text = entry.get("created_at")
    if not isinstance(text, str):
        return 0
    try:
        return max(int(datetime.fromisoformat(text).timestamp()), 0)
    except (ValueError, OverflowError, OSError):
        return 0


def parse(provider: str, body: bytes) -> list[Model]:
    """Read a provider's answer; entries that are no models are passed over.

    :param provider: the provider's name.
    :raises ValueError: it is not JSON, or holds no list of models.
    """
    content = read(body)
    # Some imitators answer with the bare list, Ollama-like ones with "models".
    listed: object = content
    if isinstance(content, dict):
        listed = content.get("data", content.get("models"))
    if not isinstance(listed, list):
        raise ValueError("no list of models")
    found = []
    for entry in listed:
        if not isinstance(entry, dict):
            continue
        name = entry.get("id")
        if not isinstance(name, str) or not name:
            continue
        shown = entry.get("display_name")
        found.append(
            Model(
                name,
                provider,
                shown if isinstance(shown, str) else None,
                _created(entry),
                "anthropic" if entry.get("type") == "model" else "openai",
                entry,
            )
        )
    return found


def named_by(rules: Iterable[Rule]) -> list[Model]:
    """List the models that rules name outright, without a glob: aliases above all.

    They go behind the providers' own lists, whose entries say more of a model that stands in both.
    """
    return [
        Model(rule.match, rule.provider, f"{rule.match} ({rule.model})" if rule.model else None)
        for rule in rules
        if not any(sign in rule.match for sign in "*?[")
    ]


def merge(
    lists: Iterable[Sequence[Model]], preferred: Mapping[str, str] | None = None
) -> list[Model]:
    """Make one list, in order, each id once.

    :param preferred: for ids that several providers list, the provider that a request goes to.
    """
    found: dict[str, Model] = {}
    for models in lists:
        for model in models:
            known = found.get(model.id)
            if known is None or (
                preferred is not None
                and preferred.get(model.id) == model.provider != known.provider
            ):
                found[model.id] = model
    return list(found.values())


def _anthropic(model: Model) -> dict[str, object]:
    if model.shape == "anthropic":
        # Its provider's own object; what Anthropic's SDK insists on is filled in.
        return {
            "display_name": model.display_name or model.id,
            "created_at": _EPOCH,
            **model.fields,
        }
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": rfc3339(model.created) if model.created else _EPOCH,
        "lifecycle": "active",
    }


def _openai(model: Model) -> dict[str, object]:
    if model.shape == "openai":
        return {"object": "model", "created": 0, "owned_by": model.provider, **model.fields}
    entry: dict[str, object] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.provider,
    }
    if model.display_name:
        entry["display_name"] = model.display_name
    return entry


def render_one(models: Sequence[Model], wanted: str, shape: Shape) -> bytes:
    """Word one model for a caller.

    :param wanted: the id, percent-decoding undone.
    :raises ProxyError: 404, where no provider lists it.
    """
    for model in models:
        if model.id == wanted:
            return msgspec.json.encode(
                _anthropic(model) if shape == "anthropic" else _openai(model)
            )
    raise ProxyError(
        Kind.MODEL_NOT_FOUND, f"no provider lists the model {wanted[:200]!r}", param="model"
    )


def render_list(models: Sequence[Model], shape: Shape, query: str = "") -> bytes:
    """Word a list for a caller.

    :param query: the request's query; Anthropic's shape has pages (``limit``, ``after_id``,
        ``before_id``), OpenAI's has not.
    :raises ProxyError: 400, for a ``limit`` out of its range or an id that is not in the list.
    """
    if shape == "openai":
        return msgspec.json.encode({"object": "list", "data": [_openai(m) for m in models]})
    page, more = _page(models, query)
    return msgspec.json.encode(
        {
            "data": [_anthropic(model) for model in page],
            "has_more": more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


def _page(models: Sequence[Model], query: str) -> tuple[Sequence[Model], bool]:
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    limit = _limit(asked.get("limit"))
    before, after = asked.get("before_id"), asked.get("after_id")
    if before is not None:
        end = _position(models, before, "before_id")
        start = max(end - limit, 0)
        return models[start:end], start > 0
    start = 0 if after is None else _position(models, after, "after_id") + 1
    return models[start : start + limit], start + limit < len(models)


def _limit(text: str | None) -> int:
    if text is None:
        return MOST_LISTED
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    if not 1 <= number <= MOST_LISTED:
        raise ProxyError(
            Kind.INVALID_REQUEST,
            f"limit: expected 1 to {MOST_LISTED}, found {text[:40]!r}",
            param="limit",
        )
    return number


def _position(models: Sequence[Model], wanted: str, name: str) -> int:
    for index, model in enumerate(models):
        if model.id == wanted:
            return index
    raise ProxyError(Kind.INVALID_REQUEST, f"{name}: no such model: {wanted[:200]!r}", param=name)
