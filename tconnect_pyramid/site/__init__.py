"""The reference site: accounts of its own, a login page, a profile page; the rest is the add-on.

It is what `development.ini` and `production.ini` run, and an example of a host. Wiring only: every
route, page and default of the site stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.csrf import CookieCSRFStoragePolicy
from pyramid.events import NewRequest
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken, URLDecodeError
from pyramid.httpexceptions import HTTPClientError
from pyramid.request import Request
from pyramid.router import Router
from sqlalchemy.orm import Session

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.security.cookies import site_hash
from tconnect_pyramid.security.permissions import ADMIN, PROFILE
from tconnect_pyramid.settings import Settings, read_settings
from tconnect_pyramid.site import headers, languages, pages, refusals

TEMPLATES = "tconnect_pyramid:templates/site/"


def main(global_config: Mapping[str, str], **settings: str) -> Router:
    """The WSGI application of an app section: `use = egg:tconnect_pyramid` (`paste.app_factory`).

    Takes `sqlalchemy.url` and the `tconnect.*` settings. Raises ConfigurationProblem with all that is
    wrong with them. Reads nothing from the database.
    """
    del global_config
    return configure(settings).make_wsgi_app()


def configure(settings: Mapping[str, str]) -> Configurator:
    """Everything of the site but the application itself, so that a test can replace the surroundings."""
    read = _checked(settings)
    config = Configurator(settings={**_defaults(), **settings})
    config.include("tconnect_pyramid")
    config.include("tconnect_pyramid.views.admin", route_prefix="admin")
    config.include("tconnect_pyramid.site.directory", route_prefix="admin")
    config.set_tconnect_login_route("login")
    config.set_tconnect_profile_route("profile")
    config.set_tconnect_layout(f"{TEMPLATES}layout.jinja2")
    config.set_locale_negotiator(languages.negotiate)
    config.add_request_method(_dbsession, "dbsession", reify=True)
    _protect(config, read)
    _routes(config)
    return config


def _checked(settings: Mapping[str, str]) -> Settings:
    """Report the missing database together with everything else, and not wrapped up by Pyramid."""
    problems: list[str] = []
    if not settings.get("sqlalchemy.url", "").strip():
        problems.append(
            "sqlalchemy.url: is missing; expected the address of a database, for example "
            "sqlite:///%(here)s/var/site.sqlite"
        )
    try:
        read = read_settings(settings)
    except ConfigurationProblem as problem:
        raise ConfigurationProblem([*problems, *problem.problems]) from None
    if problems:
        raise ConfigurationProblem(problems)
    return read


def _defaults() -> dict[str, str]:
    return {
        "tm.manager_hook": "pyramid_tm.explicit_manager",
        # Who asks would be looked up for every style sheet.
        "tm.annotate_user": "false",
        "jinja2.undefined": "strict",
        "jinja2.trim_blocks": "true",
        "jinja2.lstrip_blocks": "true",
    }


def _protect(config: Configurator, settings: Settings) -> None:
    address = urlsplit(settings.site_url)
    config.set_default_csrf_options(require_csrf=True)
    config.set_csrf_storage_policy(
        CookieCSRFStoragePolicy(
            # Cookies know no ports: two sites of one host must not share one.
            cookie_name=f"csrf_{site_hash(settings.site_url)}",
            path=f"{address.path}/",
            secure=address.scheme == "https",
            httponly=True,
            samesite="Lax",
        )
    )
    config.add_view_deriver(headers.readable_form, "readable_form", over="csrf_view", under="secured_view")
    config.add_subscriber(headers.readable_cookies, NewRequest)
    config.add_subscriber(headers.protect, "pyramid.events.NewResponse")
    if address.path:
        config.add_subscriber(_put_under(address.path), NewRequest)


def _routes(config: Configurator) -> None:
    config.add_route("home", "/")
    config.add_view(pages.home, route_name="home", renderer=f"{TEMPLATES}home.jinja2")

    config.add_route("login", "/login")
    config.add_view(pages.login_form, route_name="login", renderer=f"{TEMPLATES}login.jinja2")
    config.add_view(
        pages.login, route_name="login", request_method="POST", renderer=f"{TEMPLATES}login.jinja2"
    )

    config.add_route("logout", "/logout")
    config.add_view(pages.logout_form, route_name="logout", renderer=f"{TEMPLATES}logout.jinja2")
    config.add_view(pages.logout, route_name="logout", request_method="POST")

    config.add_route("profile", "/profile")
    config.add_view(
        pages.profile, route_name="profile", permission=PROFILE, renderer=f"{TEMPLATES}profile.jinja2"
    )

    config.add_route("act_as", "/admin/act-as")
    act_as: dict[str, Any] = {
        "route_name": "act_as",
        "permission": ADMIN,
        "renderer": f"{TEMPLATES}act_as.jinja2",
    }
    config.add_view(pages.act_as_form, **act_as)
    config.add_view(pages.act_as, request_method="POST", **act_as)

    message = f"{TEMPLATES}message.jinja2"
    config.add_notfound_view(refusals.not_found, renderer=message)
    config.add_forbidden_view(refusals.forbidden, renderer=message)
    config.add_exception_view(refusals.forged, context=BadCSRFToken, renderer=message)
    config.add_exception_view(refusals.forged, context=BadCSRFOrigin, renderer=message)
    config.add_exception_view(refusals.client_error, context=HTTPClientError, renderer=message)
    config.add_exception_view(refusals.unreadable, context=URLDecodeError, renderer=message)
    config.add_exception_view(refusals.broken, context=Exception, renderer=message)


def _dbsession(request: Request) -> Session:
    """Give the session of this request, which lives and dies with its transaction."""
    session: Session = request.tconnect.database.joined(
        request.tm, writes=request.method not in {"GET", "HEAD"}
    )
    return session


def _put_under(prefix: str) -> Any:
    """Give a subscriber that makes every address begin with the path of the site.

    A web server in front may pass that path on or keep it to itself; the pages must carry it either way.
    """

    def put(event: NewRequest) -> None:
        # Not by the request's own properties: these decode, and an address may be anything.
        environ = event.request.environ
        if environ["SCRIPT_NAME"]:
            return
        environ["SCRIPT_NAME"] = prefix
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path.removeprefix(prefix)

    return put
