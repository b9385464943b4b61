"""What a server calls its people and things is text in a terminal, a pipe and JSON, and no command fails of it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from click.testing import CliRunner
from pyramid.paster import get_app
from support import databases, lists
from support.lists import ListingServer

from tconnect_pyramid import context_of
from tconnect_pyramid.cli import main
from tconnect_pyramid.client import servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import hierarchy_types, profiles
from tconnect_pyramid.directory.hierarchies import HIERARCHIES

SITE = """
[app:main]
use = egg:tconnect_pyramid
sqlalchemy.url = sqlite:///%(here)s/main.sqlite
tconnect.site_url = http://site.example
tconnect.site_name = Test site
tconnect.secret_keys = insecure-key-of-a-test-0123456789-main
tconnect.development = true
"""
# Clears the screen, sets the title, goes back a line, reorders letters; and the markup of the library of tables.
HARM = "\x1b[2J\x1b]0;x\x07\x9b1A\r\u202e\u2028[bold red]x[/][/nothing]\tA\n=1+1"
LATE = 2**63 - 1


@pytest.fixture(scope="module")
def ini(tmp_path_factory):
    """A client whose server has sent all of it."""
    folder = tmp_path_factory.mktemp("site")
    path = folder / "site.ini"
    path.write_text(SITE, encoding="utf-8")
    databases.copy_sqlite(folder / "main.sqlite")
    context = context_of(get_app(str(path)).registry)
    server = ListingServer()
    object.__setattr__(context, "transport", server)
    lists.connect(context)
    with context.unit() as session:
        servers.enable(session, context, on=True, actor="command")
        profiles.add_field(session, context, "when", name="When", datatype="date", actor="command")
        for hierarchy in HIERARCHIES.values():
            type_id = hierarchy_types.add_type(
                session, context, hierarchy, fullname="Type", idnumber="T", actor="command"
            ).id
            hierarchy_types.add_type_field(
                session,
                context,
                hierarchy,
                type_id,
                shortname="word",
                name="Word",
                datatype="text",
                actor="command",
            )
    for kind in ("positions", "organisations"):
        texts = {"idnumber": HARM, "fullname": HARM, "shortname": HARM, "description": HARM}
        server.frameworks[kind] = [lists.framework(1, kind=kind, **texts)]
        server.items[kind] = [
            lists.item(
                5,
                1,
                kind=kind,
                **texts,
                sortthread=HARM,
                typeidnumber="T",
                custom_fields=[lists.custom("word", HARM, value=HARM)],
            )
        ]
    job = lists.job(
        7,
        HARM,
        fullname=HARM,
        shortname=HARM,
        description=HARM,
        startdate=str(LATE),
        enddate=str(-LATE),
        positionid="5",
        organisationid="5",
    )
    server.people = [
        lists.person(
            3,
            **dict.fromkeys(
                ("firstname", "lastname", "email", "city", "address", "description", "skype"), HARM
            ),
            timezone=HARM,
            jobs=[job],
            profile_fields=[lists.field("when", str(LATE), "date")],
        ),
        lists.person(4, username=HARM, firstname="x" * 101),
    ]
    server.cohorts = [lists.cohort(1, 3, name=HARM, idnumber=HARM, description=HARM)]
    server.courses = [lists.course(1, 3, fullname=HARM, shortname=HARM, idnumber=HARM)]
    for kind in ("positions", "organisations", "users", "collections"):
        assert run_sync(context, kind, 1).state in {"done", "partial"}
    context.database.engine.dispose()
    return str(path)


COMMANDS = [
    "user list",
    "user show 1",
    "audience list",
    "job list",
    "job list 1",
    "position list",
    "position list-types",
    "organisation list",
    "organisation list-types",
    "field list",
    "client status",
    "client server list",
    "client run list",
    "client run show 1",
    "client run show 2",
    "client run show 3",
    "client run show 4",
    "audit list",
    "doctor",
]


def run(ini, words, *more):
    result = CliRunner().invoke(main, ["-c", ini, *words.split(), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("words", [*COMMANDS, "client run show 1 --csv", "client run show 3 --csv"])
def test_nothing_that_a_terminal_obeys_comes_out(ini, words):
    result = run(ini, words)
    assert result.exit_code != 2, result.output
    for line in result.output.split("\n"):
        assert line.replace("\t", "").isprintable(), line


@pytest.mark.parametrize("words", COMMANDS)
def test_json_is_json_and_nothing_that_a_terminal_obeys(ini, words):
    result = run(ini, words, "--json")
    json.loads(result.stdout)
    assert result.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", ["user list", "job list", "position list", "client run show 1"])
def test_a_table_on_a_terminal_takes_no_markup_and_no_orders_from_a_name(ini, words):
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        "from tconnect_pyramid.cli import main; main()",
        "-c",
        ini,
        *words.split(),
    ]
    environ = {**os.environ, "COLUMNS": "600", "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, env=environ) as process:
        os.close(theirs)
        shown = b""
        # The end of a terminal is an error.
        with suppress(OSError):
            while piece := os.read(ours, 10_000):
                shown += piece
        os.close(ours)
    assert process.returncode == 0
    assert b"[bold red]x[/][/nothing]" in shown
    for order in (b"\x1b[2J", b"\x1b]0;", b"\x07", "\x9b".encode(), "\u202e".encode()):
        assert order not in shown


def test_a_time_that_no_calendar_has_is_a_number(ini):
    shown = run(ini, "job list").stdout
    assert str(LATE) in shown
    assert str(-LATE) in shown
