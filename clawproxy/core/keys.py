"""Whose key a request travels with: pure rules, for callers of the proxy and for upstreams.

1. :class:`Callers` says whether a caller may call at all, and under which name.
2. :func:`upstream_headers` gives the head that a provider gets: what of the caller's travels, the
   configured headers, and exactly one owner's credential. It raises rather than send a caller's
   credential where it does not belong.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import (
    CREDENTIAL_HEADERS,
    Credential,
    Headers,
    RawHeaders,
    credentials,
    request_headers,
    value,
)
from clawproxy.core.masking import mask_headers
from clawproxy.core.routing import Family, ProviderKind
from clawproxy.core.secret import MASK, Secret

_OAUTH_PREFIX = "sk-ant-oat"
_OAUTH_BETA = b"oauth-2025-04-20"
_BETWEEN_WORDS = re.compile(rb'[\s,"]+')


@frozen
class Callers:
    """The keys that callers of the proxy may present (``auth.api_keys``), each with a name.

    :param keys: name and key; none at all lets everybody in.
    """

    keys: tuple[tuple[str, Secret], ...] = ()
    _encoded: tuple[tuple[str, bytes], ...] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        encoded = tuple((name, key.reveal().encode()) for name, key in self.keys)
        object.__setattr__(self, "_encoded", encoded)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def authenticate(self, headers: Headers) -> str | None:
        """Let a caller in, or not.

        Every key is compared with everything presented, in constant time, so that neither a
        key's place nor its length can be measured.

        :return: the key's name, for the record; ``None`` where no keys are configured.
        :raises ProxyError: 401, where keys are configured and none of them was presented.
        """
        if not self._encoded:
            return None
        presented = credentials(headers)
        found = None
        for credential in presented:
            found = self._name(credential) or found
        if found is not None:
            return found
        raise ProxyError(
            Kind.AUTHENTICATION,
            "the key presented is not one of this proxy's"
            if presented
            else "this proxy wants a key: Authorization: Bearer, x-api-key or api-key",
            headers=(("www-authenticate", "Bearer"),),
        )

    def foreign(self, headers: Headers) -> RawHeaders:
        """Give the credentials that are not this proxy's own: only those may ever be sent on."""
        if not self._encoded:
            return [line for line in headers if line[0].lower() in CREDENTIAL_HEADERS]
        return [
            (credential.name, credential.raw)
            for credential in credentials(headers)
            if self._name(credential) is None and not self._told_in(credential.raw)
        ]

    def _told_in(self, raw: bytes) -> bool:
        """Tell whether a header holds a key of ours in a form that lets nobody in: alone, or behind another scheme."""
        words = _BETWEEN_WORDS.split(raw)
        return any(key in words for _, key in self._encoded)

    def _name(self, credential: Credential) -> str | None:
        token = credential.token.encode("latin-1")
        found = None
        for name, key in self._encoded:
            if hmac.compare_digest(key, token):
                found = name
        return found


