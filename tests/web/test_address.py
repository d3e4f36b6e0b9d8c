"""Addresses as an operator can open them."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.web.address import dashboard_url, url


class Addresses(SynchronousTestCase):
    """URLs of endpoints."""

    def test_url(self) -> None:
        """A name, a scheme and the port that was bound, whatever was asked for."""
        told = {
            ("tcp:0:interface=127.0.0.1", IPv4Address("TCP", "127.0.0.1", 8123)): "http://127.0.0.1:8123/",
            ("tcp6:8080", IPv6Address("TCP", "::1", 8080)): "http://[::1]:8080/",
            ("ssl:8443:privateKey=k", IPv4Address("TCP", "10.0.0.7", 8443)): "https://10.0.0.7:8443/",
            ("unix:/run/claw.sock", UNIXAddress(b"/run/claw.sock")): "unix:/run/claw.sock",
            ("fd:3", object()): "fd:3",
        }  # fmt: skip
        for (endpoint, host), expected in told.items():
            self.assertEqual(url(endpoint, host), expected)

    def test_dashboard(self) -> None:
        """On all addresses is on this machine, too; a socket in the file system is nothing for a browser."""
        everywhere = IPv4Address("TCP", "0.0.0.0", 8080)
        self.assertEqual(dashboard_url("tcp:8080", everywhere), "http://127.0.0.1:8080/ui/")
        both = IPv6Address("TCP", "::", 8080)
        self.assertEqual(dashboard_url("tcp6:8080", both), "http://[::1]:8080/ui/")
        self.assertIsNone(dashboard_url("unix:/a", UNIXAddress(b"/a")))
