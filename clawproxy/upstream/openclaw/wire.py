"""What a call says to its gateway and hears from it, for the record, without the gateway's secrets:
:class:`MaskedWire`.

The handshake, which carries them, belongs to no call. But an agent may see its gateway's token and
say it, in a command's output for example.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clawproxy.core.secret import MASK, Secret
from clawproxy.upstream.provider import Wire

SHORTEST = 8
"""Characters of a secret that is looked for; a shorter one is in too many words."""


class MaskedWire:
    """Pass messages on to the record, secrets masked.

    :param secrets: what the handshake carries.
    """

    def __init__(self, wire: Wire, secrets: Iterable[Secret | None]) -> None:
        self._wire = wire
        values = [secret.reveal() for secret in secrets if secret is not None]
        # As they stand inside a JSON string.
        self._secrets = [
            msgspec.json.encode(value).decode()[1:-1] for value in values if len(value) >= SHORTEST
        ]

    def asked(self, message: str) -> None:
        """Take a message that goes to the gateway."""
        self._wire.asked(self._masked(message))

    def heard(self, message: str) -> None:
        """Take a message of the gateway's."""
        self._wire.heard(self._masked(message))

    def _masked(self, message: str) -> str:
        for secret in self._secrets:
            if secret in message:
                message = message.replace(secret, MASK)
        return message
