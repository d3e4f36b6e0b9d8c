"""Runs ``twistd`` in the foreground below a parent that forwards signals in its own way.

``tox run -e serve`` starts this script. On Ctrl-C the terminal signals every process of its
foreground group, and tox signals its child once more; the proxy would take the second signal for an
impatient operator and cut the answers in flight. So ``twistd`` gets a process group of its own, and
this parent passes on one signal for each that was meant: two within a second are one. A parent that
was killed outright, so that nothing can be forwarded any more, counts as SIGTERM.

Usage: ``python etc/serve.py TWISTD-ARGUMENTS``; the exit code is that of ``twistd``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

#: Seconds within which a second signal is the echo of the first.
ECHO = 1.0

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent ends; only Linux knows the call, others go
    without.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Run ``twistd`` with *arguments* until it ends, and return its exit code (128 + N after a
    deadly signal N).
    """
    die_with_parent()
    twistd = Path(sys.executable).with_name("twistd")
    forwarded = float("-inf")
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal forwarded
        now = time.monotonic()
        if child is None:
            raise SystemExit(128 + number)
        if number == signal.SIGHUP or now - forwarded > ECHO:
            child.send_signal(number)
            if number != signal.SIGHUP:
                forwarded = now

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    command = [str(twistd), *arguments]
    child = subprocess.Popen(command, start_new_session=True, preexec_fn=die_with_parent)
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1:]))
