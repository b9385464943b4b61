"""The page of who belongs to something: a list, with people to be added or taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import AccountView
from tconnect_pyramid.directory.paging import Asked, Page
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import asked_of, listing, path
from tconnect_pyramid.views.admin.picking import fill
from tconnect_pyramid.views.forms import Attempt, PageForm, PickerField
from tconnect_pyramid.views.notices import go

Change = Callable[[Session, Sequence[int]], int]
"""A rule that adds people, or takes them out; gives how many."""


class MembersForm(PageForm):
    """Whom to add."""

    people = PickerField(_("Add people"), kind="person")


def members_page(
    request: Request,
    *,
    title: Text,
    current: str,
    page_of: Callable[[Session, Asked], Page[AccountView]],
    add: Change,
    remove: Change,
    kept_elsewhere: bool = False,
) -> Response:
    """Show who belongs to something, and do what was asked. `kept_elsewhere`: its server keeps it."""
    context = request.tconnect
    taken_out = as_id(request.POST.get("remove", "")) if request.method == "POST" else None
    form = MembersForm.of(request)
    attempt = Attempt(request, form)
    with attempt:
        if taken_out is not None:
            with context.unit() as session:
                remove(session, [taken_out])
            return go(request, request.path, _("One person was taken out."))
        if form.is_sent(request):
            with context.unit() as session:
                number = add(session, form.people.data)
            said = plural("${number} person was added.", "${number} people were added.", number)
            return go(request, request.path, said)
    asked = asked_of(request)
    with context.reading() as session:
        page = page_of(session, asked)
        fill(session, context, form)
    return show(
        request,
        "members",
        current,
        {
            "title": title,
            "list": listing(request, asked, page),
            "form": form,
            "refused": attempt.refused,
            "kept_elsewhere": kept_elsewhere,
            "back": path(request, current),
            "here": request.path,
        },
    )