@frozen
class Account:
    """How a provider is to be addressed: what of its configuration concerns the head.

    :ivar name: the provider's configured name, for messages.
    :ivar kind: its kind.
    :ivar api_key: the configured key, or ``None``.
    :ivar version: the ``anthropic-version`` to send where the caller sent none.
    :ivar headers: further headers to send; they replace the caller's of the same name, and one
        that holds a credential counts as the configured key.
    :ivar has_key: whether a credential of the operator's goes with every request.
    """

    name: str
    kind: ProviderKind
    api_key: Secret | None = None
    version: str | None = None
    headers: tuple[tuple[str, Secret], ...] = ()
    _own: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False, eq=False)
    _replaced: frozenset[bytes] = field(init=False, repr=False, eq=False)
    has_key: bool = field(init=False, eq=False)
    _version: tuple[bytes, bytes] | None = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        own = [
            (name.lower().encode("latin-1"), text.reveal().encode("latin-1", "replace"))
            for name, text in self.headers
        ]
        object.__setattr__(self, "_replaced", frozenset(name for name, _ in own))
        if self.api_key and not self._replaced & CREDENTIAL_HEADERS:
            own.append(_key_line(self.kind, self.api_key.reveal()))
        object.__setattr__(self, "_own", tuple(own))
        has_key = any(name in CREDENTIAL_HEADERS for name, _ in own)
        object.__setattr__(self, "has_key", has_key)
        version = None
        if self.kind == "anthropic" and self.version and b"anthropic-version" not in self._replaced:
            version = b"anthropic-version", self.version.encode("latin-1")
        object.__setattr__(self, "_version", version)

    def mask(self, sent: Headers) -> list[tuple[str, str]]:
        """Make a head that was sent to this provider fit for a record: what was configured is not shown."""
        return [
            (name, MASK if name.lower().encode("latin-1") in self._replaced else shown)
            for name, shown in mask_headers(sent)
        ]

    @property
    def is_subscription(self) -> bool:
        """Whether the key is a Claude subscription's OAuth token."""
        return self.api_key is not None and self.api_key.reveal().startswith(_OAUTH_PREFIX)


def _key_line(kind: ProviderKind, key: str) -> tuple[bytes, bytes]:
    """Word a configured key as the provider's API reads it."""
    text = key.encode("latin-1", "replace")
    if kind == "anthropic" and not key.startswith(_OAUTH_PREFIX):
        return b"x-api-key", text
    return b"authorization", b"Bearer " + text


def upstream_headers(
    headers: Headers,
    account: Account,
    caller: Family | None,
    callers: Callers,
    *,
    translated: bool = False,
) -> RawHeaders:
    """Give the head of the request that goes to a provider.

    :param headers: the caller's head.
    :param account: the provider routed to.
    :param caller: the family of the caller's dialect; ``None`` where the caller addressed the
        provider itself on a path that is of no dialect, and so speaks the provider's own.
    :param callers: the proxy's own keys.
    :param translated: the body is written in another dialect than the caller's.
    :raises ProxyError: 401, naming the configuration key that is missing.
    """
    sent = request_headers(headers, translated=translated)
    if account._replaced:
        sent = [line for line in sent if line[0].lower() not in account._replaced]
    if not account.has_key:
        sent += _passed_through(headers, account, caller, callers)
    elif account.is_subscription:
        _flag_oauth(sent)
    sent += account._own
    if account._version is not None and value(sent, b"anthropic-version") is None:
        sent.append(account._version)
    return sent


def _flag_oauth(sent: RawHeaders) -> None:
    """Add the beta flag without which Anthropic refuses a subscription's token."""
    for index, (name, flags) in enumerate(sent):
        if name.lower() == b"anthropic-beta":
            if _OAUTH_BETA not in flags:
                sent[index] = (name, flags + b"," + _OAUTH_BETA)
            return
    sent.append((b"anthropic-beta", _OAUTH_BETA))


def _passed_through(
    headers: Headers, account: Account, caller: Family | None, callers: Callers
) -> Sequence[tuple[bytes, bytes]]:
    """Give the caller's own credential, untouched, where it may go; else say what is missing."""
    if account.kind not in ("anthropic", "openai"):
        return ()
    if caller is not None and caller != account.kind:
        raise missing_key(account, "the caller's credential is for another kind of provider")
    own = callers.foreign(headers)
    if callers and not own:
        raise missing_key(account, "the caller presented only its key for this proxy")
    return own


def missing_key(account: Account, why: str) -> ProxyError:
    """Say which configuration key an operator has to set.

    :param why: why the caller's own credential does not do.
    """
    return ProxyError(
        Kind.AUTHENTICATION,
        f"providers.{account.name}.api_key is not configured, and {why}",
    )


def callers(keys: Iterable[tuple[str | None, Secret]]) -> Callers:
    """Take the configured keys with their holders' names; a nameless one is called ``key-N``."""
    return Callers(tuple((name or f"key-{n}", key) for n, (name, key) in enumerate(keys, 1)))
