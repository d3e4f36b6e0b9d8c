"""Requests and answers of the dialects, as far as the proxy itself looks at them, for the description of the API.

What a request may hold is the vendors' business and changes with them
(https://docs.anthropic.com/en/api/messages, https://platform.openai.com/docs/api-reference): every object here
is open, and what is said of a member is what the proxy asks of it or all providers agree on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSON = dict[str, Any]

_TEXT: JSON = {"type": "string"}
_ID: JSON = {"type": "string"}
_COUNT: JSON = {"type": "integer", "minimum": 0}


def ref(name: str) -> JSON:
    """Refer to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: Mapping[str, JSON], optional: Mapping[str, JSON] | None = None) -> JSON:
    """Give the schema of an object that may have further members."""
    found: JSON = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        found["required"] = list(required)
    return found


def array(items: JSON) -> JSON:
    """Give the schema of a list."""
    return {"type": "array", "items": items}


_MODEL: JSON = {
    "type": "string",
    "minLength": 1,
    "description": "What the routes are asked for.",
    "examples": ["demo"],
}
_STREAM: JSON = {"type": "boolean", "default": False, "description": "Answer as events."}
_PARTS: JSON = {"anyOf": [_TEXT, array(obj({"type": _TEXT}))]}

MESSAGES_REQUEST = obj(
    {"model": _MODEL, "messages": array(obj({"role": _TEXT, "content": _PARTS}))},
    {
        "max_tokens": {"type": "integer", "minimum": 1},
        "stream": _STREAM,
        "system": _PARTS,
        "tools": array(obj({"name": _TEXT})),
        "tool_choice": obj({"type": _TEXT}),
        "thinking": obj({"type": _TEXT}),
        "stop_sequences": array(_TEXT),
        "metadata": obj({}),
    },
)
COUNT_REQUEST = obj(
    {"model": _MODEL, "messages": array(obj({"role": _TEXT, "content": _PARTS}))},
    {"system": _PARTS, "tools": array(obj({"name": _TEXT}))},
)
CHAT_REQUEST = obj(
    {
        "model": _MODEL,
        "messages": array(obj({"role": _TEXT}, {"content": {"anyOf": [_PARTS, {"type": "null"}]}})),
    },
    {
        "stream": _STREAM,
        "stream_options": obj({}, {"include_usage": {"type": "boolean"}}),
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "tools": array(obj({"type": _TEXT})),
        "reasoning_effort": {"type": ["string", "null"]},
        "response_format": obj({"type": _TEXT}),
    },
)
RESPONSES_REQUEST = obj(
    {"model": _MODEL},
    {
        "input": {"anyOf": [_TEXT, array(obj({}))]},
        "instructions": {"type": ["string", "null"]},
        "stream": {**_STREAM, "type": ["boolean", "null"]},
        "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
        "tools": array(obj({"type": _TEXT})),
        "reasoning": {"anyOf": [obj({}), {"type": "null"}]},
        "text": obj({}),
    },
)

MESSAGE = obj(
    {
        "id": _ID,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": _TEXT,
        "content": array(obj({"type": _TEXT})),
        "stop_reason": {"type": ["string", "null"]},
        "usage": obj({"input_tokens": _COUNT, "output_tokens": _COUNT}),
    },
    {"stop_sequence": {"type": ["string", "null"]}},
)
TOKEN_COUNT = obj({"input_tokens": _COUNT})
COMPLETION = obj(
    {
        "id": _ID,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer", "description": "Unix time, seconds."},
        "model": _TEXT,
        "choices": array(
            obj(
                {
                    "index": _COUNT,
                    "message": obj({"role": _TEXT}, {"content": {"type": ["string", "null"]}}),
                    "finish_reason": {"type": ["string", "null"]},
                }
            )
        ),
    },
    {
        "usage": {
            "anyOf": [
                obj({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT}),
                {"type": "null"},
            ]
        }
    },
)
RESPONSE = obj(
    {
        "id": _ID,
        "object": {"const": "response"},
        "created_at": {"type": "number", "description": "Unix time, seconds."},
        "status": _TEXT,
        "model": _TEXT,
        "output": array(obj({"type": _TEXT})),
    },
    {
        "usage": {
            "anyOf": [
                obj({"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT}),
                {"type": "null"},
            ]
        }
    },
)

_ANTHROPIC_MODEL = obj(
    {"type": {"const": "model"}, "id": _ID, "display_name": _TEXT, "created_at": _TEXT}
)
_OPENAI_MODEL = obj(
    {
        "id": _ID,
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string", "description": "The provider that lists it."},
    }
)

SCHEMAS: Mapping[str, JSON] = {
    "MessagesRequest": MESSAGES_REQUEST,
    "CountTokensRequest": COUNT_REQUEST,
    "ChatCompletionsRequest": CHAT_REQUEST,
    "ResponsesRequest": RESPONSES_REQUEST,
    "Message": MESSAGE,
    "TokenCount": TOKEN_COUNT,
    "ChatCompletion": COMPLETION,
    "Response": RESPONSE,
    "AnthropicModel": _ANTHROPIC_MODEL,
    "AnthropicModelList": obj(
        {
            "data": array(ref("AnthropicModel")),
            "has_more": {"type": "boolean"},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
        }
    ),
    "OpenAIModel": _OPENAI_MODEL,
    "OpenAIModelList": obj({"object": {"const": "list"}, "data": array(ref("OpenAIModel"))}),
    "Tool": obj(
        {
            "type": {"const": "function"},
            "function": obj({"name": _TEXT}, {"description": _TEXT, "parameters": obj({})}),
        }
    ),
    "ToolList": obj(
        {"object": {"const": "list"}, "data": array(ref("Tool"))}, {"tools": array(ref("Tool"))}
    ),
}
"""The schemas by their names."""
