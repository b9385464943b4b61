"""The cookies of the add-on, independent of any session factory.

One carries a browser's random id and one what the next page is to say, both signed by us. The others are notes:
that they are there is all they say.
"""

from __future__ import annotations

import hashlib
from typing import Literal
from urllib.parse import urlsplit

from pyramid.request import Request
from webob.cookies import RequestCookies, make_cookie

from tconnect_pyramid.sessions import KEEP_ENDED_SECONDS
from tconnect_pyramid.settings import Settings

PURPOSE = "browser id"
NOTICE_PURPOSE = "notice"
HOST_POLICY = "tconnect.host_policy"
"""Key of the registry: whether a host's policy goes on deciding who somebody is."""

Headers = list[tuple[str, str]]

Note = Literal["stay", "sent"]
"""`stay`: the login page is to be shown here, although a server is chosen for automatic sign-on; `sent`:
this browser has just been sent to that server by itself."""


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
    settings = request.tconnect.settings
    return _cookie(settings, cookie_name(settings), signed, max_age)


def forget_browser_id(request: Request) -> Headers:
    """Headers that take the id away."""
    settings = request.tconnect.settings
    return _cookie(settings, cookie_name(settings), None, None)


def has_note(request: Request, note: Note) -> bool:
    """Whether the browser carries a note. It is not signed: all it can do is to have the login page shown."""
    try:
        return _note_name(request.tconnect.settings, note) in request.cookies
    except UnicodeDecodeError:
        return False


def set_note(request: Request, note: Note, max_age: int | None) -> Headers:
    """Headers that give the browser a note, for `max_age` seconds or, with None, until it is closed."""
    settings = request.tconnect.settings
    return _cookie(settings, _note_name(settings, note), "1", max_age)


def forget_note(request: Request, note: Note) -> Headers:
    """Headers that take a note away, if it is there."""
    if not has_note(request, note):
        return []
    settings = request.tconnect.settings
    return _cookie(settings, _note_name(settings, note), None, None)


def read_notice(request: Request) -> str | None:
    """What the next page is to say, as `set_notice` was given it; None when there is nothing of ours."""
    try:
        signed = request.cookies.get(_notice_name(request.tconnect.settings))
    except UnicodeDecodeError:
        return None
    return None if not signed else request.tconnect.box.verify(signed, NOTICE_PURPOSE)


def set_notice(request: Request, written: str) -> Headers:
    """Headers that let the next page say something; `written` has ASCII letters, digits, `-`, `_` and `=` only."""
    settings = request.tconnect.settings
    signed = request.tconnect.box.sign(written, NOTICE_PURPOSE)
    return _cookie(settings, _notice_name(settings), signed, 300)


def forget_notice(request: Request) -> Headers:
    """Headers that take away what was to be said."""
    settings = request.tconnect.settings
    return _cookie(settings, _notice_name(settings), None, None)


def without_unreadable(header: str) -> str:
    """The value of a `Cookie` header without the cookies that are no text."""
    return ";".join(filter(_is_text, header.split(";")))


def _is_text(cookie: str) -> bool:
    try:
        len(RequestCookies({"HTTP_COOKIE": cookie}))
    except UnicodeDecodeError:
        return False
    return True


def _note_name(settings: Settings, note: Note) -> str:
    return f"tconnect_{note}_{site_hash(settings.site_url)}"


def _notice_name(settings: Settings) -> str:
    return f"tconnect_notice_{site_hash(settings.site_url)}"


def _cookie(settings: Settings, name: str, value: str | None, max_age: int | None) -> Headers:
    parts = urlsplit(settings.site_url)
    header = make_cookie(
        name,
        value,
        max_age=max_age,
        path=f"{parts.path}/" if parts.path else "/",
        secure=parts.scheme == "https",
        httponly=True,
        # Strict would lose the cookie on the way back from the other site (protocol 7.4).
        samesite="Lax",
    )
    return [("Set-Cookie", header)]
