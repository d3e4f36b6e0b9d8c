"""Where a picture or a file is, in OpenAI's one word for it: a data URL that holds it (RFC 2397), or a web address."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

from clawproxy.core.dialects.parts import InlineData, RemoteUrl
from clawproxy.core.errors import Kind, ProxyError


def read_url(url: str, where: str) -> InlineData | RemoteUrl:
    """Read an address: a data URL's bytes (RFC 2397), or a web address.

    :raises ProxyError: it is neither.
    """
    scheme = url[:8].lower()
    if scheme.startswith(("http://", "https://")):
        return RemoteUrl(url)
    head, comma, data = url.partition(",")
    if not scheme.startswith("data:") or not comma:
        raise ProxyError(
            Kind.INVALID_REQUEST, f"{where}: a data, http or https URL is expected.", param=where
        )
    media_type, *options = head[5:].split(";")
    if any(option.strip().lower() == "base64" for option in options):
        # Percent-escapes are legal here, and some browsers' "+" arrives as a space.
        data = unquote_to_bytes(data).decode("ascii", "replace") if "%" in data else data
        data = data.replace(" ", "+")
    else:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return InlineData(media_type.strip().lower() or "text/plain", data)


def write_url(source: InlineData | RemoteUrl) -> str:
    """Write an address, as :func:`read_url` reads it."""
    if isinstance(source, RemoteUrl):
        return source.url
    return f"data:{source.media_type};base64,{source.data}"
