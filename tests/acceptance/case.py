"""What the acceptance tests have in common.

A start takes about a second, so tests share running proxies: :func:`shared` gives the one that a module
has described, started when it is first asked for, and ends all of them with the test run.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.caller import parsed
from tests.acceptance.program import Program
from tests.acceptance.upstream import Upstream
from tests.wire import Reply

#: A moment in RFC 3339.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")

_T = TypeVar("_T")
_running: dict[Callable[..., Any], Any] = {}
_stack = ExitStack()
atexit.register(_stack.close)


def shared(make: Callable[[ExitStack, Path], _T]) -> _T:
    """Give what *make* makes, made once: it is given a stack for what must end, and a folder."""
    if make not in _running:
        folder = Path(tempfile.mkdtemp(prefix="clawproxy-acceptance-"))
        _stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _running[make] = make(_stack, folder)
    made: _T = _running[make]
    return made


class AcceptanceCase(SynchronousTestCase):
    """Plain blocking tests; client and upstream are threads of this process, the proxy is its own."""

    def setUp(self) -> None:
        """Have a stack for what a test starts."""
        super().setUp()
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    @property
    def folder(self) -> Path:
        """A folder of this test's own."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        return folder

    def upstream(self) -> Upstream:
        """Start an upstream of this test's own."""
        return self.stack.enter_context(Upstream())

    def program(self, *arguments: Any, **options: Any) -> Program:
        """Start a proxy of this test's own."""
        return self.stack.enter_context(Program(self.folder, *arguments, **options))

    def eventually(self, condition: Callable[[], object], seconds: float = 10) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.fail("what was waited for did not happen")
            time.sleep(0.02)

    def assertAnthropicError(self, reply: Reply, status: int, kind: str) -> Any:
        """Check an error of the proxy's own in Anthropic's shape; gives its inner object."""
        self.assertEqual((reply.status, reply["content-type"]), (status, "application/json"))
        error = parsed(reply)
        self.assertEqual(error.keys(), {"type", "error", "request_id"})
        self.assertEqual((error["type"], error["error"]["type"]), ("error", kind))
        self.assertTrue(error["error"]["message"])
        self.assertIsNotNone(reply["x-clawproxy-id"])
        self.assertEqual(error["request_id"], reply["x-request-id"])
        return error["error"]

    def assertOpenAIError(self, reply: Reply, status: int, code: str) -> Any:
        """Check an error of the proxy's own in OpenAI's shape; gives its inner object."""
        self.assertEqual((reply.status, reply["content-type"]), (status, "application/json"))
        error = parsed(reply)
        self.assertEqual(error.keys(), {"error"})
        self.assertEqual(error["error"].keys(), {"message", "type", "param", "code"})
        self.assertEqual(error["error"]["code"], code)
        self.assertTrue(error["error"]["message"])
        self.assertTrue(error["error"]["type"])
        self.assertIsNotNone(reply["x-clawproxy-id"])
        self.assertIsNotNone(reply["x-request-id"])
        return error["error"]
