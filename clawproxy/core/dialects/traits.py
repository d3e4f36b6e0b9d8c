"""What the vendors' models take, told from their names, because the APIs refuse fields that a model
does not know; and what a few servers take, told from their addresses.

Claude (https://docs.claude.com/en/docs/about-claude/models): manual thinking with a token budget
from 3.7 on, effort from Opus 4.5, adaptive thinking from 4.6, no sampling parameters and no manual
thinking from 4.7, ``system`` messages in the middle from 4.8. OpenAI
(https://platform.openai.com/docs/guides/reasoning): o-series and GPT-5 and later reason; they take
``max_completion_tokens`` and ``reasoning_effort``, and neither ``temperature`` nor ``top_p``.

A name that looks like Claude without a version counts as newest, but its sampling parameters are
sent; any other name counts as an old, plain model of its dialect, since the many servers that
imitate an API imitate its older part.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from clawproxy.core.dialects.turn import Effort, Reasoning

Version = tuple[int, int]
NEWEST: Version = (99, 0)

_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?![\d])")
_REASONING = re.compile(r"(?:^|[/:.])(?:o\d|codex|gpt-(\d+)(?:\.(\d+))?)(?![\d])")

_MISTRAL = re.compile(r"mi[sx]tral|codestral|devstral|magistral|ministral|pixtral|voxtral")
_SHOWS_REASONING = re.compile(r"(?:deepseek|kimi)-(?!.*distill)[^/:]*")
_GEMINI = re.compile(r"gemini-(?:(\d+)|[a-z-]*latest)")
_PRO = re.compile(r"-pro(?![a-z])")
_O_SERIES = re.compile(r"(?:^|[/:.])o\d(?![\d])")


def claude_version(model: str) -> Version:
    """Return a Claude model's version, (0, 0) for a model that is not Claude."""
    start = model.find("claude-")
    if start < 0:
        return (0, 0)
    if found := _CLAUDE.match(model, start):
        return int(found[1]), int(found[2] or 0)
    return NEWEST


def reasons(model: str) -> bool:
    """Tell whether an OpenAI model is one of those that reason."""
    found = _REASONING.search(model.lower())
    if found is None or "gpt-5-chat" in model.lower():
        return False
    return found[1] is None or int(found[1]) >= 5


def thinks_unasked(model: str) -> bool:
    """Tell whether a model decides by itself whether it reasons, and answers 400 to most that is said of it: GPT-5's
    Chat models.
    """
    return "-chat" in model.lower()


def parallel(model: str) -> bool:
    """Tell whether Chat Completions takes ``parallel_tool_calls`` for a model: the o-series, which calls one
    tool at a time there, answers 400 to it.
    """
    return _O_SERIES.search(model.lower()) is None


def is_mistral(model: str) -> bool:
    """Tell whether a model is one of Mistral's, whose servers and templates take less than others."""
    return _MISTRAL.search(model.lower()) is not None


def reads_ids(model: str) -> bool:
    """Tell whether a model reads the tool's name in its own calls' ids, ``functions.name:0``: Kimi."""
    return "kimi" in model.lower()


def at_mistral(server: str) -> bool:
    """Tell whether a server is Mistral's own, or a gateway's way to it: it answers 422 to any field that it does not
    know.

    Its address tells, as others run its models under the same names and take more.
    """
    return _is_of(server, "mistral.ai") or "mistral" in urlsplit(server).path.lower().split("/")


def refuses_reasoning_content(server: str) -> bool:
    """Tell whether a server answers 400 to reasoning under DeepSeek's name for it: Groq's and Cerebras's."""
    return _is_of(server, "groq.com", "cerebras.ai")


def _is_of(server: str, *domains: str) -> bool:
    host = f".{urlsplit(server).hostname}"
    return any(host.endswith(f".{domain}") for domain in domains)


def wants_reasoning(model: str) -> bool:
    """Tell whether a model's server wants the reasoning of each answer back: DeepSeek's and Moonshot's own.

    Others that run these models mostly have names of their own for them.
    """
    return _SHOWS_REASONING.fullmatch(model.lower()) is not None


