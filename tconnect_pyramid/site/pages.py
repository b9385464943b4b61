"""The pages of the site: a request in, one call of the rules, a page or a redirect out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.csrf import new_csrf_token
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client.authmethods import in_order
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.plugins import CONNECT, MANUAL
from tconnect_pyramid.security import sign_in, sign_in_links
from tconnect_pyramid.security.signins import act_as as begin_to_act_as
from tconnect_pyramid.security.signins import sign_out_everywhere
from tconnect_pyramid.site.forms import ActAsForm, LoginForm
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.views.profile_form import custom_labelled, labelled, read_profile, shown_jobs
from tconnect_pyramid.views.sso import waiting_client
from tconnect_pyramid.views.user_edit import edit_there, picture_path

Page = dict[str, Any]

NOTICES: Mapping[str, Text] = {
    "already-signed-in": _("You are logged in already."),
    "saved": _("Your profile is saved."),
    "profile-fetched": _("Your profile is as it is at the server of your account."),
    "profile-not-fetched": _(
        "Your profile could not be fetched from the server of your account. What you changed there will be here "
        "after the next synchronisation."
    ),
}
"""What a page says to somebody who was sent to it with `?notice=`."""

WRONG = _("The username or the password is wrong.")
"""Said whatever is wrong: which names exist and who is suspended is nobody's business."""

MOST_SITES = 10
"""Sites that the page after logging out names."""


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
    return _login_page(request, LoginForm.of_query(request))


def login(request: Request) -> Page | HTTPSeeOther:
    """Log in with name and password, and go on to where one wanted to go."""
    form = LoginForm.of(request)
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
    """Ask with a button: a mere link must log nobody out. Afterwards it says where one was logged out."""
    return {"page": "logout", "done": request.tconnect_notice if request.identity is None else None}


def logout(request: Request) -> HTTPSeeOther:
    """Log out here and, by the notices of the sign-in, everywhere."""
    headers, told = sign_out_everywhere(request)
    here = request.tconnect.settings.site_name
    points = [
        _("${site}: you are logged out.", site=here),
        *(_("${site}: you are logged out.", site=name) for name in told.confirmed),
        *(
            _("${site} cannot be reached right now. It is told as soon as it can be.", site=name)
            for name in told.waiting
        ),
    ]
    response = go(
        request, request.route_path("logout"), _("You are logged out."), points=points[: MOST_SITES + 1]
    )
    response.headers.extend(headers)
    return response


def profile(request: Request) -> Page:
    """Your profile, and where each part of it can be changed."""
    context = request.tconnect
    identity = request.identity
    account = people.get_person(request.dbsession, context, identity.key)
    shown = read_profile(request.dbsession, context, account)
    fields = labelled(shown, request.tconnect_words)
    custom = custom_labelled(shown, request.tconnect_words)
    return {
        "page": "profile",
        "notice": _notice(request),
        "username": account.username,
        "kept_by": shown.kept_by,
        "fullname": account.fullname,
        "picture": picture_path(request, shown),
        "owned": [
            *((label, value) for name, label, value in fields if name in shown.owned),
            *(custom if shown.owns_custom else ()),
        ],
        "own": [
            *((label, value) for name, label, value in fields if name not in shown.owned),
            *(() if shown.owns_custom else custom),
        ],
        "jobs": shown_jobs(request.dbsession, shown.jobs, request.tconnect_words),
        "edit_here": request.route_path("tconnect.server.user_edit", _query={"id": identity.key}),
        "edit_there": edit_there(request, shown),
    }


def act_as_form(request: Request) -> Page:
    """Ask an administrator whom they want to act as."""
    return _act_as_page(ActAsForm.of_query(request))


def act_as(request: Request) -> Page | HTTPSeeOther:
    """Let an administrator act as another person, until they go back to their own account."""
    form = ActAsForm.of(request)
    if not form.validate():
        return _act_as_page(form)
    context = request.tconnect
    try:
        with context.reading() as session:
            key = context.accounts.find(session, form.who.data).key
        headers = begin_to_act_as(request, key)
    except (NotFound, Conflict) as error:
        form.who.errors = [request.tconnect_words.said(error.text)]
        return _act_as_page(form)
    new_csrf_token(request)
    return HTTPSeeOther(request.route_path("home"), headers=headers)


def _notice(request: Request) -> Text | None:
    return NOTICES.get(request.GET.get("notice", ""))


def _wanted(request: Request, wanted: str) -> str:
    path = own_path(request.tconnect.settings.site_url, wanted)
    return path or str(request.route_path("home"))


def _login_page(request: Request, form: LoginForm, refused: str | None = None) -> Page:
    context = request.tconnect
    wanted = own_path(context.settings.site_url, form.next.data or "")
    form.next.data = wanted or ""
    links = sign_in_links(request, wanted or "")
    with context.reading() as session:
        options = context.options(session)
    offered = {MANUAL: options.auth_manual, CONNECT: bool(links)}
    return {
        "page": "login",
        "form": form,
        "refused": refused,
        "ways": [name for name in in_order(options) if offered[name]],
        "links": links,
        "waiting": waiting_client(request, wanted) if wanted else None,
    }


def _act_as_page(form: ActAsForm) -> Page:
    return {"page": "act_as", "form": form}
