"""What the pages of the add-on have in common: a message, the way home, the way to the login page."""

from __future__ import annotations

from urllib.parse import urlencode

from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.wiring import login_route, profile_route

TEMPLATES = "tconnect_pyramid:templates/tconnect/"


def home(request: Request) -> str:
    """The path of the site's home page."""
    return f"{request.script_name}/"


def profile(request: Request, notice: str = "") -> str:
    """The path of the page where people see their profile, else of the home page; `notice`: a word for it."""
    route = profile_route(request)
    path = home(request) if route is None else str(request.route_path(route))
    return f"{path}?{urlencode({'notice': notice})}" if notice else path


def login(request: Request) -> str:
    """The path of the login page, which leads back to this request. Raises ConfigurationProblem as `login_to`."""
    return login_to(request, request.path_qs)


def login_to(request: Request, wanted: str) -> str:
    """The path of the login page, which leads on to a path of ours.

    Raises ConfigurationProblem when the host has not named that page.
    """
    route = login_route(request)
    if route is None:
        raise ConfigurationProblem(
            [
                "Nobody can log in here for a client: name the login page by config.set_tconnect_login_route(name)."
            ]
        )
    return f"{request.route_path(route)}?{urlencode({'next': wanted})}"


def prove(request: Request) -> str:
    """The path of the page that asks an administrator who they are, which leads back to this page."""
    return f"{request.route_path('tconnect.admin.prove')}?{urlencode({'next': request.path_qs})}"


def message(request: Request, status: int, title: str, text: str) -> Response:
    """A plain page that says one thing."""
    return page(request, "message", {"title": title, "message": text, "home_url": home(request)}, status)


def page(request: Request, template: str, values: dict[str, object], status: int = 200) -> Response:
    """A page of ours, in the layout that the host has chosen."""
    response = render_to_response(f"{TEMPLATES}{template}.jinja2", values, request=request)
    response.status_int = status
    return response
