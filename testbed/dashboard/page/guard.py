"""Who may be answered: the right token, asked for under a name of this machine, by a page of ours."""

from __future__ import annotations

import hmac
import re

#: The loopback, by name or address. Any other name is somebody's who made it point here (DNS rebinding).
HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def same_token(given: str, token: str | None) -> bool:
    """Compared in a time that does not tell how much of it was right. Nothing equals no token."""
    if token is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def own_host(host: str) -> bool:
    """Whether a Host header names the loopback; the port is the reader's own (a tunnel may have another)."""
    return HOST.fullmatch(host) is not None


def own_page(host: str, origin: str | None, site: str | None) -> bool:
    """Whether a request that changes something comes from our page: Origin and Sec-Fetch-Site, where they are sent."""
    return origin in (None, f"http://{host}") and site in (None, "same-origin")
