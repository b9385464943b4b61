"""Editing a profile: here, for this site or on behalf of a client, and at the server that keeps it (protocol 7.8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.interfaces import IRoutesMapper
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.exc import IntegrityError

from tconnect_pyramid import people
from tconnect_pyramid.client import editing
from tconnect_pyramid.client.accounts import misfit
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.pictures import MOST_UPLOADED
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.errors import Conflict, InvalidInput
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.security.cookies import HOST_POLICY
from tconnect_pyramid.security.form_tokens import form_token
from tconnect_pyramid.security.signins import current_sign_in, ensure_signed_in
from tconnect_pyramid.server.signin import profile_return_url
from tconnect_pyramid.sessions import SignedIn
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views import plain
from tconnect_pyramid.views.custom_fields import form_name
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.policy import forms_lead_to
from tconnect_pyramid.views.profile_form import (
    GROUPS,
    Profile,
    ProfileForm,
    changes_of,
    custom_changes_of,
    custom_labelled,
    labelled,
    profile_form,
    read_profile,
)
from tconnect_pyramid.wiring import profile_fields

CARD = "tconnect.admin.people.card"
"""The route of the page of a person, which a site may have."""
PICTURE_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
NOT_STORED = _(
    "The accounts of this site could not take it. Perhaps somebody else has the same, such as an email address."
)


def user_edit(request: Request) -> Response:
    """The form of a person's own profile, and for administrators anybody's; back to the client it was opened for."""
    context = request.tconnect
    if request.registry[HOST_POLICY]:
        # A host has pages of its own for this, with rules of their own; ours is there for its clients.
        with context.reading() as session:
            if not context.options(session).server_enabled:
                return _nobody(request)
    signed_in = ensure_signed_in(request)
    if signed_in is None:
        return HTTPSeeOther(plain.login(request))
    who, headers = signed_in
    response = _edit(request, who)
    response.headers.extend(headers)
    return response


def client_user_edit(request: Request) -> Response:
    """Client: somebody wants to edit their own profile, which a server keeps."""
    signed_in = ensure_signed_in(request)
    if signed_in is None:
        return HTTPSeeOther(plain.login(request))
    who, headers = signed_in
    key = who.account.key
    context = request.tconnect
    with context.reading() as session:
        keeper = editing.keeper_of(session, context, key)
    # Whose profile it is must be said, and be said rightly: old links and those of others lead home.
    is_own = canonical_int(request.GET.get("userid", "")) == key
    if not is_own or keeper is None or not keeper.is_active:
        return HTTPSeeOther(plain.home(request), headers=headers)
    return HTTPSeeOther(editing.edit_url(keeper), headers=headers)


def user_edit_finish(request: Request) -> Response:
    """Client: somebody comes back from editing their profile at a server.

    Anybody's link can lead here, but all it does is to fetch the reader's own profile once more.
    """
    signed_in = ensure_signed_in(request)
    if signed_in is None:
        return HTTPSeeOther(plain.login(request))
    who, headers = signed_in
    was_fetched = editing.came_back(request.tconnect, who.account.key, request.GET)
    if was_fetched is None:
        return HTTPSeeOther(plain.home(request), headers=headers)
    notice = "profile-fetched" if was_fetched else "profile-not-fetched"
    return HTTPSeeOther(plain.profile(request, notice), headers=headers)


def edit_there(request: Request, profile: Profile) -> str | None:
    """The path by which somebody gets to editing their own profile at the server that keeps it; None without one."""
    if profile.keeper is None or not profile.keeper.is_active:
        return None
    path = request.route_path("tconnect.client.user_edit")
    return f"{path}?{urlencode({'userid': profile.account.key})}"


def picture_path(request: Request, profile: Profile) -> str | None:
    """The path of the picture of a profile; None where there is none."""
    if not profile.picture:
        return None
    number = {"rev": profile.picture}
    return str(request.route_path("tconnect.picture", key=profile.account.key, name="f1", _query=number))


def picture(request: Request) -> Response:
    """A file of somebody's picture (`f1`, `f2` or `f3`), for people who are signed in here."""
    if current_sign_in(request) is None and request.authenticated_userid is None:
        return plain.message(request, 403, _("Not allowed"), _("Log in to see the pictures of people."))
    key = as_id(request.matchdict["key"])
    context = request.tconnect
    with context.reading() as session:
        files = {} if key is None else pictures.files_of(session, [key]).get(key, {})
    for ending, kind in PICTURE_TYPES.items():
        content = files.get(f"{request.matchdict['name']}.{ending}")
        if content is not None:
            return Response(body=content, content_type=kind)
    return plain.message(request, 404, _("Page not found"), _("There is no picture at this address."))


