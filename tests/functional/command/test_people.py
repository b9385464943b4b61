"""The `tconnect` command: people, what they belong to, and sample people."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from sqlalchemy import update
from support.commanded import PASSWORD, as_typed, section

from tconnect_pyramid.models import Account


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
