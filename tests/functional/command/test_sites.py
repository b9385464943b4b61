"""Which site the `tconnect` command is about, taking it into use, and its settings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import click
import pytest
from alembic import command
from click.testing import CliRunner
from sqlalchemy import create_engine, text
from support.commanded import PASSWORD, Tconnect, as_typed, section

from tconnect_pyramid import schema
from tconnect_pyramid.cli import main


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


def test_a_fresh_site_like_production_is_taken_into_use_by_two_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("TCONNECT_SECRET_KEY", os.urandom(32).hex())
    production = Path(__file__).parents[3] / "production.ini"
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
