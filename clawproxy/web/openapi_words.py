"""What is said of the dialects' endpoints, with an example of a request and of its answers each."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from clawproxy.web.openapi_message import JSON

_ASK_TEXT = [{"role": "user", "content": "Who are you?"}]
_USAGE = {"input_tokens": 3, "output_tokens": 5}


@frozen
class Words:
    """What is to be said of an endpoint beyond the relay's table.

    :ivar schema: the request's; ``answer`` is the answer's.
    :ivar stream: an example of the events, where it can stream.
    """

    summary: str
    schema: str
    answer: str
    ask: JSON
    reply: JSON
    stream: str = ""


_TEXT = "I am a demonstration."
WORDS: Mapping[str, Words] = {
    "/v1/messages": Words(
        "Ask in Anthropic's Messages dialect",
        "MessagesRequest",
        "Message",
        {"model": "demo", "max_tokens": 100, "messages": _ASK_TEXT},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "demo",
            "content": [{"type": "text", "text": _TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": _USAGE,
        },
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        '{"type":"text_delta","text":"I am"}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "/v1/messages/count_tokens": Words(
        "Count a request's tokens",
        "CountTokensRequest",
        "TokenCount",
        {"model": "demo", "messages": _ASK_TEXT},
        {"input_tokens": 11},
    ),
    "/v1/chat/completions": Words(
        "Ask in OpenAI's Chat Completions dialect",
        "ChatCompletionsRequest",
        "ChatCompletion",
        {"model": "demo", "messages": _ASK_TEXT},
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1795229542,
            "model": "demo",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": _TEXT},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        },
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795229542,"model":"demo",'
        '"choices":[{"index":0,"delta":{"content":"I am"},"finish_reason":null}]}\n\ndata: [DONE]\n\n',
    ),
    "/v1/responses": Words(
        "Ask in OpenAI's Responses dialect",
        "ResponsesRequest",
        "Response",
        {"model": "demo", "input": "Who are you?"},
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1795229543,
            "status": "completed",
            "model": "demo",
            "output": [
                {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": _TEXT, "annotations": []}],
                }
            ],
            "usage": {**_USAGE, "total_tokens": 8},
        },
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1",'
        '"output_index":0,"content_index":0,"delta":"I am","sequence_number":4}\n\n',
    ),
}
"""By path; each of :data:`~clawproxy.relay.inbound.ENDPOINTS` has one."""
