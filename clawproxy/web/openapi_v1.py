"""The description of everything under ``/v1``, made from the relay's own table of endpoints."""

from __future__ import annotations

from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import Kind
from clawproxy.core.models import MOST_LISTED
from clawproxy.relay.inbound import ENDPOINTS, Endpoint
from clawproxy.web.models import PATH as MODELS_PATH
from clawproxy.web.openapi_fault import IDS, answers, header_refs
from clawproxy.web.openapi_message import JSON, ref
from clawproxy.web.openapi_words import WORDS

KEYS: list[JSON] = [{}, {"bearer": []}, {"xApiKey": []}, {"apiKey": []}]
"""How callers may present a key; none is needed where the configuration has none."""

#: What any call through the proxy may meet, whatever its body means.
_ANY = (
    Kind.AUTHENTICATION,
    Kind.TOO_LARGE,
    Kind.INTERNAL,
    Kind.UPSTREAM_UNREACHABLE,
    Kind.UNAVAILABLE,
    Kind.UPSTREAM_TIMEOUT,
)
#: What a call on one of the dialects' endpoints may meet besides.
_READ = (
    Kind.INVALID_JSON,
    Kind.MISSING_FIELD,
    Kind.UNSUPPORTED_PARAMETER,
    Kind.INVALID_REQUEST,
    Kind.BILLING,
    Kind.PERMISSION,
    Kind.MODEL_NOT_FOUND,
    Kind.NOT_FOUND,
    Kind.METHOD_NOT_ALLOWED,
    Kind.CONFLICT,
    Kind.UPGRADE_REQUIRED,
    Kind.RATE_LIMIT,
    Kind.API,
    Kind.OVERLOADED,
)
_UPSTREAMS_OWN: JSON = {
    "description": "The upstream's own answer, status and end-to-end headers included.",
    "headers": header_refs(IDS),
}


_PROVIDER: JSON = {
    "name": "provider",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "anthropic",
    "description": "A provider's name in the configuration.",
}
_REST: JSON = {
    "name": "path",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "files",
    "description": "The rest of the path, slashes included; with the query it goes on byte for byte.",
}
_PINNED: JSON = {
    "name": "x-clawproxy-provider",
    "in": "header",
    "schema": {"type": "string"},
    "description": "A provider's name: the call goes there, whatever the model.",
}
_REQUEST_ID: JSON = {
    "name": "x-request-id",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The caller's own id; kept in the record, and answered where the upstream has none.",
}
_VERSION: JSON = {
    "name": "anthropic-version",
    "in": "header",
    "schema": {"type": "string"},
    "example": "2023-06-01",
    "description": "Makes a call that is of no dialect by its path one of Anthropic's.",
}
_MODEL_ID: JSON = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "demo",
}
METHODS = ("get", "post", "put", "patch", "delete")
"""The methods described for what is passed through; others pass through as well."""


def _endpoint(path: str, endpoint: Endpoint) -> JSON:
    words = WORDS[path]
    content: JSON = {"application/json": {"schema": ref(words.answer), "example": words.reply}}
    shown: JSON = {"whole": {"summary": "A whole answer", "value": words.ask}}
    if words.stream:
        content["text/event-stream"] = {"example": words.stream}
        shown["stream"] = {"summary": "As events", "value": {**words.ask, "stream": True}}
    family: DialectName | None = "anthropic" if endpoint.dialect == "anthropic" else None
    if endpoint.dialect == "anthropic":
        parameters: list[JSON] = [_VERSION, _PINNED, _REQUEST_ID]
    else:
        parameters = [_PINNED, _REQUEST_ID]
    return {
        "post": {
            "operationId": path.removeprefix("/v1/").replace("/", "_"),
            "tags": [endpoint.dialect],
            "summary": words.summary,
            "security": KEYS,
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": ref(words.schema), "examples": shown}},
            },
            "responses": {
                "200": {
                    "description": "The answer. One of a provider of the same dialect is the upstream's, byte"
                    " for byte. A stream that fails ends with the dialect's error event and without the final"
                    " chunk.",
                    "headers": header_refs(IDS),
                    "content": content,
                },
                **answers((*_ANY, *_READ), family),
                "default": _UPSTREAMS_OWN,
            },
        }
    }


