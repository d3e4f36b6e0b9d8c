"""Makes ``kill`` as good as Ctrl-C for ``tox run -e serve``.

tox hands Ctrl-C on to the command that it runs and waits for its end, but a SIGTERM kills tox
itself at once. A supervisor that runs the ``serve`` environment sends SIGTERM, and answers in
flight must survive it: so the first SIGTERM is taken for a Ctrl-C.
"""

from __future__ import annotations

import signal
from types import FrameType


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do once what Ctrl-C does; tox is then waiting, and must not be disturbed by a second signal."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _interrupt)
