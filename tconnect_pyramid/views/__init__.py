"""Every route of the add-on on one screen, and how its views are guarded."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.security import NO_PERMISSION_REQUIRED

from tconnect_pyramid.protocol import paths
from tconnect_pyramid.views import automatic, deriver, notices, policy, services, sso, user_edit, words


def includeme(config: Configurator) -> None:
    """Add the routes and views of both roles.

    Each view declares with `tconnect_view` what it is: a `service` that a peer calls (it answers
    JSend with status 200 whatever happens), a `page` that a browser is sent to (GET only), or a `form`
    (GET, and POST from one of our own pages). Those of `views.admin`, which a site includes by itself, are
    `admin`: forms for administrators, of whom some ask with `tconnect_recent` for a recent log-in.
    """
    config.include(words)
    config.include(notices)
    config.include(policy)
    config.include(deriver)
    config.include(automatic)
    config.add_static_view("tconnect-static", "tconnect_pyramid:static", cache_max_age=3600)

    # A host's default permission and CSRF default are for its own views.
    service = {"tconnect_view": "service", "require_csrf": False, "permission": NO_PERMISSION_REQUIRED}
    page = {"tconnect_view": "page", "permission": NO_PERMISSION_REQUIRED}
    # Our forms have tokens of our own: a host may have no session to keep one in.
    form = {"tconnect_view": "form", "require_csrf": False, "permission": NO_PERMISSION_REQUIRED}

    config.add_route("tconnect.server.sep", paths.SERVER_SEP)
    config.add_view(services.server_sep, route_name="tconnect.server.sep", **service)

    config.add_route("tconnect.server.sso_request", paths.SSO_REQUEST)
    config.add_view(sso.sso_request, route_name="tconnect.server.sso_request", **page)

    config.add_route("tconnect.server.user_edit", paths.USER_EDIT)
    config.add_view(user_edit.user_edit, route_name="tconnect.server.user_edit", **form)

    config.add_route("tconnect.picture", "/tconnect/picture/{key}/{name}")
    config.add_view(user_edit.picture, route_name="tconnect.picture", **page)

    config.add_route("tconnect.stop_acting", "/tconnect/stop-acting")
    config.add_view(sso.stop_acting, route_name="tconnect.stop_acting", request_method="POST", **form)

    config.add_route("tconnect.client.setup", paths.CLIENT_SETUP)
    config.add_view(services.client_setup, route_name="tconnect.client.setup", **service)

    config.add_route("tconnect.client.sep", paths.CLIENT_SEP)
    config.add_view(services.client_sep, route_name="tconnect.client.sep", **service)

    config.add_route("tconnect.client.sso_start", paths.SSO_START)
    config.add_view(sso.sso_start, route_name="tconnect.client.sso_start", **page)

    config.add_route("tconnect.client.sso_finish", paths.SSO_FINISH)
    config.add_view(sso.sso_finish, route_name="tconnect.client.sso_finish", **page)

    config.add_route("tconnect.client.user_edit", paths.CLIENT_USER_EDIT)
    config.add_view(user_edit.client_user_edit, route_name="tconnect.client.user_edit", **page)

    config.add_route("tconnect.client.user_edit_finish", paths.CLIENT_USER_EDIT_FINISH)
    config.add_view(user_edit.user_edit_finish, route_name="tconnect.client.user_edit_finish", **page)