def _passed(id: str, parameters: list[JSON], summary: str) -> JSON:
    item: JSON = {"parameters": [*parameters, _VERSION, _REQUEST_ID]}
    for method in METHODS:
        operation: JSON = {
            "operationId": f"{id}_{method}",
            "tags": ["passthrough"],
            "summary": summary,
            "security": KEYS,
            "responses": {
                "200": _UPSTREAMS_OWN,
                **answers(
                    (
                        *_ANY,
                        Kind.INVALID_JSON,
                        Kind.MISSING_FIELD,
                        Kind.UNSUPPORTED_PARAMETER,
                        Kind.INVALID_REQUEST,
                        Kind.MODEL_NOT_FOUND,
                        Kind.NOT_FOUND,
                        Kind.METHOD_NOT_ALLOWED,
                        Kind.UPGRADE_REQUIRED,
                    ),
                    "anthropic",
                    None,
                ),
                "default": _UPSTREAMS_OWN,
            },
        }
        if method in ("post", "put", "patch"):
            operation["requestBody"] = {"content": {"*/*": {}}}
        item[method] = operation
    return item


def _listed(id: str, summary: str, anthropic: JSON, openai: JSON, more: list[JSON]) -> JSON:
    shown: JSON = {"openai": {"value": openai["example"]}}
    schemas = [openai["schema"]]
    families: tuple[DialectName | None, ...] = (None,)
    if anthropic:
        shown["anthropic"] = {"value": anthropic["example"]}
        schemas.append(anthropic["schema"])
        families = ("anthropic", None)
    schema = {"anyOf": schemas} if len(schemas) > 1 else schemas[0]
    return {
        "get": {
            "operationId": id,
            "tags": ["models"],
            "summary": summary,
            "security": KEYS,
            "parameters": more,
            "responses": {
                "200": {
                    "description": "Anthropic's shape where anthropic-version is sent, else OpenAI's."
                    if anthropic
                    else "OpenAI's shape.",
                    "headers": header_refs(IDS),
                    "content": {"application/json": {"schema": schema, "examples": shown}},
                },
                **answers(
                    (
                        *_ANY,
                        Kind.UNSUPPORTED_PARAMETER,
                        Kind.INVALID_REQUEST,
                        Kind.MODEL_NOT_FOUND,
                        Kind.NOT_FOUND,
                        Kind.UPGRADE_REQUIRED,
                    ),
                    *families,
                ),
            },
        }
    }


def _query(name: str, schema: JSON, description: str) -> JSON:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def paths() -> dict[str, JSON]:
    """Give all paths under ``/v1`` and ``/{provider}/v1``."""
    ours = {
        "id": "demo",
        "object": "model",
        "created": 0,
        "owned_by": "demo",
        "display_name": "ClawProxy demo",
    }
    theirs = {
        "type": "model",
        "id": "demo",
        "display_name": "ClawProxy demo",
        "created_at": "1970-01-01T00:00:00Z",
    }
    all_of_them = {"data": [theirs], "has_more": False, "first_id": "demo", "last_id": "demo"}
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    text: JSON = {"type": "string"}
    passed = _passed(
        "other", [_REST, _PINNED], "Call anything else of the dialect's default provider"
    )
    found = {path: _endpoint(path, endpoint) for path, endpoint in ENDPOINTS.items()}
    found[MODELS_PATH] = _listed(
        "models",
        "List all models of all providers",
        {"schema": ref("AnthropicModelList"), "example": all_of_them},
        {"schema": ref("OpenAIModelList"), "example": {"object": "list", "data": [ours]}},
        [
            _VERSION,
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MOST_LISTED},
                "Models on a page; Anthropic's shape only.",
            ),
            _query("after_id", text, "The page behind this model; Anthropic's shape only."),
            _query("before_id", text, "The page before this model; Anthropic's shape only."),
        ],
    )
    found[f"{MODELS_PATH}/{{id}}"] = _listed(
        "model",
        "Describe one model",
        {"schema": ref("AnthropicModel"), "example": theirs},
        {"schema": ref("OpenAIModel"), "example": ours},
        [
            _MODEL_ID,
            _VERSION,
        ],
    )
    # A fine-tuned model may be deleted where it lives.
    found[f"{MODELS_PATH}/{{id}}"]["delete"] = {
        **passed["delete"],
        "operationId": "model_delete",
        "summary": "Delete a fine-tuned model where it lives",
        "parameters": [_MODEL_ID],
    }
    found["/v1/tools"] = _listed(
        "tools",
        "List the skills of an OpenClaw agent as tools",
        {},
        {"schema": ref("ToolList"), "example": {"object": "list", "data": [tool], "tools": [tool]}},
        [_query("model", text, "The agent; the gateway's default agent without it.")],
    )
    found["/v1/{path}"] = passed
    found["/{provider}/v1/{path}"] = _passed(
        "pinned", [_PROVIDER, _REST], "Call a provider by its name, whatever the model"
    )
    return found
