"""The `tconnect` command on real ini files: what it does, what it refuses, what programs can rely on."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click
import pytest
from alembic import command
from click.testing import CliRunner
from PIL import Image
from pyramid.paster import get_app
from sqlalchemy import create_engine, text, update
from support import databases

from tconnect_pyramid import context_of, schema
from tconnect_pyramid.cli import main
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.models import Account, Client, ClientSession, Notice, SignIn

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


@pytest.fixture
def empty(tmp_path):
    """A site without tables."""
    ini = tmp_path / "site.ini"
    ini.write_text(section(), encoding="utf-8")
    return Tconnect(ini)


@pytest.fixture
def site(empty, tmp_path):
    shutil.copy(databases.sqlite_template(), tmp_path / "main.sqlite")
    databases.with_own_identity(f"sqlite:///{tmp_path}/main.sqlite")
    return empty


def as_typed(parameter):
    return " ".join(parameter) if isinstance(parameter, list | tuple) else str(parameter)


def leaves(node, words=()):
    if isinstance(node, click.Group):
        for name, child in node.commands.items():
            yield from leaves(child, (*words, name))
    else:
        yield words


def test_there_is_every_command_of_the_design():
    expected = """
        db upgrade, db check, demo seed, doctor, settings list, settings get, settings set, user list,
        user show, user add, user edit, user picture, user password, user suspend, user unsuspend,
        user delete, user admin, audience list, audience add, audience edit, audience delete,
        audience add-member, audience remove-member, group list, course list, course add, course edit,
        course delete, course enrol, course unenrol, position list, position add, position edit,
        position move, position delete, position add-framework, position edit-framework,
        position move-framework, position delete-framework, position list-types, position add-type,
        position delete-type, position add-field, position delete-field, organisation list,
        organisation add, organisation edit, organisation move, organisation delete,
        organisation add-framework, organisation edit-framework, organisation move-framework,
        organisation delete-framework, organisation list-types, organisation add-type,
        organisation delete-type, organisation add-field, organisation delete-field, job list, job add,
        job edit, job move, job delete, field list, field add, field edit,
        field move, field delete, auth list, auth enable,
        auth disable, auth move, auth install, auth uninstall, server enable, server disable, server status, server client list,
        server client add, server client rotate, client server rotate, server client edit, server client remove, client enable, client disable,
        client status, client connect, client server list, client server edit, client server leave,
        client sync, client explain, client run list, client run show, client run approve, client run reject, client run undo,
        client person sync, client person unlink, client person relink, session list, session end, schedule, outbox list, outbox retry, audit list
    """
    assert {" ".join(words) for words in leaves(main)} == set(re.split(r",\s+", expected.strip()))


@pytest.mark.parametrize("words", [(), *leaves(main)], ids=as_typed)
def test_help_needs_no_site(words):
    result = CliRunner().invoke(main, [*words, "--help"])

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert not words or "--json" in result.stdout


# --- which site ---------------------------------------------------------------------------------------


def test_without_a_site_there_is_nothing_to_do(monkeypatch):
    monkeypatch.delenv("TCONNECT_INI", raising=False)
    result = CliRunner().invoke(main, ["user", "list", "--json"])

    assert result.exit_code == 2
    assert "TCONNECT_INI" in json.loads(result.stdout)["error"]
    assert "Error: Which site?" in result.stderr


def test_the_site_may_be_named_by_the_environment(site, monkeypatch):
    monkeypatch.setenv("TCONNECT_INI", site.ini)
    result = CliRunner().invoke(main, ["settings", "get", "site_name"])

    assert (result.exit_code, result.stdout) == (0, "Test site\n")


def test_a_file_of_several_apps_wants_one_named(tmp_path):
    ini = tmp_path / "two.ini"
    ini.write_text(section("one") + section("other", "http://other.example"), encoding="utf-8")

    for wrong in (ini, f"{ini}#third"):
        refused = Tconnect(wrong)("settings", "list", status=2)
        assert f"{ini}#one, {ini}#other" in refused.stderr
    assert Tconnect(f"{ini}#other")("settings", "get", "site_url").stdout == "http://other.example\n"


def test_main_is_meant_where_no_app_is_named(tmp_path):
    ini = tmp_path / "two.ini"
    ini.write_text(section("other", "http://other.example") + section("main"), encoding="utf-8")

    assert Tconnect(ini)("settings", "get", "site_url").stdout == "http://site.example\n"


@pytest.mark.parametrize("content", ["", "no section", "[app:main\n", None])
def test_a_file_that_is_no_ini_file_is_refused(tmp_path, content):
    ini = tmp_path / "site.ini"
    if content is not None:
        ini.write_text(content, encoding="utf-8")

    assert str(ini) in Tconnect(ini)("settings", "list", status=2).stderr


def test_every_wrong_setting_is_named(tmp_path):
    ini = tmp_path / "site.ini"
    ini.write_text(section(more="tconnect.site_nam = x\ntconnect.request_timeout = soon"), encoding="utf-8")

    result = Tconnect(ini)("user", "list", status=1)

    assert "tconnect.site_nam" in result.stderr
    assert "tconnect.request_timeout" in result.stderr
    checks = Tconnect(ini).json("doctor", status=1)["checks"]
    assert [(check["name"], check["ok"]) for check in checks] == [("settings", False)] * 2


def test_an_application_that_does_not_exist_is_named(tmp_path):
    ini = tmp_path / "site.ini"
    ini.write_text(section().replace("egg:tconnect_pyramid", "call:no.such.module:main"), encoding="utf-8")

    assert "cannot be started" in Tconnect(ini)("user", "list", status=1).stderr


# --- taken into use -----------------------------------------------------------------------------------


def test_a_fresh_site_like_production_is_taken_into_use_by_two_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("TCONNECT_SECRET_KEY", os.urandom(32).hex())
    production = Path(__file__).parents[2] / "production.ini"
    ini = tmp_path / "production.ini"
    lines = production.read_text(encoding="utf-8").replace(
        "postgresql+psycopg:///tconnect", "sqlite:///%(here)s/main.sqlite"
    )
    ini.write_text(lines, encoding="utf-8")
    tconnect = Tconnect(ini)

    assert tconnect.json("db", "upgrade")["changed"]
    words = "user add eva --email eva@example.org --first-name Eva --last-name Ek --admin --password -"
    added = tconnect.json(*words.split(), stdin=f"{PASSWORD}\n")

    assert (added["username"], added["admin"], added["auth"]) == ("eva", True, "manual")
    assert tconnect.json("db", "check")["agree"]
    assert tconnect.json("doctor")["ok"] or "redis" in str(tconnect.json("doctor", status=1)["checks"])


def test_upgrading_twice_changes_nothing(empty):
    first = empty.json("db", "upgrade")
    before = empty.json("server", "status")["idnumber"]
    second = empty.json("db", "upgrade")

    assert (first["before"], first["changed"]) == (None, True)
    assert second == {"version": first["version"], "before": first["version"], "changed": False}
    assert empty.json("server", "status")["idnumber"] == before
    assert re.fullmatch(r"[0-9a-f]{40}", before)


def test_a_site_of_the_first_version_is_upgraded_and_keeps_its_people(empty, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/main.sqlite")
    with engine.begin() as connection:
        command.upgrade(schema.alembic_config(connection), "0001")
        connection.execute(text("INSERT INTO tconnect_account (username) VALUES ('maja')"))
    engine.dispose()

    assert "`tconnect db upgrade`" in empty("user", "list", status=1).stderr
    upgraded = empty.json("db", "upgrade")

    assert (upgraded["before"], upgraded["changed"]) == ("0001", True)
    assert [person["username"] for person in empty.json("user", "list")] == ["maja"]
    assert empty.json("db", "check")["agree"]


def test_without_tables_the_remedy_is_named(empty):
    for words in (
        ("user", "list"),
        ("server", "enable"),
        ("demo", "seed"),
        ("settings", "set", "server.enabled", "true"),
    ):
        result = empty(*words, status=1)
        assert "tconnect db upgrade" in result.stderr
        assert result.stdout == ""
    assert empty.json("db", "check", status=1) == {
        "agree": False,
        "version": None,
        "needed": schema.newest_version(),
        "differences": [],
    }
    checks = {check["name"]: check for check in empty.json("doctor", status=1)["checks"]}
    assert checks["database"]["remedy"] == "run `tconnect db upgrade`"


def test_a_table_changed_by_hand_is_found(site):
    assert site.json("db", "check")["agree"]
    site.change(text("ALTER TABLE tconnect_course ADD COLUMN by_hand INTEGER"))

    document = site.json("db", "check", status=1)

    assert document["version"] == document["needed"]
    assert "by_hand" in document["differences"][0]


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    ini = tmp_path / "site.ini"
    ini.write_text(section().replace("%(here)s/main.sqlite", f"{tmp_path}"), encoding="utf-8")

    assert "Error: The database: " in Tconnect(ini)("user", "list", status=1).stderr
    checks = {check["name"]: check["ok"] for check in Tconnect(ini).json("doctor", status=1)["checks"]}
    assert checks["database"] is False


# --- settings -----------------------------------------------------------------------------------------


def test_settings_are_shown_without_a_database(empty):
    rows = {row["name"]: row for row in empty.json("settings", "list")}

    assert rows["site_url"]["value"] == "http://site.example"
    assert rows["secret_keys"]["value"] == "(1 not shown)"
    assert (rows["server.enabled"]["value"], rows["server.enabled"]["source"]) == ("false", "default")


def test_an_option_is_set_and_taken_back(site):
    assert site.json("settings", "set", "session.timeout", "3600")["source"] == "database"
    assert site("settings", "get", "session.timeout").stdout == "3600\n"
    assert site.json("settings", "set", "session.timeout", "")["source"] == "default"
    assert site.json("audit", "list", "--limit", 1)[0]["detail"] == {"value": ""}


@pytest.mark.parametrize(
    ("name", "value", "status", "said"),
    [
        ("session.timeout", "many", 2, "expected a number"),
        ("session.timeuot", "60", 2, "did you mean session.timeout"),
        ("site_name", "Other", 2, "ini file"),
        ("session.timeout", "5", 2, "from 60"),
    ],
)
def test_an_option_that_cannot_be_set_says_why(site, name, value, status, said):
    assert said in site("settings", "set", name, value, status=status).stderr


def test_an_option_fixed_in_the_ini_stays(tmp_path, site):
    ini = tmp_path / "site.ini"
    ini.write_text(section(more="tconnect.server.enabled = true"), encoding="utf-8")

    assert site.json("settings", "get", "server.enabled")["source"] == "ini"
    assert "fixed" in site("server", "disable", status=1).stderr
    assert site.json("server", "status")["enabled"] is True


# --- people -------------------------------------------------------------------------------------------


def test_people_are_kept(site):
    added = site.json(
        *("user", "add", "åsa", "--email", "asa@example.org", "--first-name", "Åsa", "--last-name", "Öberg"),
        *("--idnumber", "E-1", "--no-password"),
    )
    assert added == {
        "id": 1,
        "username": "åsa",
        "auth": "manual",
        "deleted": False,
        "suspended": False,
        "admin": False,
        "email": "asa@example.org",
        "idnumber": "E-1",
        "firstname": "Åsa",
        "lastname": "Öberg",
        "server": None,
        "person_id": None,
    }
    edited = site.json("user", "edit", "asa@example.org", "city=Malmö", "idnumber=", "email=a=b@example.org")
    assert (edited["idnumber"], edited["email"]) == ("", "a=b@example.org")
    shown = site.json("user", "show", 1)
    assert (shown["city"], shown["username"]) == ("Malmö", "åsa")
    read = dict(
        line.split(maxsplit=1) for line in site("user", "show", 1).stdout.splitlines() if "  " in line
    )
    assert read["timecreated"].endswith(" UTC")
    assert read["lastlogin"] == "-"
    assert "password" not in shown
    assert site.json("user", "admin", "åsa", "on")["admin"] is True
    assert site.json("user", "admin", "åsa", "off")["admin"] is False
    assert site.json("user", "suspend", "åsa")["suspended"] is True
    assert site.json("user", "unsuspend", "åsa")["suspended"] is False
    assert site.json("user", "delete", "åsa")["deleted"] is True
    (row,) = site.json("user", "list")
    assert (row["id"], row["deleted"], row["email"]) == (1, True, "")
    assert [entry["action"] for entry in site.json("audit", "list")][::-1] == [
        "account.added",
        "account.edited",
        "account.admin_given",
        "account.admin_taken",
        "account.suspended",
        "account.unsuspended",
        "account.deleted",
    ]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["show", "nobody"], 2),
        (["add", "Åsa"], 2),
        (["add", "eva"], 1),
        (["add", "bo", "--email", "nowhere"], 2),
        (["add", "bo", "--password", "seen by all"], 2),
        (["add", "bo", "--password", "-", "--no-password"], 2),
        (["add"], 2),
        (["edit", "eva", "username=bo"], 2),
        (["edit", "eva", "firstname"], 2),
        (["edit", "eva"], 2),
        (["password", "eva"], 2),
        (["password", "nobody", "-"], 2),
        (["admin", "eva", "maybe"], 2),
        (["frobnicate"], 2),
        (["list", "--colour"], 2),
    ],
    ids=as_typed,
)
def test_what_is_refused_says_so_in_both_ways(site, words, status):
    site("user", "add", "eva", "--no-password")

    result = site("user", *words, "--json", status=status)

    assert json.loads(result.stdout)["error"]
    assert "Error: " in result.stderr
    assert len(site.json("user", "list")) == 1


def test_passwords_come_from_standard_input(site):
    result = site("user", "add", "eva", "--password", "-", stdin=f"{PASSWORD}\n")
    assert PASSWORD not in result.output

    assert site.json("user", "password", "eva", "-", stdin="something else\r\nignored")["username"] == "eva"
    for wrong in ("", "short\n", "å" * 40):
        refused = site("user", "password", "eva", "-", stdin=wrong, status=2)
        assert "password" in refused.stderr


def test_without_a_terminal_nobody_is_asked_for_a_password(site):
    result = site("user", "add", "eva", "--json", stdin="")

    assert json.loads(result.stdout)["username"] == "eva"
    assert "tconnect user password eva" in result.stderr


def terminal(ini, words, answers):
    """What a person sees who runs the command on a terminal and types `answers`, each at its prompt."""
    child, descriptor = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        program = "from tconnect_pyramid.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-W", "ignore", "-c", program, "-c", ini, *words])  # noqa: S606
    seen = b""
    typed = iter(answers)
    try:
        while piece := os.read(descriptor, 4096):
            seen += piece
            if piece.endswith(b": "):
                os.write(descriptor, f"{next(typed)}\n".encode())
    except OSError:
        pass  # the other end is closed
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def test_on_a_terminal_a_password_is_asked_for_unseen_and_tables_are_drawn(site):
    status, seen = terminal(site.ini, ["user", "add", "eva"], [PASSWORD, PASSWORD])
    assert status == 0
    assert PASSWORD not in seen

    status, seen = terminal(site.ini, ["user", "list"], [])
    assert status == 0
    assert "┃" in seen


def test_in_a_pipe_there_are_no_colours_and_nothing_is_cut(site):
    site("user", "add", "x" * 100, "--no-password", "--first-name", "Y" * 100)
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "40"}
    program = "from tconnect_pyramid.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "-c", site.ini, "user", "list"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )

    assert done.stdout.splitlines()[1].split("\t")[1:3] == ["x" * 100, "Y" * 100]
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_what_a_terminal_would_obey_is_not_shown(site):
    site("user", "add", "eva", "--no-password")
    name = "\x1b[2Jgone \u202ebackwards\x07"
    site.change(update(Account).values(firstname=name))

    for words in (("user", "list"), ("user", "show", "eva")):
        shown = site(*words).stdout
        assert "backwards" in shown
        assert not {"\x1b", "\u202e", "\x07"} & set(shown)
    assert site.json("user", "list")[0]["firstname"] == name


# --- audiences and courses ----------------------------------------------------------------------------


def test_audiences_are_kept(site):
    for name in ("ana", "bo"):
        site("user", "add", name, "--email", f"{name}@example.org", "--no-password")

    added = site.json("audience", "add", "Alla på kontoret", "--idnumber", "office")
    assert (added["id"], added["idnumber"], added["name"]) == (1, "office", "Alla på kontoret")
    changed = site.json("audience", "add-member", "office", "ana", "bo@example.org")
    assert changed["members"] == [1, 2]
    assert site.json("audience", "remove-member", 1, "ana")["members"] == [2]
    assert site.json("audience", "edit", "office", "name=Office")["name"] == "Office"
    (listed,) = site.json("audience", "list", "--members")
    assert {key: listed[key] for key in ("id", "idnumber", "name", "kind", "component", "members")} == {
        "id": 1,
        "idnumber": "office",
        "name": "Office",
        "kind": "cohort",
        "component": "",
        "members": [2],
    }
    assert "members" not in site.json("audience", "list")[0]
    assert "Office" in site("audience", "list").stdout
    assert site.json("audience", "delete", "office")["id"] == 1
    assert site.json("audience", "list") == []
    assert site.json("group", "list", "--members") == []


def test_courses_are_kept(site):
    site("user", "add", "ana", "--no-password")

    added = site.json("course", "add", "Första hjälpen", "--shortname", "aid", "--idnumber", "c-1")
    assert (added["id"], added["fullname"], added["shortname"]) == (1, "Första hjälpen", "aid")
    assert site.json("course", "enrol", "aid", "ana")["members"] == [1]
    assert site.json("course", "list", "--members")[0]["members"] == [1]
    assert site.json("course", "unenrol", "c-1", 1)["members"] == []
    assert site.json("course", "edit", "c-1", "summary=A <b>day</b>")["summary"] == "A <b>day</b>"
    assert site.json("course", "delete", "aid")["id"] == 1
    assert site.json("course", "list") == []


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["audience", "add-member", "office"], 2),
        (["audience", "add-member", "office", "nobody"], 2),
        (["audience", "add-member", "nowhere", "ana"], 2),
        (["audience", "add", "Again", "--idnumber", "office"], 1),
        (["audience", "edit", "office", "component=x"], 2),
        (["course", "enrol", "nowhere", "ana"], 2),
        (["course", "add", " "], 2),
    ],
    ids=as_typed,
)
def test_sets_refuse_what_they_cannot_hold(site, words, status):
    site("audience", "add", "Office", "--idnumber", "office")

    assert site.json(*words, status=status)["error"]


# --- positions, organisations, jobs, custom fields, pictures ---------------------------------------------


@pytest.mark.parametrize("noun", ["position", "organisation"])
def test_frameworks_trees_and_types_are_kept(site, noun):
    framework = site.json(noun, "add-framework", "Yrken", "--idnumber", "work")
    assert framework == {
        "id": 1,
        "server": None,
        "remote_id": None,
        "idnumber": "work",
        "fullname": "Yrken",
        "description": "",
        "sortorder": 1,
    }
    site(noun, "add-framework", "Other", "--idnumber", "other")
    assert site.json(noun, "move-framework", "other", 1)["sortorder"] == 1
    assert site.json(noun, "edit-framework", 1, "fullname=Arbete")["fullname"] == "Arbete"
    assert [row["idnumber"] for row in site.json(noun, "list", "--frameworks")] == ["other", "work"]
    assert site.json(noun, "add-type", "Grade", "--idnumber", "grade")["fields"] == []
    added = site.json(noun, "add-field", "grade", "since", "--name", "Since", "--datatype", "datetime")
    assert (added["shortname"], added["datatype"]) == ("since", "datetime")
    site(noun, "add-field", "grade", "level", "--datatype", "text")
    assert [field["shortname"] for field in site.json(noun, "list-types")[0]["fields"]] == ["since", "level"]
    assert "since (datetime)" in site(noun, "list-types").stdout

    boss = site.json(
        *(noun, "add", "Chef", "--framework", "work", "--idnumber", "boss", "--short-name", "C"),
        *("--type", "grade", "--field", "since=2024-05-31", "--field", "level=a=b"),
    )
    assert boss == {
        "id": 1,
        "server": None,
        "remote_id": None,
        "framework": 1,
        "parent": None,
        "idnumber": "boss",
        "fullname": "Chef",
        "shortname": "C",
        "description": "",
        "path": "/1",
        "depth": 1,
        "sortthread": "01",
        "type": "grade",
        "fields": {"since": "1717113600", "level": "a=b"},
    }
    below = site.json(noun, "add", "Under", "--parent", "boss")
    assert (below["framework"], below["parent"], below["depth"], below["path"]) == (1, 1, 2, "/1/2")
    assert site.json(noun, "edit", 2, "idnumber=u", "type=grade", "--field", "level=1")["fields"] == {
        "level": "1"
    }
    assert site.json(noun, "edit", "u", "--field", "level=")["fields"] == {}
    assert "Under" in site(noun, "list").stdout

    assert site.json(noun, "move", "u", "--parent", "none")["sortthread"] == "02"
    assert site.json(noun, "move", "u", "--before", "boss")["sortthread"] == "01"
    site(noun, "add", "Deep", "--parent", "boss", "--idnumber", "deep")
    beside = site.json(noun, "move", "u", "--before", "deep")
    assert (beside["parent"], beside["sortthread"]) == (1, "01.01")
    site(noun, "delete", "deep")
    site(noun, "move", "u", "--parent", "none")
    site(noun, "move", "boss", "--parent", "u")
    moved = site.json(noun, "move", "u", "--framework", "other")
    assert (moved["framework"], moved["parent"]) == (2, None)
    assert [(row["id"], row["framework"], row["depth"]) for row in site.json(noun, "list")] == [
        (2, 2, 1),
        (1, 2, 2),
    ]
    assert site.json(noun, "list", "--framework", "work") == []

    assert site.json(noun, "delete-field", "grade", "level")["shortname"] == "level"
    assert site.json(noun, "delete-type", "grade")["idnumber"] == "grade"
    assert {row["type"] for row in site.json(noun, "list")} == {None}
    assert site.json(noun, "delete", "u")["id"] == 2
    assert site.json(noun, "list") == []
    assert site.json(noun, "delete-framework", "other")["id"] == 2
    assert [row["idnumber"] for row in site.json(noun, "list", "--frameworks")] == ["work"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["add", "X"], 2, "--framework or --parent"),
        (["add", "X", "--framework", "nowhere"], 2, "nowhere"),
        (["add", "X", "--framework", "other", "--parent", "boss"], 2, "another framework"),
        (["add", "X", "--parent", "boss", "--field", "level=1"], 2, "level"),
        (["add", "X", "--parent", "boss", "--idnumber", "boss"], 1, "boss"),
        (["edit", "boss"], 2, "FIELD=VALUE"),
        (["edit", "boss", "colour=red"], 2, "colour"),
        (["move", "boss"], 2, "Say where to"),
        (["move", "boss", "--parent", "boss"], 2, "below"),
        (["move-framework", "work", "0"], 2, "x>=1"),
        (["delete", "nobody"], 2, "nobody"),
        (["list", "--frameworks", "--framework", "work"], 2, "contradict"),
        (["add-type", "T"], 2, "--idnumber"),
        (["add-field", "nowhere", "x", "--datatype", "text"], 2, "nowhere"),
        (["add-field", "grade", "x", "--datatype", "colour"], 2, "colour"),
        (["delete-field", "grade", "x"], 2, "no field"),
    ],
    ids=as_typed,
)
def test_trees_refuse_what_they_cannot_hold(site, words, status, said):
    site("position", "add-framework", "Work", "--idnumber", "work")
    site("position", "add-framework", "Other", "--idnumber", "other")
    site("position", "add-type", "Grade", "--idnumber", "grade")
    site("position", "add", "Boss", "--framework", "work", "--idnumber", "boss")

    assert said in site.json("position", *words, status=status)["error"]
    assert len(site.json("position", "list")) == 1


def test_jobs_are_kept(site):
    for name in ("ana", "bo"):
        site("user", "add", name, "--no-password")
    for noun in ("position", "organisation"):
        site(noun, "add-framework", "F", "--idnumber", "f")
        site(noun, "add", "Chef", "--framework", "f", "--idnumber", "chef")

    added = site.json(
        *("job", "add", "ana", "--idnumber", "j1", "--fullname", "Köket", "--short-name", "K"),
        *("--position", "chef", "--organisation", 1, "--start", "2024-05-31", "--end", "2025-05-31"),
    )
    assert added == {
        "id": 1,
        "account": 1,
        "server": None,
        "remote_id": None,
        "idnumber": "j1",
        "fullname": "Köket",
        "shortname": "K",
        "description": None,
        "position": 1,
        "organisation": 1,
        "startdate": 1717113600,
        "enddate": 1748649600,
        "sortorder": 1,
    }
    site("job", "add", "ana", "--idnumber", "j2")
    site("job", "add", "bo", "--idnumber", "j1")
    assert site.json("job", "move", "j2", 1)["sortorder"] == 1
    assert [(row["id"], row["sortorder"]) for row in site.json("job", "list", "ana")] == [(2, 1), (1, 2)]
    assert "2024-05-31 00:00:00" in site("job", "list").stdout

    assert "Several" in site.json("job", "edit", "j1", "fullname=X", status=2)["error"]
    edited = site.json("job", "edit", "j1", "--of", "ana", "fullname=", "position=none", "enddate=")
    assert (edited["fullname"], edited["position"], edited["organisation"]) == (None, None, 1)
    assert (edited["startdate"], edited["enddate"]) == (1717113600, None)
    assert site.json("job", "delete", "j1", "--of", "bo")["account"] == 2
    assert [row["id"] for row in site.json("job", "list")] == [2, 1]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["add", "ana"], 2),
        (["add", "nobody", "--idnumber", "x"], 2),
        (["add", "ana", "--idnumber", ""], 2),
        (["add", "ana", "--idnumber", "j1"], 1),
        (["add", "ana", "--idnumber", "x", "--position", "nowhere"], 2),
        (["add", "ana", "--idnumber", "x", "--start", "soon"], 2),
        (["add", "ana", "--idnumber", "x", "--start", "2025-01-01", "--end", "2024-01-01"], 2),
        (["edit", "j1", "sortorder=3"], 2),
        (["move", "j1", "0"], 2),
        (["delete", "nothing"], 2),
    ],
    ids=as_typed,
)
def test_jobs_refuse_what_they_cannot_hold(site, words, status):
    site("user", "add", "ana", "--no-password")
    site("job", "add", "ana", "--idnumber", "j1")

    assert site.json("job", *words, status=status)["error"]
    assert len(site.json("job", "list")) == 1


def test_custom_profile_fields_are_kept_and_filled(site):
    site("user", "add", "ana", "--no-password", "--first-name", "Ana")
    added = site.json(
        "field", "add", "food", "--name", "Mat", "--type", "menu", *("--choice", "å", "--choice", "ö")
    )
    assert added == {
        "id": 1,
        "shortname": "food",
        "name": "Mat",
        "datatype": "menu",
        "choices": ["å", "ö"],
        "sortorder": 1,
    }
    site("field", "add", "born", "--type", "date")
    assert [row["shortname"] for row in site.json("field", "list")] == ["food", "born"]

    edited = site.json(
        *("user", "edit", "ana", "profile_field_food=ö", "firstname=Anna", "profile_field_born=2000-01-01")
    )
    assert (edited["firstname"], edited["fields"]) == ("Anna", {"food": "ö", "born": "946684800"})
    assert site.json("user", "show", "ana")["fields"] == edited["fields"]
    assert site.json("user", "edit", "ana", "profile_field_food=")["fields"] == {"born": "946684800"}
    for wrong in ("profile_field_food=x", "profile_field_none=1", "profile_field_born=soon"):
        assert site.json("user", "edit", "ana", "firstname=Not", wrong, status=2)["error"]
    assert site.json("user", "show", "ana")["firstname"] == "Anna", "all or nothing"

    assert site.json("field", "delete", "born")["shortname"] == "born"
    assert site.json("user", "show", "ana")["fields"] == {}
    for wrong in (["add", "food", "--type", "text"], ["add", "x", "--type", "menu"], ["delete", "x"]):
        assert site.json("field", *wrong, status=1 if "food" in wrong else 2)["error"]


def test_a_picture_is_given_and_taken_away(site, tmp_path):
    site("user", "add", "ana", "--no-password")
    image, text_file = tmp_path / "wide.png", tmp_path / "notes.png"
    Image.new("RGB", (300, 200), "teal").save(image)
    text_file.write_text("no image", encoding="utf-8")

    given = site.json("user", "picture", "ana", image)
    assert given["pictures"] == ["f1.png", "f2.png", "f3.png"]
    assert given["picture"] > 0
    shown = site.json("user", "show", "ana")
    assert (shown["picture"], shown["pictures"]) == (given["picture"], given["pictures"])
    for wrong in (text_file, tmp_path / "missing.png", tmp_path):
        assert site.json("user", "picture", "ana", wrong, status=2)["error"]
    taken = site.json("user", "picture", "ana", "none")
    assert (taken["picture"], taken["pictures"]) == (0, [])


# --- sample people ------------------------------------------------------------------------------------


def test_sample_people_are_added_once(site):
    first = site.json("demo", "seed")
    lists = (
        *(("user", "list"), ("audience", "list", "--members"), ("course", "list", "--members")),
        *((noun, "list", *more) for noun in ("position", "organisation") for more in ((), ("--frameworks",))),
        *(("job", "list"), ("field", "list"), ("user", "show", first["user"])),
    )
    before = [site.json(*words) for words in lists]
    second = site.json("demo", "seed")

    assert (first["people"], first["audiences"], first["courses"]) == (21, 2, 3)
    named = ("people", "audiences", "courses", "positions", "organisations", "jobs", "fields", "pictures")
    assert [second[name] for name in named] == [0] * 8
    assert "Everything was there" in site("demo", "seed").stdout
    assert [site.json(*words) for words in lists] == before
    people, audiences, courses = before[:3]
    assert [len(people), len(audiences), len(courses)] == [21, 2, 3]
    assert [person["username"] for person in people if person["admin"]] == [first["administrator"]]
    assert first["user"] in {person["username"] for person in people}
    assert any(not person["lastname"].isascii() for person in people)
    assert all(audience["members"] for audience in audiences)
    assert all(course["members"] for course in courses)


def test_sample_people_have_all_that_people_can_have(site):
    seeded = site.json("demo", "seed")

    for noun in ("position", "organisation"):
        items = site.json(noun, "list")
        assert len(items) == seeded[f"{noun}s"]
        frameworks = [row["id"] for row in site.json(noun, "list", "--frameworks")]
        deepest = {
            each: max(row["depth"] for row in items if row["framework"] == each) for each in frameworks
        }
        assert list(deepest.values()) == [3, 3]
        assert any(row["fields"] for row in items)
        assert {row["type"] for row in items} == {None, site.json(noun, "list-types")[0]["idnumber"]}
    jobs = site.json("job", "list")
    assert len(jobs) == seeded["jobs"]
    assert len({job["account"] for job in jobs}) == 20 < len(jobs)
    assert all(job["position"] and job["organisation"] and job["startdate"] for job in jobs)
    fields = {field["datatype"]: field["shortname"] for field in site.json("field", "list")}
    assert set(fields) == {"checkbox", "date", "datetime", "menu", "text", "textarea"}
    shown = [site.json("user", "show", row["id"]) for row in site.json("user", "list")[1:4]]
    assert [set(person["fields"]) for person in shown] == [set(fields.values())] * 3
    assert [len(person["pictures"]) for person in shown] == [3, 0, 3]
    assert seeded["pictures"] == 10


def test_as_many_sample_people_as_wanted(site):
    assert site.json("demo", "seed", "--people", 0)["people"] == 1
    assert len(site.json("field", "list")) == 6
    assert site.json("job", "list") == site.json("position", "list") == []
    assert site.json("demo", "seed", "--people", 3)["people"] == 3
    assert site.json("demo", "seed", "--people", 45)["people"] == 42
    assert len({person["username"] for person in site.json("user", "list")}) == 46
    assert len({job["account"] for job in site.json("job", "list")}) == 45


def test_sample_people_are_for_development_only(site, tmp_path):
    ini = tmp_path / "site.ini"
    key = os.urandom(32).hex()
    lines = section().replace("development = true", "development = false")
    ini.write_text(re.sub(r"insecure-key\S+", key, lines), encoding="utf-8")

    assert "tconnect.development" in site.json("demo", "seed", status=1)["error"]
    assert site.json("user", "list") == []


# --- sign-ins, outbox, schedule -----------------------------------------------------------------------


def sign_in(site, *, account=1, browser="b", signin=1):
    site.change(
        SignIn.__table__.insert().values(
            id=signin, browser_hash=browser, account_key=account, timecreated=1, last_seen=2, end_reason=""
        )
    )


def test_sign_ins_are_shown_and_ended(site):
    for name in ("ana", "bo"):
        site("user", "add", name, "--no-password")
    for number, account in enumerate((1, 1, 2), 1):
        sign_in(site, account=account, browser=f"b{number}", signin=number)

    assert [row["username"] for row in site.json("session", "list")] == ["ana", "ana", "bo"]
    assert site.json("session", "list", "bo") == [
        {
            "id": 3,
            "account": 2,
            "username": "bo",
            "acted_by": None,
            "timecreated": 1,
            "last_seen": 2,
            "server": None,
            "clients": [],
        }
    ]
    site.change(update(SignIn).where(SignIn.id == 3).values(acted_by=1))
    assert site.json("session", "list", "bo")[0]["acted_by"] == 1
    assert "\tbo\tana\t" in site("session", "list").stdout
    assert site.json("session", "end", "--user", "ana", "--dry-run")["would_end"] == [1, 2]
    assert len(site.json("session", "list")) == 3
    assert site.json("session", "end", 3)["ended"] == [3]
    assert site.json("session", "end", "--user", "ana")["ended"] == [1, 2]
    assert site.json("session", "list") == []
    for words in (["3"], [], ["1", "--user", "ana"]):
        site("session", "end", *words, status=2)


@pytest.mark.parametrize(
    "way", [("session", "end", 1), ("user", "suspend", "ana"), ("user", "delete", "ana")]
)
def test_ending_a_sign_in_tells_the_clients(site, way):
    """The notice is tried at once; a client that cannot be reached leaves it to the sweep."""
    site("user", "add", "ana", "--no-password")
    sign_in(site)
    with_client(site)
    site.change(
        ClientSession.__table__.insert().values(
            token_hash="t",
            token=sealed(site, "f" * 40),
            client_id=1,
            signin_id=1,
            account_key=1,
            timecreated=1,
        )
    )

    site(*way)

    (notice,) = site.json("outbox", "list")
    assert (notice["role"], notice["service"], notice["attempts"]) == ("client", "kill_sso_user", 1)
    assert notice["peer"] == "c" * 40
    assert site.json("outbox", "retry", status=1) == {"retried": 1, "confirmed": 0, "failed": 1}


def sealed(site, value):
    opened = Site(site.ini)
    try:
        return opened.context().box.seal(value)
    finally:
        opened.close()


def with_client(site):
    """A client that nobody serves."""
    site.change(
        Client.__table__.insert().values(
            id=1,
            state="active",
            name="Gone",
            url=f"http://127.0.0.1:{free_port()}",
            idnumber="c" * 40,
            client_secret=sealed(site, "e" * 40),
            server_secret_hash="h",
            apiversion=2,
            clienttype="totaralms",
            timecreated=1,
            timemodified=1,
        )
    )


def test_the_doctor_finds_what_is_wrong_with_the_outbox_and_a_peer(site):
    assert site.json("doctor")["ok"]
    with_client(site)
    site.change(
        Notice.__table__.insert().values(
            role="client", peer_id=1, service="kill_sso_user", parameters=b"", timecreated=1, due=1
        )
    )

    report = site("doctor", status=1)
    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert "tconnect outbox retry" in checks["outbox"]["remedy"]
    assert "connect" in checks["client Gone"]["found"]
    assert checks["database"]["ok"]
    assert checks["clock"]["ok"]
    assert checks["accounts"]["ok"]
    assert checks["broker"]["ok"]
    assert "problem  client Gone" in report.stdout


def test_the_doctor_finds_that_people_are_sent_to_a_server_that_is_not_there(site):
    site("settings", "set", "client.auto_sign_in", 7)

    (check,) = [each for each in site.json("doctor")["checks"] if each["name"] == "client.auto_sign_in"]

    assert check["state"] == "warning"
    assert "server 7" in check["found"]
    site("settings", "set", "client.auto_sign_in", "")
    assert "auto_sign_in" not in site("doctor").stdout


def test_the_doctor_finds_a_broker_that_is_down(site, tmp_path):
    with (tmp_path / "site.ini").open("a", encoding="utf-8") as file:
        file.write(f"[celery]\nbroker_url = amqp://me:hidden@127.0.0.1:{free_port()}//\n")

    result = site("doctor", status=1)

    assert "problem  broker: " in result.stdout
    assert "hidden" not in result.stdout


def test_the_doctor_finds_a_schedule_that_cannot_be(site, tmp_path):
    with (tmp_path / "site.ini").open("a", encoding="utf-8") as file:
        file.write("[celerybeat:users]\ntask = tconnect.usres\n")

    checks = [check for check in site.json("doctor", status=1)["checks"] if not check["ok"]]

    assert {check["name"] for check in checks} == {"broker"}
    assert "did you mean tconnect.users" in checks[0]["found"]


def test_the_doctor_finds_a_clock_that_is_wrong(site, monkeypatch):
    # As seen from a site whose computer is an hour behind its database's.
    monkeypatch.setattr("time.time", lambda: 1.0)

    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert not checks["clock"]["ok"]


def test_the_doctor_finds_an_account_table_that_is_not_there(site):
    site.change(text("ALTER TABLE tconnect_account RENAME COLUMN city TO town"))

    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert "city" in checks["accounts"]["found"]
    assert checks["accounts"]["remedy"]


def test_the_schedule_is_that_of_the_ini(site, tmp_path):
    ini = tmp_path / "site.ini"
    with ini.open("a", encoding="utf-8") as file:
        file.write('[celerybeat:users]\ntype = crontab\nschedule = {"minute": "*/5"}\n')

    rows = {row["name"]: row for row in site.json("schedule")}

    assert rows["users"]["task"] == "tconnect.users"
    assert "*/5" in rows["users"]["when"]
    assert "outbox" in rows
    with ini.open("a", encoding="utf-8") as file:
        file.write("[celerybeat:frob]\ntask = tconnect.frob\n")
    assert "tconnect.frob" in site("schedule", status=1).stderr


# --- the roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_role_is_switched(site, role):
    assert site.json(role, "status")["enabled"] is False
    enabled = site.json(role, "enable")
    assert (enabled["enabled"], enabled["url"]) == (True, "http://site.example")
    assert "enabled" in site(role, "status").stdout
    assert site.json(role, "disable")["enabled"] is False


def test_a_client_without_a_server_cannot_synchronise(site):
    assert "not enabled" in site.json("client", "sync", status=1)["error"]
    assert "not enabled" in site.json("client", "connect", status=1)["error"]
    site("client", "enable")
    assert "no server" in site.json("client", "sync", status=1)["error"]
    assert site.json("client", "sync", "--server", 7, status=2)["error"]
    assert site.json("client", "sync", "everything", status=2)["error"]
    assert site.json("client", "sync", "handshake", "--dry-run", status=2)["error"]
    assert site.json("client", "server", "list") == []
    assert site.json("client", "run", "list") == []
    for action in ("show", "approve", "reject"):
        assert site.json("client", "run", action, 1, status=2)["error"]


def test_one_connection_request_is_open_at_a_time(site):
    site("client", "enable")
    first = site.json("client", "connect")

    assert first["client_url"] == "http://site.example"
    assert re.fullmatch(r"[0-9a-f]{40}", first["setup_secret"])
    assert site.json("client", "connect") == first
    assert site.json("client", "connect", "--cancel") == {"cancelled": True}
    assert site.json("client", "connect", "--cancel") == {"cancelled": False}
    assert site.json("client", "connect") != first


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = False
    block_on_close = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):  # noqa: A002 - the name is given
        pass


@contextmanager
def served(ini, app, port):
    wsgi_app = get_app(str(ini), app)
    httpd = make_server("127.0.0.1", port, wsgi_app, server_class=Threading, handler_class=Quiet)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
        context_of(wsgi_app.registry).database.engine.dispose()


@pytest.fixture
def pair(tmp_path):
    """A server with three people and a client, both served over HTTP: the commands of either."""
    ini = tmp_path / "pair.ini"
    ports = {app: free_port() for app in ("server", "client")}
    ini.write_text(
        "".join(section(app, f"http://127.0.0.1:{port}", f"The {app}") for app, port in ports.items()),
        encoding="utf-8",
    )
    with ExitStack() as stack:
        for app, port in ports.items():
            shutil.copy(databases.sqlite_template(), tmp_path / f"{app}.sqlite")
            databases.with_own_identity(f"sqlite:///{tmp_path}/{app}.sqlite")
            stack.enter_context(served(ini, app, port))
        server, client = Tconnect(f"{ini}#server"), Tconnect(f"{ini}#client")
        server("server", "enable")
        client("client", "enable")
        for name in ("ana", "bo", "cy"):
            server("user", "add", name, "--email", f"{name}@example.org", "--no-password")
        server("audience", "add", "Öst", "--idnumber", "east")
        server("audience", "add-member", "east", "ana", "bo")
        server("course", "add", "Safety", "--shortname", "safety")
        server("course", "enrol", "safety", "cy")
        yield server, client


def connect(server, client, *more):
    invitation = client.json("client", "connect")
    return server.json(
        *("server", "client", "add", "--name", "The client", "--url", invitation["client_url"]),
        *("--setup-secret", "-", *more),
        stdin=f"{invitation['setup_secret']}\n",
    )


def test_two_sites_are_connected_and_kept_in_step(pair):
    server, client = pair
    added = connect(server, client, "--audience", "east", "--course", "safety", "--comment", "é")
    assert (added["audiences"], added["courses"], added["comment"]) == ([1], [1], "é")
    assert (added["state"], added["restrict_to"], added["apiversion"]) == ("active", None, 2)
    idnumber = server.json("server", "status")["idnumber"]
    (row,) = client.json("client", "server", "list")
    assert (row["idnumber"], row["state"], row["name"]) == (idnumber, "active", "The server")
    assert client.json("client", "server", "edit", idnumber, "--comment", "ours")["comment"] == "ours"

    planned = client.json("client", "sync", "--dry-run")
    assert [(run["kind"], run["state"], run["run"]) for run in planned] == [
        ("positions", "planned", None),
        ("organisations", "planned", None),
        ("users", "planned", None),
        ("collections", "planned", None),
    ]
    assert [line["subject"] for line in planned[2]["lines"]] == ["ana", "bo", "cy"]
    assert "\ncreated\t2\t-\tbo\t\n" in client("client", "sync", "users", "--dry-run").stdout
    assert client.json("user", "list") == []

    done = client.json("client", "sync")
    assert "lines" not in done[0], "they are kept, for `run show`"
    assert [(run["kind"], run["server"], run["state"]) for run in done] == [
        ("handshake", idnumber, "done"),
        ("positions", idnumber, "done"),
        ("organisations", idnumber, "done"),
        ("users", idnumber, "done"),
        ("collections", idnumber, "done"),
    ]
    assert done[3]["counts"]["created"] == 3
    people = {person["person_id"]: person for person in client.json("user", "list")}
    assert people[1]["username"] == f"tc_1_{idnumber}"
    assert {person["server"] for person in people.values()} == {idnumber}
    sets = {each["name"]: each for each in client.json("audience", "list", "--members")}
    assert (sets["Öst"]["kind"], sets["Safety"]["kind"]) == ("cohort", "course")
    assert sets["Öst"]["members"] == [people[1]["id"], people[2]["id"]]
    assert sets["Safety"]["component"] == "auth_connect"
    assert "auth_connect" in client("audience", "delete", sets["Öst"]["id"], status=1).stderr

    again = client.json("client", "sync", "all", "--server", idnumber)
    assert [run["counts"]["unchanged"] for run in again[1:]] == [0, 0, 3, 2]
    assert "handshake" in client("client", "sync", "handshake").stdout
    (newest, *_) = client.json("client", "run", "list", "--limit", 1)
    assert newest["kind"] == "collections"
    shown = client.json("client", "run", "show", done[3]["run"])
    assert [line["action"] for line in shown["lines"]] == ["created"] * 3
    assert "created" in client("client", "run", "show", done[3]["run"]).stdout


def test_a_kind_that_is_switched_off_is_told_when_it_is_asked_for_and_passed_over_by_all(pair):
    server, client = pair
    connect(server, client)
    client("settings", "set", "client.sync_positions", "false")

    (told,) = client.json("client", "sync", "positions")

    assert (told["state"], told["run"]) == ("done", None)
    assert "client.sync_positions is off" in told["message"]
    assert "positions" not in {run["kind"] for run in client.json("client", "sync")}
    assert "client.sync_positions is off" in client("client", "sync", "positions").stderr
    assert "version" not in client("client", "sync").stderr


def test_what_a_client_is_sent_besides_people_is_chosen(pair):
    server, client = pair
    for noun in ("position", "organisation"):
        for framework in ("a", "b"):
            server(noun, "add-framework", framework, "--idnumber", framework)
            server(
                noun, "add", f"Item of {framework}", "--framework", framework, "--idnumber", f"i{framework}"
            )
    server("job", "add", "ana", "--idnumber", "j1", "--position", "ia", "--organisation", "ib")
    for site in pair:
        site("field", "add", "desk", "--type", "text")
    server("user", "edit", "ana", "profile_field_desk=12")

    added = connect(server, client, "--position-framework", "a", "--no-jobs", "--plugin-services")
    chosen = ("position_frameworks", "organisation_frameworks", "profile_fields", "jobs", "plugin_services")
    assert [added[name] for name in chosen] == [[1], [], True, False, True]
    assert [run["kind"] for run in client.json("client", "sync")] == [
        "handshake",
        "positions",
        "organisations",
        "users",
        "collections",
    ]
    assert [row["idnumber"] for row in client.json("position", "list")] == ["ia"]
    assert client.json("organisation", "list") == client.json("job", "list") == []
    assert client.json("user", "show", "ana@example.org")["fields"] == {"desk": "12"}

    edited = server.json(
        *("server", "client", "edit", 1, "--organisation-framework", "a", "--organisation-framework", "b"),
        *("--position-framework", "b", "--jobs", "--no-profile-fields", "--no-plugin-services"),
    )
    assert [edited[name] for name in chosen] == [[2], [1, 2], False, True, False]
    assert [server.json("server", "client", "edit", 1, "--comment", "x")[name] for name in chosen] == [
        edited[name] for name in chosen
    ]
    client("client", "sync")
    assert [row["idnumber"] for row in client.json("position", "list")] == ["ib"]
    assert [row["idnumber"] for row in client.json("organisation", "list")] == ["ia", "ib"]
    (job,) = client.json("job", "list")
    (item,) = (row["id"] for row in client.json("organisation", "list") if row["idnumber"] == "ib")
    assert (job["idnumber"], job["position"], job["organisation"]) == ("j1", None, item)
    assert "The server" in client.json("organisation", "delete", item, status=1)["error"]
    change = ("server", "client", "edit", 1, "--position-framework")
    assert "nowhere" in server.json(*change, "nowhere", status=2)["error"]
    assert server.json(*change, "none")["position_frameworks"] == []


def test_one_person_is_fetched(pair):
    server, client = pair
    connect(server, client)
    client("client", "sync")
    server("user", "edit", "bo", "firstname=Boris")

    assert client.json("client", "person", "sync", "bo@example.org")["firstname"] == "Boris"
    client("user", "add", "local", "--no-password")
    assert client.json("client", "person", "sync", "local", status=1)["error"]
    assert "The server" in client.json("user", "edit", "bo@example.org", "firstname=X", status=1)["error"]
    server("user", "delete", "bo")
    gone = client.json("client", "person", "sync", "bo@example.org")
    assert (gone["deleted"], gone["state"], gone["counts"]["deleted"]) == (True, "done", 1)
    assert client.json("client", "run", "show", gone["run"])["lines"] == gone["lines"]


def test_a_client_is_changed_and_removed(pair):
    server, client = pair
    connect(server, client, "--restrict-to", "east", "--add-new-audiences")

    assert server.json("audience", "add", "Later")["id"] == 2
    (listed,) = server.json("server", "client", "list")
    assert (listed["restrict_to"], listed["audiences"]) == (1, [2])
    edited = server.json(
        *("server", "client", "edit", listed["idnumber"], "--restrict-to", "none", "--audience", "none"),
        *("--course", "safety", "--name", "Renamed", "--no-add-new-audiences"),
    )
    assert (edited["restrict_to"], edited["audiences"], edited["courses"]) == (None, [], [1])
    assert (edited["name"], edited["add_new_audiences"], edited["url"]) == ("Renamed", False, listed["url"])
    client("client", "sync")
    assert all(check["ok"] for site in pair for check in site.json("doctor")["checks"])

    assert server.json("server", "client", "remove", 1, "--dry-run")["removed"] is False
    assert len(server.json("server", "client", "list")) == 1
    assert server.json("server", "client", "remove", 1)["state"] == "deleted"
    assert server.json("server", "client", "list") == []
    assert len(server.json("server", "client", "list", "--deleted")) == 1
    failed = client.json("client", "sync", status=1)
    assert {run["state"] for run in failed} == {"failed"}
    assert "not active" in client("client", "sync", "users", status=1).stderr
    checks = {check["name"]: check for check in client.json("doctor", status=1)["checks"]}
    assert "ended the connection" in checks["server The server"]["remedy"]


def test_the_secrets_of_a_connection_are_renewed_from_either_side(pair):
    server, client = pair
    idnumber = connect(server, client)["idnumber"]
    assert server.json("server", "client", "rotate", 1)["idnumber"] == idnumber
    assert client.json("client", "server", "rotate", 1)["name"] == "The server"
    client("client", "sync")
    assert all(check["ok"] for site in pair for check in site.json("doctor")["checks"])
    assert server.json("server", "client", "rotate", 9, status=2)["error"]
    assert client.json("client", "server", "rotate", 9, status=2)["error"]
    audited = [row["action"] for site in pair for row in site.json("audit", "list")]
    assert audited.count("client.secrets_renewed") == 2
    assert audited.count("client.server.secrets_renewed") == 1
    server("server", "client", "remove", 1)
    assert server.json("server", "client", "rotate", 1, status=1)["error"]
    assert "ended the connection" in client.json("client", "server", "rotate", 1, status=1)["error"]


def test_a_held_sync_waits_for_a_decision(pair):
    server, client = pair
    connect(server, client, "--restrict-to", "east")
    client("client", "sync")
    server("audience", "remove-member", "east", "ana", "bo")

    (held,) = client.json("client", "sync", "users", status=3)
    assert held["state"] == "held"
    assert not any(person["suspended"] for person in client.json("user", "list"))
    assert client.json("client", "run", "reject", held["run"])["state"] == "rejected"
    assert client.json("client", "run", "approve", held["run"], status=1)["error"]

    said = client("client", "sync", "users", status=3).stderr
    (held, *_) = client.json("client", "run", "list")
    assert f"`tconnect client run show {held['run']}`" in said
    assert client.json("client", "run", "approve", held["run"])["counts"]["suspended"] == 2
    assert [person["suspended"] for person in client.json("user", "list")] == [True, True]


def test_what_the_other_site_refuses_is_said(pair):
    server, client = pair
    invitation = client.json("client", "connect")
    add = ("server", "client", "add", "--name", "C", "--url", invitation["client_url"], "--setup-secret")

    assert "setup secret" in server.json(*add, "f" * 40, status=2)["error"]
    assert server.json(*add, "-", stdin="", status=2)["error"]
    assert server.json(*add, "f" * 40, "--audience", "nowhere", status=2)["error"]
    nobody = ("server", "client", "add", "--name", "C", "--url", f"http://127.0.0.1:{free_port()}")
    assert "refused" in server.json(*nobody, "--setup-secret", "f" * 40, status=1)["error"]
    assert server.json("server", "client", "list") == []
    connect(server, client)
    assert "already" in server.json(*add, "f" * 40, status=1)["error"]
    assert server.json("server", "client", "remove", 9, status=2)["error"]
