"""The `tconnect` command, run on an ini file of a test."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from sqlalchemy import create_engine

from tconnect_pyramid.cli import main

SITE = """
[app:{app}]
use = egg:tconnect_pyramid
sqlalchemy.url = sqlite:///%(here)s/{app}.sqlite
tconnect.site_url = {url}
tconnect.site_name = {name}
tconnect.secret_keys = insecure-key-of-a-test-0123456789-{app}
tconnect.development = true
tconnect.network.private = 127.0.0.0/8
tconnect.network.allow_http = true
{more}
"""
PASSWORD = "blåbärspaj på fat"


def section(app="main", url="http://site.example", name="Test site", more=""):
    return SITE.format(app=app, url=url, name=name, more=more)


class Tconnect:
    """Runs commands on one ini file."""

    def __init__(self, ini):
        self.ini = str(ini)

    def __call__(self, *words, stdin=None, status=0):
        result = CliRunner().invoke(main, ["-c", self.ini, *map(str, words)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    def json(self, *words, stdin=None, status=0):
        result = self(*words, "--json", stdin=stdin, status=status)
        return json.loads(result.stdout)

    def change(self, *statements):
        """Change the database as nobody should."""
        path, _, app = self.ini.partition("#")
        engine = create_engine(f"sqlite:///{Path(path).parent}/{app or 'main'}.sqlite")
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)
        engine.dispose()


def as_typed(parameter):
    return " ".join(parameter) if isinstance(parameter, list | tuple) else str(parameter)
