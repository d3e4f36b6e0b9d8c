"""The device's key pair: its file, its signature, its tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError


def decoded(text: str) -> bytes:
    """Undo unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Files(SynchronousTestCase):
    """Where the key lives, and who may read it."""

    def path(self) -> Path:
        return Path(self.mktemp()) / "deep" / "device.json"

    def test_made_and_read_again(self) -> None:
        path = self.path()
        made = DeviceIdentity.load(path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(DeviceIdentity.load(path).device_id, made.device_id)
        self.assertEqual([p.name for p in path.parent.iterdir()], ["device.json"])

    def test_narrowed(self) -> None:
        """A file that others may read is narrowed before it is used."""
        path = self.path()
        made = DeviceIdentity.load(path)
        path.chmod(0o644)
        self.assertEqual(DeviceIdentity.load(path).device_id, made.device_id)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_tokens(self) -> None:
        path = self.path()
        identity = DeviceIdentity.load(path)
        self.assertIsNone(identity.token("ws://a"))
        identity.remember("ws://a", Secret("t-1"))
        again = DeviceIdentity.load(path)
        self.assertEqual(again.token("ws://a"), Secret("t-1"))
        self.assertIsNone(again.token("ws://b"))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_agents(self) -> None:
        path = self.path()
        DeviceIdentity.load(path).remember_agents("ws://a", ("main", "dev"))
        again = DeviceIdentity.load(path)
        self.assertEqual(again.agents("ws://a"), ("main", "dev"))
        self.assertEqual(again.agents("ws://b"), ())

    def test_not_an_identity(self) -> None:
        path = self.path()
        path.parent.mkdir(parents=True)
        for content in ("", "[]", "{}", '{"private_key":"eA=="}', '{"private_key":7}', "\xff"):
            path.write_text(content, "latin-1")
            error = self.assertRaises(IdentityError, DeviceIdentity.load, path)
            self.assertIn(str(path), str(error))

    def test_unwritable(self) -> None:
        path = Path(self.mktemp())
        path.write_text("a file where a directory should be")
        self.assertRaises(IdentityError, DeviceIdentity.load, path / "device.json")

    def test_a_failed_write_leaves_the_old_file(self) -> None:
        path = self.path()
        identity = DeviceIdentity.load(path)
        before = path.read_bytes()
        self.patch(json, "dump", self.broken)
        self.assertRaises(IdentityError, identity.remember, "ws://a", Secret("t"))
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual([p.name for p in path.parent.iterdir()], ["device.json"])

    def broken(self, *_: object, **__: object) -> None:
        raise OSError("no space left")


class Signatures(SynchronousTestCase):
    """What the gateway verifies."""

    def test_version_two(self) -> None:
        identity = DeviceIdentity.generate()
        block = identity.device_block(
            client_id="gateway-client",
            client_mode="backend",
            role="operator",
            scopes=("a", "b"),
            signed_at=17,
            token="t",
            nonce="n",
        )
        public = decoded(str(block["publicKey"]))
        self.assertEqual(block["id"], hashlib.sha256(public).hexdigest())
        self.assertEqual((block["signedAt"], block["nonce"]), (17, "n"))
        signed = f"v2|{block['id']}|gateway-client|backend|operator|a,b|17|t|n"
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(decoded(str(block["signature"])), signed.encode())
        self.assertNotIn("=", f"{block['publicKey']}{block['signature']}")
