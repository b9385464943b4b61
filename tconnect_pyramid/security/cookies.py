"""The cookie that carries a browser's random id, signed by us and independent of any session factory."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from pyramid.request import Request
from webob.cookies import RequestCookies, make_cookie

from tconnect_pyramid.sessions import KEEP_ENDED_SECONDS
from tconnect_pyramid.settings import Settings

PURPOSE = "browser id"
HOST_POLICY = "tconnect.host_policy"
"""Key of the registry: whether a host's policy goes on deciding who somebody is."""

Headers = list[tuple[str, str]]


def site_hash(site_url: str) -> str:
    """A short hash for names of cookies: cookies ignore ports, and two sites on one host must not share one."""
    return hashlib.sha256(site_url.encode()).hexdigest()[:10]


def cookie_name(settings: Settings) -> str:
    """The name of this site's cookie."""
    return f"tconnect_{site_hash(settings.site_url)}"


def read_browser_id(request: Request) -> str | None:
    """The browser's id, or None without a cookie that we have signed."""
    try:
        signed = request.cookies.get(cookie_name(request.tconnect.settings))
    except UnicodeDecodeError:
        # One cookie that is no text, whoever planted it, keeps WebOb from reading any.
        return None
    return None if not signed else request.tconnect.box.verify(signed, PURPOSE)


def set_browser_id(request: Request, browser_id: str) -> Headers:
    """Headers that give the browser this id: until it is closed, or with a host's policy for as long as can be.

    A host's own cookie may outlive the browser. Ours has to be there as long, or the end of a sign-in
    would be forgotten with it.
    """
    signed = request.tconnect.box.sign(browser_id, PURPOSE)
    max_age = KEEP_ENDED_SECONDS if request.registry[HOST_POLICY] else None
    return _cookie(request.tconnect.settings, signed, max_age)


def forget_browser_id(request: Request) -> Headers:
    """Headers that take the id away."""
    return _cookie(request.tconnect.settings, None, None)


def without_unreadable(header: str) -> str:
    """The value of a `Cookie` header without the cookies that are no text."""
    return ";".join(filter(_is_text, header.split(";")))


def _is_text(cookie: str) -> bool:
    try:
        len(RequestCookies({"HTTP_COOKIE": cookie}))
    except UnicodeDecodeError:
        return False
    return True


def _cookie(settings: Settings, value: str | None, max_age: int | None) -> Headers:
    parts = urlsplit(settings.site_url)
    header = make_cookie(
        cookie_name(settings),
        value,
        max_age=max_age,
        path=f"{parts.path}/" if parts.path else "/",
        secure=parts.scheme == "https",
        httponly=True,
        # Strict would lose the cookie on the way back from the other site (protocol 7.4).
        samesite="Lax",
    )
    return [("Set-Cookie", header)]
