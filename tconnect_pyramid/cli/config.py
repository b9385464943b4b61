"""Which site a command is about: the ini file, the app in it, and the site's context built from that."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import plaster
from pyramid.config import global_registries

from tconnect_pyramid import context_of, schema
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict, TConnectError
from tconnect_pyramid.tasks.config import APP_SECTION, MAIN

ENVIRONMENT = "TCONNECT_INI"


class CannotStart(TConnectError):
    """The application that the ini file names cannot be built."""


@dataclass(slots=True)
class Site:
    """The site named by `FILE.ini` or `FILE.ini#APP`; nothing is read before it is needed."""

    given: str | None
    _context: Context | None = None

    def uri(self) -> str:
        """The file with its app, as `FILE.ini#APP`.

        Raises click.UsageError when no file was given, or it does not exist, or does not say which of several
        apps is meant.
        """
        if not self.given:
            raise click.UsageError(
                f"Which site? Name its ini file: tconnect -c FILE.ini[#APP], or set {ENVIRONMENT}."
            )
        path, _, app = self.given.partition("#")
        if not Path(path).is_file():
            raise click.UsageError(f"There is no file {path}.")
        apps = _apps(path)
        if not app:
            app = apps[0] if len(apps) == 1 else MAIN
        if app not in apps:
            known = ", ".join(f"{path}#{each}" for each in apps) or "none"
            raise click.UsageError(f"Which app of {path}? Name one of these: {known}")
        return f"{path}#{app}"

    def context(self) -> Context:
        """The context of the application, built once; the database is not looked at.

        Raises click.UsageError as `uri`, ConfigurationProblem for what is wrong with the settings, and
        CannotStart when the application cannot be built for another reason.
        """
        if self._context is None:
            self._context = _build(self.uri())
        return self._context

    def migrated(self) -> Context:
        """The context, with the tables of this version in its database. Raises Conflict without them."""
        context = self.context()
        version, needed = schema.current_version(context.database.engine), schema.newest_version()
        if version != needed:
            raise Conflict(
                f"The database has {'no tables' if version is None else f'the tables of version {version}'}, and "
                f"version {needed} is needed: run `tconnect db upgrade`."
            )
        return context

    def close(self) -> None:
        """Give the connections of the database back."""
        if self._context is not None:
            self._context.database.engine.dispose()


@cache
def _loader(path: str) -> Any:
    """What reads the ini file, anew for each question; finding it goes through all packages that are installed."""
    return plaster.get_loader(path, protocols=["wsgi"])


def _apps(path: str) -> list[str]:
    try:
        sections = _loader(str(Path(path).absolute())).get_sections()
    except (plaster.PlasterError, OSError, configparser.Error) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from None
    found = (APP_SECTION.fullmatch(name) for name in sections)
    return [match["app"] for match in found if match]


def _build(uri: str) -> Context:
    path, _, app = uri.partition("#")
    try:
        wsgi_app = _loader(str(Path(path).absolute())).get_wsgi_app(app)
    except Exception as error:
        # Pyramid wraps what an action of the configuration raises.
        problem = getattr(error, "evalue", error)
        if isinstance(problem, TConnectError):
            raise problem from None
        # Whatever a host's own code raises: the administrator is told which site, not shown our insides.
        raise CannotStart(f"The site {uri} cannot be started: {type(problem).__name__}: {problem}") from error
    # What lies around a Pyramid application, such as a filter, does not show its registry.
    return context_of(getattr(wsgi_app, "registry", None) or global_registries.last)
