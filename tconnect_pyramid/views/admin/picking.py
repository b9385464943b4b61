"""What can be chosen in forms, by its kind, and the page that the script of a form asks while one types."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.choices import CHOICES, MOST_IDS
from tconnect_pyramid.directory.paging import LONGEST_SEARCH
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.views.admin.pages import TEMPLATES
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import FOUND, PageForm, PickerField


def includeme(config: Configurator) -> None:
    """Add the page."""
    add_page(config, "pick", "/pick/{kind}", pick)


def fill(session: Session, context: Any, form: PageForm) -> None:
    """Look up the names of what the pickers of a form show; a few statements for each."""
    for field in form:
        if isinstance(field, PickerField):
            field.fill(session, context, CHOICES[field.kind])


def pick(request: Request) -> Response:
    """What has a text in it, as boxes to be ticked: a part of a page. What is in `but` is left out."""
    source = CHOICES.get(request.matchdict["kind"])
    if source is None:
        raise HTTPNotFound
    context = request.tconnect
    search = request.GET.get("search", "").strip()[:LONGEST_SEARCH]
    but = {as_id(value) for value in request.GET.getall("but")[:MOST_IDS]}
    with context.reading() as session:
        found = source.find(session, context, search, FOUND + min(len(but), FOUND)) if search else []
    left = [choice for choice in found if choice.id not in but][:FOUND]
    return render_to_response(
        f"{TEMPLATES}found.jinja2",
        {"name": request.GET.get("name", ""), "choices": left, "search": search},
        request=request,
    )
