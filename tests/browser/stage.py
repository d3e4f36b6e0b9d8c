"""One headless browser for all tests of a run.

It lives in a thread of its own: Playwright's blocking API keeps an asyncio loop running in the thread
that started it, which other tests in the same process would trip over, and a browser of each test's own
would take longer than the tests.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import cache, wraps
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from tests.integration.browser import chromium

P = ParamSpec("P")
T = TypeVar("T")

#: Nothing of the browser's own may go to the network: a page's requests are counted.
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Seconds that a test may take: some of Playwright's calls wait for ever, where a page's script does.
MOST = 120
#: Seconds within which the browser has to end.
END = 20


class Stage:
    """The thread, and the browser that it has once somebody needs one."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._browser: Any = None
        self._thread = threading.Thread(target=self._live, name="browser", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _live(self) -> None:
        with ExitStack() as self._stack:
            while (task := self._work.get()) is not None:
                task()

    @property
    def browser(self) -> Any:
        """The browser; to be used in the stage's thread only.

        :raises SkipTest: where there is none.
        """
        if self._browser is None:
            self._browser = chromium(self._stack, QUIET)
        return self._browser

    def run(self, task: Callable[[], T]) -> T:
        """Give what *task* gives or raises in the thread."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                future.set_exception(error)

        self._work.put(work)
        return future.result(MOST)

    def close(self) -> None:
        """End the browser and the thread."""
        self._work.put(None)
        self._thread.join(END)


@cache
def stage() -> Stage:
    """The run's only one."""
    return Stage()


def browsing(test: Callable[P, None]) -> Callable[P, None]:
    """Make a test run where the browser may be used."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        stage().run(lambda: test(*args, **kwargs))

    return run
