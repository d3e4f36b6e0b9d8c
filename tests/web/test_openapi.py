"""The description of the API: valid, complete, and true to the tables that the resources use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast
from unittest import SkipTest

import yaml
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from clawproxy.core.errors import Kind
from clawproxy.core.record import Exchange
from clawproxy.dashboard.api import ROUTES
from clawproxy.dashboard.api_query import FILTERS
from clawproxy.dashboard.backstage import Backstage
from clawproxy.relay.inbound import ENDPOINTS
from clawproxy.testing import MemoryProxy
from clawproxy.web.cors import Cors
from clawproxy.web.openapi import OpenAPI
from clawproxy.web.openapi_dashboard import templates
from clawproxy.web.openapi_document import document
from clawproxy.web.openapi_fault import REASONS
from clawproxy.web.openapi_record import MEANINGS
from tests.web.test_v1 import V1Case

DOCUMENT = json.loads(json.dumps(document()))

#: Every path that the interface promises.
PROMISED = {
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/models",
    "/v1/models/{id}",
    "/v1/tools",
    "/v1/{path}",
    "/{provider}/v1/{path}",
    "/health",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/openapi.yaml",
    "/",
    "/ui/",
    "/api/requests",
    "/api/requests/{id}",
    "/api/requests/{id}/request",
    "/api/requests/{id}/response",
    "/api/requests/{id}/upstream-request",
    "/api/requests/{id}/upstream-response",
    "/api/requests/{id}/events",
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: dict[str, Any] = DOCUMENT
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


class DocumentTests(SynchronousTestCase):
    def test_valid(self) -> None:
        try:
            from openapi_spec_validator import OpenAPIV31SpecValidator
        except ImportError:
            raise SkipTest("openapi-spec-validator is not installed") from None
        problems = [each.message for each in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
        self.assertEqual(problems, [])

    def test_every_promised_path_is_there(self) -> None:
        self.assertEqual(sorted(PROMISED - set(DOCUMENT["paths"])), [])

    def test_every_endpoint_of_the_relay_takes_post(self) -> None:
        for path in ENDPOINTS:
            self.assertEqual(list(DOCUMENT["paths"][path]), ["post"])

    def test_every_route_of_the_dashboard_is_there(self) -> None:
        for route in ROUTES:
            for path, _ in templates(route):
                methods = {name.lower() for name in route.handlers}
                self.assertLessEqual(methods, set(DOCUMENT["paths"][path]), path)

    def test_templates_match_their_routes(self) -> None:
        for route in ROUTES:
            for path, names in templates(route):
                called = path.removeprefix("/api/")
                for name in names:
                    called = called.replace(f"{{{name}}}", "some-id")
                self.assertNotIn("{", called)
                self.assertTrue(route.pattern.match(called), called)

    def test_every_page_of_the_proxy_is_there(self) -> None:
        """What is put into the tree of resources, and what its process answers of /api itself."""
        site: Any = MemoryProxy().assembly.site
        first = {path.split("/")[1] for path in DOCUMENT["paths"]}
        for name, page in site.resource.children.items():
            self.assertIn(name.decode(), first)
            self.assertIsInstance(page, Resource)
            if isinstance(page, Backstage):
                self.assertLessEqual(set(page._local), set(DOCUMENT["paths"]))

    def test_every_kind_of_error_is_explained_and_answered(self) -> None:
        self.assertEqual(set(REASONS), set(Kind))
        answered = {status for _, _, each in operations() for status in each["responses"]}
        for kind in Kind:
            self.assertIn(str(kind.status), answered)
        for path in ENDPOINTS:
            told = json.dumps(
                [resolved(each) for each in DOCUMENT["paths"][path]["post"]["responses"].values()]
            )
            for reason in REASONS.values():
                self.assertIn(json.dumps(reason.message), told)

    def test_draining_is_described(self) -> None:
        answer = DOCUMENT["paths"]["/health"]["get"]["responses"]["503"]
        self.assertEqual(answer["content"]["application/json"]["example"]["status"], "draining")

    def test_every_field_of_the_record_has_a_meaning(self) -> None:
        self.assertEqual(set(MEANINGS), set(Exchange.__struct_fields__))
        shown = DOCUMENT["components"]["schemas"]["ExchangeDetail"]["properties"]
        self.assertLessEqual(set(Exchange.__struct_fields__), set(shown))

    def test_every_filter_is_a_parameter(self) -> None:
        named = DOCUMENT["paths"]["/api/requests"]["get"]["parameters"]
        names = {resolved(each)["name"] for each in named}
        self.assertEqual(names, {*FILTERS, "limit", "cursor"})

    def test_operation_ids_are_unique(self) -> None:
        ids = [operation["operationId"] for _, _, operation in operations()]
        self.assertEqual(len(ids), len(set(ids)), sorted(ids))

    def test_references_lead_somewhere(self) -> None:
        def walk(value: Any) -> Iterator[str]:
            if isinstance(value, dict):
                if isinstance(value.get("$ref"), str):
                    yield value["$ref"]
                for each in value.values():
                    yield from walk(each)
            elif isinstance(value, list):
                for each in value:
                    yield from walk(each)

        used = set(walk(DOCUMENT))
        for each in used:
            resolved({"$ref": each})
        unused = {
            f"#/components/{part}/{name}"
            for part in ("schemas", "responses", "parameters")
            for name in DOCUMENT["components"][part]
        } - used
        # A status that no operation answers in this family is left over by design.
        self.assertEqual({each for each in unused if "/responses/" not in each}, set())

    def test_tags_and_security_are_declared(self) -> None:
        tags = {tag["name"] for tag in DOCUMENT["tags"]}
        schemes = set(DOCUMENT["components"]["securitySchemes"])
        for path, _, operation in operations():
            self.assertLessEqual(set(operation["tags"]), tags, path)
            for choice in operation["security"]:
                self.assertLessEqual(set(choice), schemes, path)

    def test_examples_fit_their_schemas(self) -> None:
        try:
            from jsonschema import Draft202012Validator
        except ImportError:
            raise SkipTest("jsonschema is not installed") from None
        checked = 0

        def check(schema: Any, value: Any, where: str) -> None:
            nonlocal checked
            whole = {**schema, "components": DOCUMENT["components"]}
            problems = [each.message for each in Draft202012Validator(whole).iter_errors(value)]
            self.assertEqual(problems, [], where)
            checked += 1

        def walk(value: Any, where: str) -> None:
            if isinstance(value, list):
                for index, each in enumerate(value):
                    walk(each, f"{where}[{index}]")
            if not isinstance(value, dict):
                return
            if isinstance(value.get("schema"), dict):
                if "example" in value:
                    check(value["schema"], value["example"], where)
                for name, example in value.get("examples", {}).items():
                    check(value["schema"], example["value"], f"{where} {name}")
            for name, each in value.items():
                walk(each, f"{where}.{name}")

        walk(DOCUMENT, "")
        self.assertGreater(checked, 40)


class AnswerTests(V1Case):
    def test_other_methods(self) -> None:
        for path in ("/openapi.json", "/openapi.yaml", "/livez", "/metrics", "/"):
            reply = self.ask("POST", path)
            self.assertEqual((reply.status, reply["allow"]), (405, "GET, HEAD"), path)
            self.assertEqual(json.loads(reply.body)["error"]["code"], "method_not_allowed")

    def test_error_of_other_methods_is_in_the_callers_dialect(self) -> None:
        reply = self.ask("DELETE", "/livez", {"anthropic-version": "2023-06-01"})
        told = json.loads(reply.body)
        self.assertEqual(told["error"]["type"], "invalid_request_error")
        self.assertEqual(told["request_id"], reply["x-request-id"])


class _Request:
    """As much of a request as the resource uses."""

    def __init__(self, method: bytes = b"GET", gone: bool = False) -> None:
        from twisted.web.http_headers import Headers

        self.method = method
        self.gone = gone
        self.requestHeaders = Headers({b"origin": [b"https://editor.example"]})
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.finished: Deferred[_Request] = Deferred()

    def send_head(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, dict(headers)

    def write(self, data: bytes) -> None:
        self.body += data

    def finish(self) -> None:
        self.finished.callback(self)


class ResourceTests(TestCase):
    """With real threads: the description is written in one."""

    async def asked(self, page: OpenAPI) -> _Request:
        request = _Request()
        page.render(cast(Any, request))
        return await request.finished

    async def test_json_and_yaml_say_the_same(self) -> None:
        pages = [OpenAPI(reactor, form, lambda: Cors(("*",))) for form in ("json", "yaml")]
        first, second = [await self.asked(page) for page in pages]
        self.assertEqual(json.loads(first.body), DOCUMENT)
        self.assertEqual(yaml.safe_load(second.body), DOCUMENT)
        self.assertEqual(first.headers[b"Content-Type"], b"application/json")
        self.assertEqual(second.headers[b"Content-Type"], b"application/yaml")
        self.assertEqual(first.headers[b"Access-Control-Allow-Origin"], b"*")
        self.assertEqual(int(first.headers[b"Content-Length"]), len(first.body))

    async def test_written_once(self) -> None:
        page = OpenAPI(reactor, "json", Cors)
        requests: list[Any] = [_Request(), _Request(), _Request(gone=True)]
        for request in requests:
            page.render(request)
        self.assertIsNone(page._body)
        bodies = {(await request.finished).body for request in requests[:2]}
        self.assertEqual(len(bodies), 1)
        self.assertEqual(requests[2].status, 0)
        again: Any = _Request()
        page.render(again)
        self.assertEqual(again.status, 200)
        self.assertNotIn(b"Access-Control-Allow-Origin", again.headers)
