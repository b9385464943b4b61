"""The pages of the site: a request in, one call of the rules, a page or a redirect out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.csrf import new_csrf_token
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request

from tconnect_pyramid import people, sessions
from tconnect_pyramid.errors import Conflict, InvalidInput
from tconnect_pyramid.security import sign_in, sign_in_links, sign_out
from tconnect_pyramid.site.forms import LoginForm, ProfileForm, profile_form, shown
from tconnect_pyramid.site.prose import to_html, to_text
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.views.sso import waiting_client

Page = dict[str, Any]

NOTICES: Mapping[str, str] = {
    "already-signed-in": "You are logged in already.",
    "logged-out": "You are logged out.",
    "saved": "Your profile is saved.",
}
"""What a page says to somebody who was sent to it with `?notice=`."""

WRONG = "The username or the password is wrong."
"""Said whatever is wrong: which names exist and who is suspended is nobody's business."""


def home(request: Request) -> Page:
    """Who you are and from where, or how to log in."""
    identity = request.identity
    if identity is None:
        return {"page": "home", "notice": _notice(request), "links": sign_in_links(request)}
    return {
        "page": "home",
        "notice": _notice(request),
        "origin": sessions.origin(request.dbsession, identity.signin_id),
    }


def login_form(request: Request) -> Page | HTTPSeeOther:
    """The login page; whoever is logged in goes on at once."""
    if request.identity is not None:
        return HTTPSeeOther(_wanted(request, request.GET.get("next", "")))
    return _login_page(request, LoginForm(request.GET))


def login(request: Request) -> Page | HTTPSeeOther:
    """Log in with name and password, and go on to where one wanted to go."""
    form = LoginForm(request.POST)
    if not form.validate():
        return _login_page(request, form)
    # Not the request's session: `sign_in` writes in a unit of its own, which must not wait for this one.
    with request.tconnect.reading() as session:
        account = people.authenticate(session, request.tconnect, form.username.data, form.password.data)
    if account is None:
        return _login_page(request, form, refused=WRONG)
    headers = sign_in(request, account.key)
    # What somebody else may have planted in this browser before is worth nothing from here on.
    new_csrf_token(request)
    return HTTPSeeOther(_wanted(request, form.next.data or ""), headers=headers)


def logout_form(request: Request) -> Page:
    """Ask with a button: a mere link must log nobody out."""
    del request
    return {"page": "logout"}


def logout(request: Request) -> HTTPSeeOther:
    """Log out here and, by the notices of the sign-in, everywhere."""
    headers = sign_out(request)
    return HTTPSeeOther(request.route_path("home", _query={"notice": "logged-out"}), headers=headers)


def profile(request: Request) -> Page:
    """Your profile, ready to be edited."""
    stored = _stored(request)
    return _profile_page(request, profile_form(stored), stored)


def save_profile(request: Request) -> Page | HTTPSeeOther:
    """Store what was changed."""
    stored = _stored(request)
    form = profile_form(stored, request.POST)
    for name in _owned(request):
        # Not in the form, so not in what was sent either.
        form[name].data = stored[name]
        form[name].validators = ()
    if not form.validate():
        return _profile_page(request, form, stored)
    changes = {name: value for name, value in form.data.items() if value != stored[name]}
    if "description" in changes:
        changes["description"] = to_html(changes["description"])
    key = request.identity.key
    try:
        people.edit_person(request.dbsession, request.tconnect, key, changes, actor=f"account:{key}")
    except InvalidInput as error:
        request.tm.doom()
        said = str(error).removeprefix(f"{error.field}: ")
        form[error.field].errors = [said[:1].upper() + said[1:]]
        return _profile_page(request, form, stored)
    except Conflict as error:
        request.tm.doom()
        return _profile_page(request, form, stored, refused=str(error))
    return HTTPSeeOther(request.route_path("profile", _query={"notice": "saved"}))


def _notice(request: Request) -> str | None:
    return NOTICES.get(request.GET.get("notice", ""))


def _wanted(request: Request, wanted: str) -> str:
    path = own_path(request.tconnect.settings.site_url, wanted)
    return path or str(request.route_path("home"))


def _login_page(request: Request, form: LoginForm, refused: str | None = None) -> Page:
    wanted = own_path(request.tconnect.settings.site_url, form.next.data or "")
    form.next.data = wanted or ""
    return {
        "page": "login",
        "form": form,
        "refused": refused,
        "links": sign_in_links(request, wanted or ""),
        "waiting": waiting_client(request, wanted) if wanted else None,
    }


def _stored(request: Request) -> dict[str, str]:
    names = [field.name for field in ProfileForm()]
    key = request.identity.key
    row = request.tconnect.accounts.fetch(request.dbsession, [key], names)[key]
    return {**{name: row[name] or "" for name in names}, "description": to_text(row["description"] or "")}


def _owned(request: Request) -> list[str]:
    """List the fields that are the server's to change."""
    if request.identity.auth != people.CONNECT:
        return []
    return [field.name for field in ProfileForm() if field.name not in people.LEFT_ALONE_BY_SYNCS]


def _profile_page(
    request: Request, form: ProfileForm, stored: Mapping[str, str], refused: str | None = None
) -> Page:
    return {
        "page": "profile",
        "notice": _notice(request),
        "form": form,
        "refused": refused,
        "owned": _owned(request),
        "shown": {name: shown(form, name, value) for name, value in stored.items()},
        "kept_by": _kept_by(request),
    }


def _kept_by(request: Request) -> str | None:
    """Name the server that a connect account is kept by; None for a local account."""
    if request.identity.auth != people.CONNECT:
        return None
    return sessions.origin(request.dbsession, request.identity.signin_id) or "the server of your account"
