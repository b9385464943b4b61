"""What Pyramid makes of a site's settings, made once for all sites that have them.

Configuring the routes and views of the reference site takes a tenth of a second, and the tests start thousands of
sites: most in their own process, as `webapp.make_app` does, and one for each command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from unittest import mock

from pyramid.registry import Registry
from pyramid.router import Router

from tconnect_pyramid import site
from tconnect_pyramid.wiring import register_context

URL = "sqlalchemy.url"


@lru_cache(maxsize=32)
def _configured(**settings: str) -> Registry:
    config = site.configure(settings)
    config.commit()
    return config.registry


def start(settings, *, transport=None, clock=None) -> Router:
    """The reference site, as `site.main` starts it, or with another transport and clock.

    It has routes, views and templates together with others. It looks there for what it has not itself; its database
    and whatever else is in its context, and what is put into its registry, are its own and left to nobody.
    """
    shared = _configured(**{**settings, URL: "sqlite://" if settings.get(URL, "").strip() else ""})
    registry = Registry("test site", bases=(shared,))
    # Pyramid looks for views in the adapters of the site's own registry only.
    registry.adapters = shared.adapters
    registry.has_listeners = shared.has_listeners
    registry.update(shared)
    registry.settings = copy(shared.settings)
    registry.settings[URL] = settings[URL]
    directed = registry["tconnect.directed"] = copy(shared["tconnect.directed"])
    directed.transport, directed.clock = transport, clock
    register_context(registry)
    return Router(registry)


@contextmanager
def by_ini_files() -> Iterator[None]:
    """While the block runs, what is started from an ini file in this process is started by `start`, too."""
    with mock.patch.object(site, "main", lambda global_config, **settings: start(settings)):
        yield
