"""What is said on an HTTP/2 connection, in frames: h2's own, which goes on behind a caller's goodbye.

Imported only where ``h2`` is installed, as :mod:`~clawproxy.web.h2` is, whose connections speak through it.
"""

from __future__ import annotations

from typing import Any

from h2.connection import H2Connection
from h2.errors import ErrorCodes


class PatientConversation(H2Connection):
    """h2's state machine for one connection, for which a caller's goodbye is no end.

    A GOAWAY says that nothing more begins, and what is under way is finished all the same (RFC 9113 §6.8): Node's
    ``session.close()`` sends it so, and Go's ``Shutdown``. h2's own takes it for the connection's end.

    :ivar parting: the caller has said it.
    """

    parting = False

    def _receive_goaway_frame(self, frame: Any) -> Any:
        if frame.error_code != ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        self.parting = True
        return [], []