def _edit(request: Request, who: SignedIn) -> Response:
    context = request.tconnect
    asked = request.GET.get("id", "")
    key = canonical_int(asked) if asked else who.account.key
    is_admin = who.account.admin
    if key != who.account.key and not is_admin:
        return plain.message(request, 403, _("Not allowed"), _("You may edit your own profile only."))
    with context.reading() as session:
        account = None if key is None else context.accounts.view(session, key)
        if account is None or account.deleted:
            return _nobody(request)
        profile = read_profile(session, context, account)
        client = request.GET.get("returnto", "").removeprefix(editing.RETURN_TO)
        back = profile_return_url(session, context, client, account.key)
    sent = request.POST if request.method == "POST" else None
    form = profile_form(
        profile, sent, words=request.tconnect_words, by_admin=is_admin, allowed=profile_fields(request)
    )
    refused = None
    if request.method == "POST" and form.validate():
        refused = _save(request, who, profile, form)
        if refused is None and not form.errors:
            return HTTPSeeOther(back) if back is not None else _saved(request, who, profile)
    return _page(request, who, profile, form, back=back, refused=refused)


def _save(request: Request, who: SignedIn, profile: Profile, form: ProfileForm) -> str | None:
    """Store what was changed; gives why not, or puts it to the field of the form."""
    context = request.tconnect
    changes = changes_of(profile, form, context.accounts.columns)
    actor = f"account:{who.account.key if who.acted_by is None else who.acted_by}"
    custom = custom_changes_of(profile, form)
    image = _image(form)
    key = profile.account.key
    too_much = misfit(context.accounts.columns, changes)
    if too_much is not None:
        return f"{too_much}."
    try:
        with context.unit() as session:
            people.edit_person(session, context, key, changes, actor=actor)
            for shortname, text in custom.items():
                people.set_profile_value(session, context, key, shortname, text, actor=actor)
            if image:
                people.set_picture(session, context, key, image, actor=actor)
            elif "remove_picture" in form and form.remove_picture.data:
                people.remove_picture(session, context, key, actor=actor)
    except InvalidInput as error:
        names = {each.shortname: form_name(each) for each in profile.custom if each.shortname in custom}
        said: str = request.tconnect_words.said(error.text).removeprefix(f"{error.field}: ")
        # A custom field may be called like one of ours; of the two, the one that was changed is meant.
        name = error.field if error.field in changes else names.get(error.field, error.field)
        if name not in form:
            return said
        form[name].errors = [said[:1].upper() + said[1:]]
    except Conflict as error:
        return error.text
    except IntegrityError:
        return NOT_STORED
    return None


def _image(form: ProfileForm) -> bytes:
    """The bytes of the file that was sent, one more than can be taken at most; none when there is no file."""
    sent = form.picture.data if "picture" in form else None
    file = getattr(sent, "file", None)
    return b"" if file is None else bytes(file.read(MOST_UPLOADED + 1))


def _page(
    request: Request,
    who: SignedIn,
    profile: Profile,
    form: ProfileForm,
    *,
    back: str | None,
    refused: str | None,
) -> Response:
    is_own = profile.account.key == who.account.key
    if back is not None:
        forms_lead_to(request, back)
    values: dict[str, Any] = {
        "title": _("Edit your profile")
        if is_own
        else _("Edit the profile of ${name}", name=profile.account.fullname),
        "form": form,
        "groups": [(title, [name for name in names if name in form]) for title, names in _groups(profile)],
        "owned": [
            *(
                (label, value)
                for name, label, value in labelled(profile, request.tconnect_words)
                if name in profile.owned
            ),
            *(custom_labelled(profile, request.tconnect_words) if profile.owns_custom else ()),
        ],
        "picture": picture_path(request, profile),
        "profile": profile,
        "refused": refused,
        "cancel_url": back or _after(request, who, profile),
        "action": request.path_qs,
        "form_token": form_token(request, who),
        "edit_there": edit_there(request, profile) if is_own else None,
    }
    return plain.page(request, "user_edit", values)


def _groups(profile: Profile) -> list[tuple[str, list[str]]]:
    return [
        *((title, list(names)) for title, names in GROUPS),
        (_("Further details"), [form_name(each) for each in profile.custom]),
    ]


def _saved(request: Request, who: SignedIn, profile: Profile) -> Response:
    if profile.account.key == who.account.key:
        return HTTPSeeOther(plain.profile(request, "saved"))
    return go(request, _after(request, who, profile), _("The profile is saved."))


def _after(request: Request, who: SignedIn, profile: Profile) -> str:
    """Where one goes from the form: to one's own profile, or to the page of the person, where there is one."""
    if profile.account.key == who.account.key:
        return plain.profile(request)
    if request.registry.getUtility(IRoutesMapper).get_route(CARD) is None:
        return plain.home(request)
    return str(request.route_path(CARD, id=profile.account.key))


def _nobody(request: Request) -> Response:
    return plain.message(request, 404, _("Page not found"), _("There is no profile at this address."))
