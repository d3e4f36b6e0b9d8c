"""Tests for :mod:`clawproxy.core.keys`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import CREDENTIAL_HEADERS
from clawproxy.core.keys import Account, Callers, callers, upstream_headers
from clawproxy.core.routing import Family, ProviderKind
from clawproxy.core.secret import Secret

NOBODY = Callers()
OURS = callers([("ann", Secret("proxy-a")), (None, Secret("proxy-b"))])
ANTHROPIC = Account("anthropic", "anthropic", version="2023-06-01")
OPENAI = Account("openai", "openai")
FORMS = {
    b"Authorization": b"Bearer %s",
    b"x-api-key": b"%s",
    b"api-key": b"%s",
}


class Authentication(SynchronousTestCase):
    """Who may call."""

    def test_without_keys_everybody_may(self) -> None:
        self.assertIsNone(NOBODY.authenticate([]))
        self.assertIsNone(NOBODY.authenticate([(b"x-api-key", b"anything")]))

    def test_every_form_and_every_key(self) -> None:
        for key, name in ((b"proxy-a", "ann"), (b"proxy-b", "key-2")):
            for header, shape in FORMS.items():
                self.assertEqual(OURS.authenticate([(header, shape % key)]), name)

    def test_one_of_two_credentials_is_enough(self) -> None:
        own = (b"authorization", b"Bearer sk-ant-oat01-x")
        self.assertEqual(OURS.authenticate([own, (b"x-api-key", b"proxy-a")]), "ann")
        self.assertEqual(OURS.authenticate([(b"x-api-key", b"proxy-a"), own]), "ann")

    def test_all_else_is_401(self) -> None:
        for head in (
            [],
            [(b"x-api-key", b"proxy-c")],
            [(b"x-api-key", b"")],
            [(b"x-api-key", b"proxy-a1")],
            [(b"x-api-key", b"proxy-")],
            [(b"x-api-key", b"PROXY-A")],
            [(b"authorization", b"Basic proxy-a")],
            [(b"authorization", b"proxy-a")],
            [(b"cookie", b"x-api-key=proxy-a")],
        ):
            error = self.assertRaises(ProxyError, OURS.authenticate, head)
            self.assertIs(error.kind, Kind.AUTHENTICATION)
            self.assertNotIn("proxy-", error.message)

    def test_keys_need_not_be_ascii(self) -> None:
        made = callers([("u", Secret("schlüssel"))])
        self.assertEqual(made.authenticate([(b"x-api-key", "schlüssel".encode())]), "u")

    def test_they_do_not_print_themselves(self) -> None:
        self.assertNotIn("proxy-a", repr(OURS))


class ConfiguredKeys(SynchronousTestCase):
    """A set key replaces whatever the caller sent."""

    head = (
        (b"Authorization", b"Bearer callers-own"),
        (b"x-api-key", b"callers-own"),
        (b"api-key", b"callers-own"),
        (b"anthropic-beta", b"a,b"),
    )

    def credentials(self, account: Account, caller: Family) -> list[tuple[bytes, bytes]]:
        """Give what of a credential goes upstream."""
        sent = upstream_headers(self.head, account, caller, NOBODY)
        self.assertNotIn(b"callers-own", b"".join(content for _, content in sent))
        return [line for line in sent if line[0].lower() in CREDENTIAL_HEADERS]

    def test_how_each_kind_reads_its_key(self) -> None:
        kinds: tuple[tuple[ProviderKind, str, tuple[bytes, bytes]], ...] = (
            ("anthropic", "sk-ant-api03-k", (b"x-api-key", b"sk-ant-api03-k")),
            ("anthropic", "sk-ant-oat01-k", (b"authorization", b"Bearer sk-ant-oat01-k")),
            ("openai", "sk-k", (b"authorization", b"Bearer sk-k")),
        )
        callers_families: tuple[Family, ...] = ("anthropic", "openai")
        for kind, key, line in kinds:
            for caller in callers_families:
                account = Account("p", kind, Secret(key))
                self.assertEqual(self.credentials(account, caller), [line])

    def test_a_subscriptions_token_gets_its_beta_flag_once(self) -> None:
        account = Account("p", "anthropic", Secret("sk-ant-oat01-k"))
        for given_flags, flags in (
            ([], [b"oauth-2025-04-20"]),
            ([b"a,b"], [b"a,b,oauth-2025-04-20"]),
            ([b"oauth-2025-04-20,a"], [b"oauth-2025-04-20,a"]),
        ):
            head = [(b"anthropic-beta", flag) for flag in given_flags]
            sent = upstream_headers(head, account, "anthropic", NOBODY)
            self.assertEqual([c for n, c in sent if n == b"anthropic-beta"], flags)

    def test_what_a_record_may_show(self) -> None:
        """Keys are masked, and so is whatever stands in the configuration, by any name."""
        account = Account("p", "openai", Secret("sk-1"), headers=(("X-Tenant", Secret("hush")),))
        sent = upstream_headers([(b"user-agent", b"t")], account, "openai", NOBODY)
        self.assertEqual(
            account.mask(sent),
            [("user-agent", "t"), ("x-tenant", "***"), ("authorization", "***")],
        )

    def test_a_configured_header_may_be_the_credential(self) -> None:
        account = Account("azure", "openai", headers=(("Api-Key", Secret("azure-key")),))
        self.assertEqual(self.credentials(account, "openai"), [(b"api-key", b"azure-key")])
        self.assertEqual(self.credentials(account, "anthropic"), [(b"api-key", b"azure-key")])

    def test_configured_headers_replace_the_callers(self) -> None:
        account = Account("p", "openai", Secret("k"), headers=(("X-Team", Secret("ours")),))
        sent = upstream_headers([(b"x-team", b"theirs"), (b"a", b"b")], account, "openai", NOBODY)
        self.assertEqual(
            sent, [(b"a", b"b"), (b"x-team", b"ours"), (b"authorization", b"Bearer k")]
        )

    def test_an_account_does_not_print_its_secrets(self) -> None:
        account = Account("p", "openai", Secret("hush"), headers=(("X", Secret("hush")),))
        self.assertNotIn("hush", repr(account))

    def test_the_version_is_filled_in_where_there_is_none(self) -> None:
        sent = upstream_headers([], ANTHROPIC, "anthropic", NOBODY)
        self.assertEqual(sent, [(b"anthropic-version", b"2023-06-01")])
        head = [(b"Anthropic-Version", b"2026-10-21")]
        self.assertEqual(upstream_headers(head, ANTHROPIC, "anthropic", NOBODY), head)
        self.assertEqual(upstream_headers([], OPENAI, "openai", NOBODY), [])


class OwnCredentials(SynchronousTestCase):
    """Without a set key the caller's own goes through, where it belongs."""

    def test_untouched_in_every_form(self) -> None:
        for line in (
            (b"X-API-Key", b" sk-ant-1 "),
            (b"Authorization", b"bearer sk-ant-oat01-x"),
            (b"api-key", b"k"),
        ):
            sent = upstream_headers([line], ANTHROPIC, "anthropic", NOBODY)
            self.assertIn(line, sent)

    def test_both_of_two(self) -> None:
        head = [(b"x-api-key", b"k"), (b"authorization", b"Bearer k")]
        self.assertEqual(upstream_headers(head, OPENAI, "openai", NOBODY), head)

    def test_none_is_the_upstreams_to_refuse(self) -> None:
        self.assertEqual(upstream_headers([], OPENAI, "openai", NOBODY), [])

    def test_another_kind_is_401_and_names_the_missing_key(self) -> None:
        for account, caller in (
            (OPENAI, "anthropic"),
            (ANTHROPIC, "openai"),
            (Account("local", "openai"), "anthropic"),
        ):
            for head in ([], [(b"authorization", b"Bearer sk-ant-oat01-x")]):
                error = self.assertRaises(
                    ProxyError, upstream_headers, head, account, caller, NOBODY, translated=True
                )
                self.assertIs(error.kind, Kind.AUTHENTICATION)
                self.assertIn(f"providers.{account.name}.api_key", error.message)
                self.assertNotIn("oat01", error.message)

    def test_the_providers_own_path_speaks_its_dialect(self) -> None:
        head = [(b"x-api-key", b"k")]
        for account in (OPENAI, ANTHROPIC):
            self.assertIn(head[0], upstream_headers(head, account, None, NOBODY))

    def test_what_answers_by_itself_gets_none(self) -> None:
        kinds: tuple[ProviderKind, ...] = ("demo", "openclaw")
        for kind in kinds:
            head = [(b"x-api-key", b"k")]
            self.assertEqual(upstream_headers(head, Account("d", kind), "anthropic", OURS), [])

    def test_the_proxys_key_is_never_sent_on(self) -> None:
        own = (b"Authorization", b"Bearer sk-ant-oat01-x")
        head = [(b"x-api-key", b"proxy-a"), own, (b"api-key", b"proxy-b")]
        sent = upstream_headers(head, ANTHROPIC, "anthropic", OURS)
        self.assertEqual([line for line in sent if line[0] != b"anthropic-version"], [own])

    def test_nor_in_a_form_that_lets_nobody_in(self) -> None:
        own = (b"api-key", b"proxy-a-or-not")
        for form in (b"proxy-a", b"Bearer\tproxy-a", b"Token proxy-b", b"Bearer x, proxy-b"):
            head = [(b"x-api-key", b"proxy-a"), (b"Authorization", form), own]
            sent = upstream_headers(head, ANTHROPIC, "anthropic", OURS)
            self.assertEqual([line for line in sent if line[0] != b"anthropic-version"], [own])

    def test_the_proxys_key_alone_leaves_none_to_send(self) -> None:
        head = [(b"x-api-key", b"proxy-a"), (b"authorization", b"Bearer proxy-b")]
        error = self.assertRaises(ProxyError, upstream_headers, head, ANTHROPIC, "anthropic", OURS)
        self.assertIn("providers.anthropic.api_key", error.message)

    @settings(deadline=None, max_examples=200)
    @given(
        forms=st.lists(
            st.tuples(
                st.sampled_from(sorted(FORMS)),
                st.sampled_from([b"proxy-a", b"proxy-b", b"own-1", b"own-2"]),
            ),
            max_size=4,
        ),
        kind=st.sampled_from(["anthropic", "openai"]),
        caller=st.sampled_from(["anthropic", "openai", None]),
        key=st.sampled_from([None, Secret("set-key")]),
        keyed=st.booleans(),
        translated=st.booleans(),
    )
    def test_no_credential_ever_goes_astray(
        self,
        forms: list[tuple[bytes, bytes]],
        kind: ProviderKind,
        caller: Family | None,
        key: Secret | None,
        keyed: bool,
        translated: bool,
    ) -> None:
        head = [(name, FORMS[name] % token) for name, token in forms]
        known = OURS if keyed else NOBODY
        account = Account("p", kind, key)
        try:
            sent = upstream_headers(head, account, caller, known, translated=translated)
        except ProxyError as error:
            self.assertIsNone(key)
            self.assertNotIn("own-", error.message)
            return
        text = b" ".join(content for _, content in sent)
        if keyed:
            self.assertNotIn(b"proxy-", text)
        if key is not None:
            self.assertIn(b"set-key", text)
            self.assertNotIn(b"own-", text)
        elif caller is not None and caller != kind:
            self.fail("a caller's credential went to another kind of provider")
