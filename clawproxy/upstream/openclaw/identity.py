"""Who this proxy is to a gateway: an ed25519 key pair, kept in a file that only its owner can read.

1. :meth:`DeviceIdentity.load` reads the file or makes one (mode 0600, written whole or not at all).
2. :meth:`DeviceIdentity.device_block` signs a challenge for ``connect.params.device``.
3. :meth:`DeviceIdentity.remember` keeps the device token that a gateway issues after pairing, and
   :meth:`DeviceIdentity.remember_agents` the names of its agents.

The signed text is the gateway's version 2,
``v2|deviceId|clientId|clientMode|role|scopes|signedAt|token|nonce``: the only version that every
gateway from 2026.1 to 2026.9 accepts (version 1 lacks the nonce that newer ones demand, version 3
is refused by those up to 2026.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from clawproxy.core.secret import Secret

MODE = 0o600
"""Only the owner reads or writes the identity file: it holds a private key."""


class IdentityError(Exception):
    """The identity file cannot be used; the message says which and why."""


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class DeviceIdentity:
    """A device as the gateway's pairing knows it.

    :ivar device_id: SHA-256 of the raw public key, in hexadecimal.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        tokens: dict[str, Secret] | None = None,
        agents: dict[str, tuple[str, ...]] | None = None,
        path: Path | None = None,
    ) -> None:
        self._key = key
        self._agents = dict(agents or {})
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._tokens = dict(tokens or {})
        self._path = path
        self.device_id = hashlib.sha256(self._public).hexdigest()

    @classmethod
    def generate(cls, path: Path | None = None) -> DeviceIdentity:
        """Make a new identity; with ``path`` it is kept there by the next :meth:`save`."""
        return cls(Ed25519PrivateKey.generate(), path=path)

    @classmethod
    def load(cls, path: Path) -> DeviceIdentity:
        """Read the identity at ``path``, or make one there.

        A file that others could read is narrowed to mode 0600 first.

        :raises IdentityError: the file is not an identity, or cannot be read or written.
        """
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            identity = cls.generate(path)
            identity.save()
            return identity
        except OSError as error:
            raise IdentityError(f"cannot read the device identity {path}: {error}") from error
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(MODE)
            document = json.loads(raw)
            seed = base64.b64decode(document["private_key"], validate=True)
            tokens = {str(k): Secret(str(v)) for k, v in document.get("tokens", {}).items()}
            agents = {
                str(gateway): tuple(str(agent) for agent in ids)
                for gateway, ids in document.get("agents", {}).items()
            }
            return cls(Ed25519PrivateKey.from_private_bytes(seed), tokens, agents, path)
        except OSError as error:
            raise IdentityError(f"cannot protect the device identity {path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
            raise IdentityError(
                f"{path} is not a ClawProxy device identity; move it away to have a new one made"
            ) from error

    def save(self) -> None:
        """Write the file in one step, so that a crash leaves the old one or the new one.

        :raises IdentityError: the directory cannot be written.
        """
        if self._path is None:
            return
        seed = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        document = {
            "device_id": self.device_id,
            "private_key": base64.b64encode(seed).decode(),
            "tokens": {gateway: token.reveal() for gateway, token in self._tokens.items()},
            "agents": self._agents,
        }
        temporary: str | None = None
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp creates with mode 0600: the key is at no moment readable by others.
            descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".device-")
            with os.fdopen(descriptor, "w") as stream:
                json.dump(document, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(self._path)
        except OSError as error:
            if temporary is not None:
                with suppress(FileNotFoundError):
                    Path(temporary).unlink()
            raise IdentityError(
                f"cannot write the device identity {self._path}: {error}"
            ) from error

    def token(self, gateway: str) -> Secret | None:
        """The device token that ``gateway`` (its URL) issued, if it did."""
        return self._tokens.get(gateway)

    def remember(self, gateway: str, token: Secret) -> None:
        """Keep a device token, on disk too.

        :raises IdentityError: the file cannot be written.
        """
        if self._tokens.get(gateway) != token:
            self._tokens[gateway] = token
            self.save()

    def agents(self, gateway: str) -> tuple[str, ...]:
        """The agents that ``gateway`` had when it last told them."""
        return self._agents.get(gateway, ())

    def remember_agents(self, gateway: str, agents: tuple[str, ...]) -> None:
        """Keep a gateway's agents, so that their names lead there even before it is connected.

        :raises IdentityError: the file cannot be written.
        """
        if self._agents.get(gateway) != agents:
            self._agents[gateway] = agents
            self.save()

    def device_block(
        self,
        *,
        client_id: str,
        client_mode: str,
        role: str,
        scopes: Sequence[str],
        signed_at: int,
        token: str,
        nonce: str,
    ) -> dict[str, object]:
        """Give ``connect.params.device`` for one challenge.

        :param signed_at: milliseconds since the epoch; the challenge's own ``ts``, so that the two
            machines' clocks need not agree.
        :param token: exactly what ``auth`` carries, or an empty string.
        """
        signed = "|".join(
            (
                "v2",
                self.device_id,
                client_id,
                client_mode,
                role,
                ",".join(scopes),
                str(signed_at),
                token,
                nonce,
            )
        )
        return {
            "id": self.device_id,
            "publicKey": _base64url(self._public),
            "signature": _base64url(self._key.sign(signed.encode())),
            "signedAt": signed_at,
            "nonce": nonce,
        }
