"""The whole description of the API, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1).

Made from the tables that the resources use: the relay's endpoints, the kinds of errors, the record, the dashboard's
routes. Nothing of the configuration is in it, so that it can be shown to anybody.
"""

from __future__ import annotations

from clawproxy import __version__
from clawproxy.web import (
    openapi_conversation,
    openapi_dashboard,
    openapi_dashboard_local,
    openapi_fault,
    openapi_message,
    openapi_operations,
    openapi_record,
    openapi_v1,
)
from clawproxy.web.openapi_message import JSON

_DESCRIPTION = """\
ClawProxy stands between AI clients and what answers them. It passes streams through untouched and at once, speaks the \
caller's dialect to any upstream, records every exchange, and can be restarted without cutting an answer.

Errors are worded in the caller's dialect: Anthropic's on /v1/messages and wherever `anthropic-version` is sent, \
OpenAI's elsewhere. An upstream's own error keeps its status and headers and, where nothing is translated, its body."""

_TAGS = {
    "anthropic": "Anthropic's Messages dialect.",
    "openai_chat": "OpenAI's Chat Completions dialect.",
    "openai_responses": "OpenAI's Responses dialect.",
    "models": "What can be asked.",
    "passthrough": "Everything else of the providers' APIs.",
    "operations": "For operators and load balancers. Needs no key and counts nowhere.",
    "records": "What was recorded, as JSON. Callers as the dashboard's.",
    "dashboard": "The dashboard. Without a password only callers on a loopback address may open it.",
}

_SECURITY: JSON = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of auth.api_keys, or the caller's own credential for the provider.",
    },
    "xApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same, as Anthropic's clients send it.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "api-key",
        "description": "One of auth.api_keys, beside a credential for the provider.",
    },
    "dashboardPassword": {
        "type": "http",
        "scheme": "bearer",
        "description": "dashboard.password.",
    },
    "dashboardSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": "clawproxy_session",
        "description": "What a login sets.",
    },
}


def document() -> JSON:
    """Make the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ClawProxy",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Wherever this document came from."}],
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": {
            **openapi_v1.paths(),
            **openapi_operations.paths(),
            **openapi_dashboard.paths(),
        },
        "components": {
            "schemas": {
                **openapi_fault.SCHEMAS,
                **openapi_message.SCHEMAS,
                **openapi_operations.SCHEMAS,
                **openapi_record.schemas(),
                **openapi_conversation.SCHEMAS,
                **openapi_dashboard_local.SCHEMAS,
            },
            "responses": {**openapi_fault.responses(), **openapi_dashboard_local.responses()},
            "parameters": openapi_dashboard.parameters(),
            "headers": dict(openapi_fault.HEADERS),
            "securitySchemes": _SECURITY,
        },
    }
