"""How a page of administrators is added: declared as such, so that the deriver lets nobody else in."""

from __future__ import annotations

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED


def add_page(
    config: Configurator,
    name: str,
    pattern: str,
    view: Callable[[Request], Response],
    *,
    recent: bool = False,
) -> None:
    """Add the page `tconnect.admin.NAME`, which answers GET and POST.

    `recent`: it does what cannot be undone, and asks for a recent log-in. Our forms have tokens of our own.
    """
    route = f"tconnect.admin.{name}"
    # An empty pattern is the prefix itself, without a slash behind it.
    config.add_route(route, pattern, inherit_slash=pattern == "" or None)
    config.add_view(
        view,
        route_name=route,
        tconnect_view="admin",
        tconnect_recent=recent,
        require_csrf=False,
        # Asked by the deriver, which knows sign-ins of a host's means too.
        permission=NO_PERMISSION_REQUIRED,
    )
