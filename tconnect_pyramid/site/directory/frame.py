"""The frame of the directory's pages: that of *Site administration*, with templates of their own."""

from __future__ import annotations

from collections.abc import Mapping

from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.views.admin import pages

TEMPLATES = "tconnect_pyramid:templates/directory/"


def show(
    request: Request, template: str, current: str, values: Mapping[str, object], status: int = 200
) -> Response:
    """A page of the directory, see `views.admin.pages.show`."""
    return pages.show(request, template, current, values, status, folder=TEMPLATES)
