"""Totara Connect for Pyramid sites: log in once, be known everywhere, and people stay in step."""

from __future__ import annotations

from pyramid.config import Configurator

from tconnect_pyramid.wiring import context_of

__all__ = ["context_of", "includeme"]


def includeme(config: Configurator) -> None:
    """Make a Pyramid application a Totara Connect site: `config.include("tconnect_pyramid")`.

    It reads the `tconnect.*` settings (docs/settings.md) and offers the server and the client role,
    each switched on by an administrator. In order:

    - `wiring`: the directives a host may use (`set_tconnect_accounts`, `set_tconnect_dbsession`,
      `set_tconnect_login_route`, `set_tconnect_profile_route`, `set_tconnect_profile_fields`,
      `set_tconnect_layout`, `set_tconnect_acting_as`, `set_tconnect_transport`, `set_tconnect_clock`,
      `add_tconnect_service`) and `request.tconnect`, the site's `Context`;
    - `security`: sign-ins that can be ended; composes with the host's security policy, or with its
      authentication policy, whenever those are set;
    - `views`: every route of the protocol, and the automatic single sign-on of the login page.

    It sets no CSRF default, session factory, root factory or default permission.
    """
    config.include("pyramid_tm")
    config.include("pyramid_jinja2")
    config.include("tconnect_pyramid.wiring")
    config.include("tconnect_pyramid.security")
    config.include("tconnect_pyramid.views")