def is_gemini(model: str) -> bool:
    """Tell whether a model is one of Google's Gemini."""
    return _GEMINI.search(model.lower()) is not None


def seals_calls(model: str) -> bool:
    """Tell whether a model wants each step's first call back with a seal: Gemini from 3 on, of which the name
    without a version is one.
    """
    found = _GEMINI.search(model.lower())
    return found is not None and (found[1] is None or int(found[1]) >= 3)


def openai_effort(model: str, reasoning: Reasoning) -> Effort | None:
    """Word a wish for thinking as a ``reasoning_effort`` that the model takes, ``None`` to leave it
    out.

    A budget of up to 4,096 tokens is ``low``, of up to 16,384 ``medium``, a larger one ``high``.
    Thinking turned off is the least the model knows. Thinking without a measure is left to the
    model.
    """
    open_weights = "gpt-oss" in model.lower()  # knows low, medium and high, and no way to be off
    if not open_weights and not reasons(model):
        return None
    name = model.lower()
    found = _REASONING.search(name)
    version = (int(found[1]), int(found[2] or 0)) if found and found[1] else (0, 0)
    if thinks_unasked(model):
        return None
    effort = reasoning.effort
    if reasoning.enabled is False:
        effort = "none"
    elif effort is None and reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        effort = "low" if budget <= 4096 else "medium" if budget <= 16384 else "high"
    if open_weights and effort == "none":
        return "low"
    if version >= (5, 0) and _PRO.search(name):
        # GPT-5 Pro takes no other word at all, its successors none for little.
        if effort is not None and version == (5, 0):
            return "high"
        effort = "medium" if effort in ("none", "minimal", "low") else effort
    always = "codex" in name or version >= (6, 0)  # they never answer without reasoning
    if effort == "none" and version < (5, 1):
        effort = "minimal"
    if effort == "minimal" and version != (5, 0):
        effort = "none" if version >= (5, 1) else "low"
    if effort in ("none", "minimal") and always:
        return "low"
    if effort in ("xhigh", "max"):
        return "xhigh" if version >= (5, 2) else "high"
    return effort


_LIMITS = (
    (re.compile(r"gpt-3\.5|gpt-4-(?:turbo|\d{4}-preview|vision)"), 4096),
    (re.compile(r"gpt-4o-2024-05-13"), 4096),
    (re.compile(r"gpt-4o|chatgpt-4o"), 16384),
    (re.compile(r"gpt-4\.1"), 32768),
    (re.compile(r"gpt-5[^/]*-chat"), 16384),
    (re.compile(r"(?:^|/)o\d"), 100_000),
    (re.compile(r"gpt-5"), 128_000),
)


def most_tokens(model: str) -> int:
    """Return the longest answer that a well-known OpenAI model gives.

    The API answers 400 to a higher limit instead of giving its best, and Claude Code asks for
    32,000 tokens and more of whatever model it talks to. A model never writes more than its own
    maximum, so nothing is lost.
    """
    name = model.lower()
    return next((limit for pattern, limit in _LIMITS if pattern.search(name)), 2**53)


def most_claude_tokens(model: str) -> int:
    """Return the longest answer that a Claude model before 4.6 gives, for the same reason."""
    version = claude_version(model)
    if version == (0, 0) or version >= (4, 6):
        return 2**53
    if version < (3, 7):
        return 8192 if version >= (3, 5) else 4096
    return 32000 if "opus" in model and version < (4, 5) else 64000


def claude_budget(reasoning: Reasoning) -> int:
    """Word a wish for thinking as a token budget, for Claude models before 4.6."""
    if reasoning.budget_tokens is not None:
        return max(reasoning.budget_tokens, MIN_BUDGET)
    return _BUDGETS.get(reasoning.effort or "medium", 8192)


MIN_BUDGET = 1024
"""Anthropic's smallest ``budget_tokens``."""

_BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}


def default_max_tokens(model: str) -> int:
    """Return a ``max_tokens`` for a caller that named none, where Anthropic requires one: the
    model's own maximum if it is small, else 32,000.
    """
    version = claude_version(model)
    if version == (0, 0):
        return 8192
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    return 32000
