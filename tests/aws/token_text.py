"""Tokens taken apart, changed in one place and put together again, as someone who copies or forges one would."""

import base64
import binascii
from urllib.parse import parse_qsl, quote, urlsplit

from vectors import PREFIX, token

# Of the parameters, in a token of temporary credentials.
NAMES = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
]


def url(text: str) -> str:
    """The URL inside a token; empty when there is none."""
    encoded = text.removeprefix(PREFIX)
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeError):
        return ""


def host(text: str) -> str:
    return urlsplit(url(text)).netloc


def parameters(text: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url(text)).query, keep_blank_values=True))


def with_parameter(text: str, name: str, value: str) -> str:
    """The token with another value for one parameter, everything else as it was, the signature too."""
    changed = parameters(text)
    assert name in changed
    changed[name] = value
    query = "&".join(f"{k}={quote(v, safe='-_.~')}" for k, v in changed.items())
    return token(f"https://{host(text)}/?{query}")


def with_suffix(text: str, suffix: str) -> str:
    """The token with more text after its URL."""
    return token(url(text) + suffix)


def with_host(text: str, name: str) -> str:
    return token(url(text).replace(host(text), name, 1))
