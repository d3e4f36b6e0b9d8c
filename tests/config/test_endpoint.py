"""Tests of :mod:`clawproxy.config.endpoint`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.endpoint import Endpoint, check, split

WORDS = st.text(alphabet="ab0:=\\./", max_size=8)


class Split(SynchronousTestCase):
    def test_examples(self) -> None:
        for text, expected in (
            ("tcp:80", Endpoint("tcp", ("80",))),
            (
                r"tcp6:80:interface=\:\:1:backlog=5",
                Endpoint("tcp6", ("80",), {"interface": "::1", "backlog": "5"}),
            ),
            ("unix:/run/x.sock:mode=660", Endpoint("unix", ("/run/x.sock",), {"mode": "660"})),
            (r"unix:C\:\\x", Endpoint("unix", ("C:\\x",))),
            ("8080", Endpoint("8080")),
        ):
            self.assertEqual(split(text), expected)

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(("tcp", "unix")),
        st.lists(WORDS, max_size=3),
        st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=3), WORDS, max_size=3),
    )
    def test_what_is_written_is_read(
        self, kind: str, arguments: list[str], options: dict[str, str]
    ) -> None:
        endpoint = Endpoint(kind, tuple(arguments), options)
        self.assertEqual(split(str(endpoint)), endpoint)


class Check(SynchronousTestCase):
    def test_what_twisted_takes(self) -> None:
        for text in (
            "tcp:8080",
            "tcp:0:interface=127.0.0.1",
            "tcp:0:127.0.0.1:50",
            r"tcp:8080:interface=\:\:",
            "tcp:port=80",
            "tcp6:8080",
            "unix:/tmp/x.sock:mode=660",
            "haproxy:tcp:8080",
        ):
            self.assertEqual(check(text), text)
            serverFromString(MemoryReactor(), text)

    def test_what_cannot_be_tried_without_files(self) -> None:
        for text in (
            "ssl:8443:privateKey=k.pem:certKey=c.pem",
            "tls:/etc/letsencrypt/live:tcp\\:443",
            "systemd:domain=INET:name=clawproxy.socket",
        ):
            self.assertEqual(check(text), text)

    def test_what_cannot_work(self) -> None:
        for text in (
            "",
            "8080",
            ":8080",
            "127.0.0.1:8080",
            "localhost:8080",
            "http://localhost:8080",
            "tcp",
            "tcp:",
            "tcp:http",
            "tcp:65536",
            "tcp:-1",
            "tcp:8080:interface=eth0",
            "tcp:8080:eth0",
            "tcp:8080:interface=::1",
            "tcp:8080:adress=127.0.0.1",
            "tcp:8080:127.0.0.1:5:6",
            "tcp:8080:backlog=many",
            "unix:/tmp/x.sock:mode=rw",
            "systemd:domain=INET",
            "systemd:domain=TCP:index=0",
            "systemd:domain=INET:index=0:name=x",
            "unix",
            "unix:",
            "tls",
        ):
            self.assertRaises(ValueError, check, text)


class Reachable(SynchronousTestCase):
    def test_from_elsewhere(self) -> None:
        for text, expected in (
            ("tcp:1", True),
            ("tcp:1:interface=0.0.0.0", True),
            ("tcp:1:127.0.0.1", False),
            ("tcp:1:interface=192.168.1.2", True),
            (r"tcp:1:interface=fe80\:\:1%eth0", True),
            ("ssl:1:privateKey=x", True),
            ("tcp:1:interface=127.0.0.1", False),
            (r"tcp6:1:interface=\:\:1", False),
            ("tcp:1:interface=localhost", False),
            ("unix:/x", False),
        ):
            self.assertEqual(split(text).reachable_from_elsewhere(), expected, text)
