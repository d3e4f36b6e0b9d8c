"""For tests of this program and of those that embed it: an upstream that follows a script, and a proxy in memory.

:class:`ScriptedUpstream` listens on a real loopback socket and answers each request with the next script;
:class:`MemoryProxy` is a whole proxy on a :class:`~twisted.internet.task.Clock`, its callers and upstreams
joined by transports that are only lists of bytes.
"""

from __future__ import annotations

from clawproxy.testing.memory import MemoryCaller, MemoryProxy, MemoryUpstream
from clawproxy.testing.upstream import (
    Close,
    Hang,
    Pause,
    Received,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    answer,
    event_stream,
)

__all__ = [
    "Close",
    "Hang",
    "MemoryCaller",
    "MemoryProxy",
    "MemoryUpstream",
    "Pause",
    "Received",
    "Reset",
    "ScriptedUpstream",
    "Send",
    "Step",
    "answer",
    "event_stream",
]
