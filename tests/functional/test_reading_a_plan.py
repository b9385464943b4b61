"""What a sync would do, as a table, JSON and CSV; asking changes nothing."""

from __future__ import annotations

import csv
import io
import tracemalloc
from contextlib import redirect_stdout
from itertools import takewhile
from pathlib import Path

import pytest
from support import lists
from support.client_site import ANOTHER_HASH, DATABASES, HASH
from support.databases import maker
from support.lists import cohort, person, tombstone
from support.served import served_client

from tconnect_pyramid.cli.output import Answer, Csv, Rows, show
from tconnect_pyramid.models import AuditEntry, Lease, Notice, Run, RunLine

HEADER = ["kind", "server", "action", "remote_id", "account", "subject", "detail", "collection"]
EVERYTHING = (*lists.TABLES, Run, RunLine, Lease, AuditEntry, Notice)


@pytest.fixture(params=DATABASES)
def client(request, tmp_path):
    with maker(request.param, tmp_path) as make, served_client(make(), tmp_path) as made:
        yield made


@pytest.fixture
def sqlite_client(make_sqlite, tmp_path):
    with served_client(make_sqlite(), tmp_path) as made:
        yield made


def table(stdout: str, title: str) -> list[list[str]]:
    """The rows of the table below a title."""
    found = stdout.partition(f"{title}\n")[2].split("\n")
    assert found[0].split("\t") == ["What", "Id there", "Account", "Who", "Detail"]
    return [line.split("\t") for line in takewhile(lambda line: "\t" in line, found[1:])]


def test_the_plan_of_a_first_sync_says_what_becomes_of_local_accounts_and_changes_nothing(client):
    for name, value in (("migrate_accounts", "true"), ("account_mapping", "email")):
        client("settings", "set", f"client.{name}", value)
    client("settings", "set", "client.protected_accounts", "kept")
    anna = client.add("anna", email="anna@example.org", password=HASH)
    kept = client.add("kept", email="kept@example.org")
    root = client.add("root", email="root@example.org", admin=1)
    twins = [client.add(name, email="twins@example.org") for name in ("tim", "tom")]
    client.server.people = [
        person(3, email="anna@example.org", password=ANOTHER_HASH),
        person(4),
        person(5, email="kept@example.org"),
        person(6, email="root@example.org"),
        person(7, email="twins@example.org"),
        person(8, firstname="x" * 101),
    ]
    client.server.cohorts = [cohort(1, 3, 4)]
    before = lists.dump(client.context, EVERYTHING)

    shown = client("client", "sync", "--dry-run").stdout
    (*_, users, _sets) = client.json("client", "sync", "--dry-run")
    as_csv = client("client", "sync", "--dry-run", "--csv").stdout

    assert lists.dump(client.context, EVERYTHING) == before
    assert not before["tconnect_run"]
    by_person = {row[1]: row for row in table(shown, "users from Head office:")}
    assert by_person["3"][:4] == ["linked", "3", str(anna), "First3 Last3"]
    assert f"took over the local account anna (id {anna})" in by_person["3"][4]
    assert by_person["4"] == ["created", "4", "-", "First4 Last4", ""]
    for id_, names in ((5, f"kept (id {kept})"), (6, f"root (id {root})")):
        assert by_person[str(id_)][0] == "skipped"
        assert names in by_person[str(id_)][4]
    assert f"tim (id {twins[0]}), tom (id {twins[1]})" in by_person["7"][4]
    assert "firstname" in by_person["8"][4]
    waiting = "2 members have no account here yet, and join with it"
    assert table(shown, "collections from Head office:") == [
        ["created", "1", "-", "cohort Audience 1", waiting]
    ]
    assert {str(line["remote_id"]) for line in users["lines"]} == by_person.keys()
    assert (users["state"], users["run"], users["counts"]["created"]) == ("planned", None, 1)
    for output in (shown, str(users), as_csv):
        assert HASH not in output
        assert ANOTHER_HASH not in output


def test_the_plan_says_which_fields_change_from_what_to_what_and_who_goes(sqlite_client):
    client = sqlite_client
    client.server.people = [person(3, city="Old", password=HASH), person(4), person(5)]
    client("client", "sync", "users")
    client.server.people = [person(3, city="New", password=ANOTHER_HASH), tombstone(4)]
    before = lists.dump(client.context, EVERYTHING)

    shown = table(client("client", "sync", "users", "--dry-run").stdout, "users from Head office:")

    assert lists.dump(client.context, EVERYTHING) == before
    details = {row[1]: (row[0], row[4]) for row in shown}
    assert details["3"][0] == "updated"
    assert "city: 'Old' → 'New'" in details["3"][1]
    assert "password changed" in details["3"][1]
    assert details["4"] == ("deleted", "deleted on the server")
    assert details["5"] == ("suspended", "not in the server's list any more")


def test_the_plan_names_the_members_who_come_and_go(client):
    client.server.people = [person(id_) for id_ in range(3, 7)]
    client.server.cohorts = [cohort(1, 3, 4), cohort(2, 3)]
    client("client", "sync", "users")
    client("client", "sync", "collections")
    client.server.people[1]["lastname"] = "=Renamed"
    client("client", "sync", "users")
    client.server.cohorts = [cohort(1, 4, 5, 6, 99), cohort(2, 3), cohort(3, 4)]
    before = lists.dump(client.context, EVERYTHING)

    shown = table(
        client("client", "sync", "collections", "--dry-run").stdout, "collections from Head office:"
    )
    (plan,) = client.json("client", "sync", "collections", "--dry-run")
    _header, *rows = csv.reader(
        io.StringIO(client("client", "sync", "collections", "--dry-run", "--csv").stdout, newline="")
    )

    assert lists.dump(client.context, EVERYTHING) == before
    keys = {row["person_id"]: row["id"] for row in client.json("user", "list") if row["person_id"]}
    waiting = "1 member has no account here yet, and joins with it"
    expected = [
        ["updated", "1", "-", "cohort Audience 1", f"members: 2 added, 1 removed; {waiting}"],
        ["added", "5", str(keys[5]), "First5 Last5", "cohort Audience 1"],
        ["added", "6", str(keys[6]), "First6 Last6", "cohort Audience 1"],
        ["removed", "3", str(keys[3]), "First3 Last3", "cohort Audience 1"],
        ["created", "3", "-", "cohort Audience 3", "members: 1 added, 0 removed"],
        ["added", "4", str(keys[4]), "First4 =Renamed", "cohort Audience 3"],
    ]
    assert shown == expected
    assert [line["collection"] for line in plan["lines"]] == ["", *3 * ["cohort 1"], "", "cohort 3"]
    assert {name: plan["counts"][name] for name in ("created", "updated", "added", "removed")} == {
        "created": 1,
        "updated": 1,
        "added": 3,
        "removed": 1,
    }
    assert [row[-1] for row in rows] == [line["collection"] for line in plan["lines"]]
    assert [row[5] for row in rows] == [row[3] for row in expected]
    (done,) = client.json("client", "sync", "collections")
    assert client.json("client", "run", "show", done["run"])["lines"] == plan["lines"]


def test_csv_is_one_that_every_spreadsheet_reads(sqlite_client):
    client = sqlite_client
    names = {3: '=HYPERLINK("http://x")', 4: "+1", 5: "-1, 2", 6: "@SUM(1)", 7: "Ada"}
    client.server.people = [person(id_, firstname=name, lastname="") for id_, name in names.items()]

    result = client("client", "sync", "users", "--dry-run", "--csv")

    raw = result.stdout_bytes.decode()
    assert raw.count("\r\n") == raw.count("\n") == 6
    assert '"\'=HYPERLINK(""http://x"")"' in raw
    header, *rows = csv.reader(io.StringIO(raw, newline=""))
    assert header == HEADER
    assert rows == [
        ["users", "Head office", "created", str(id_), "", name if id_ == 7 else f"'{name}", "", ""]
        for id_, name in names.items()
    ]
    assert "planned" in result.stderr


def test_the_lines_of_a_run_come_as_csv_too(sqlite_client):
    client = sqlite_client
    client.server.people = [person(3), person(4, lastname="=Bo"), person(5, firstname="x" * 101)]
    (report,) = client.json("client", "sync", "users", status=1)

    header, *rows = csv.reader(
        io.StringIO(client("client", "run", "show", report["run"], "--csv").stdout, newline="")
    )

    kept = client.json("client", "run", "show", report["run"])["lines"]
    assert header == HEADER
    assert [row[2:4] for row in rows] == [[line["action"], str(line["remote_id"])] for line in kept]
    assert [bool(row[4]) for row in rows] == [line["account"] is not None for line in kept]
    assert {row[5] for row in rows} == {f"{'x' * 101} Last5", "First3 Last3", "First4 =Bo"}


def test_a_run_is_shown_with_what_its_server_is_called(sqlite_client):
    client = sqlite_client
    client.server.people = [person(3)]
    (done,) = client.json("client", "sync", "users")
    (server,) = client.json("client", "server", "list")

    assert f"server       {server['name']}\n" in client("client", "run", "show", done["run"]).stdout
    beside = client("client", "run", "show", done["run"], "--csv").stderr
    assert beside == f"users from {server['name']}: done: 1 created\n"


def test_csv_is_refused_where_there_are_no_lines(sqlite_client):
    before = lists.dump(sqlite_client.context, EVERYTHING)
    assert "--dry-run" in sqlite_client("client", "sync", "users", "--csv", status=2).stderr
    assert (
        "one of" in sqlite_client("client", "sync", "users", "--dry-run", "--csv", "--json", status=2).stderr
    )
    assert lists.dump(sqlite_client.context, EVERYTHING) == before
    assert sqlite_client.server.asked == []


def test_a_plan_that_would_be_held_is_shown_and_says_so(sqlite_client):
    client = sqlite_client
    client.server.people = [person(3)]
    client("client", "sync", "users")
    client.server.people = []

    for more in ([], ["--csv"]):
        result = client("client", "sync", "users", "--dry-run", *more, status=3)
        assert "suspended" in result.stdout
        assert "sent no people at all" in result.stderr
    assert len(client.json("client", "run", "list")) == 1


# --- what is printed, whoever prints it -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\tx", "' x"),
        ("\rx", "' x"),
        (" =1", "' =1"),
        ("\x1b\t=1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_no_cell_of_csv_is_a_formula(capsys, value, written):
    show(Answer(None, Csv(("a", "b"), [{"a": value, "b": "."}])), as_json=False)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out, newline=""))) == [["a", "b"], [written, "."]]


@pytest.mark.parametrize("kind", [Rows, Csv])
def test_as_many_lines_as_there_are_are_printed_in_little_memory(tmp_path: Path, kind):
    rows = ({"a": f"{number:0100}"} for number in range(100_000))
    shown = Csv(("a",), rows) if kind is Csv else Rows((("A", "a"),), rows, "none")
    with (tmp_path / "out").open("w+", encoding="utf-8") as out, redirect_stdout(out):
        tracemalloc.start()
        try:
            show(Answer(None, shown), as_json=False)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        out.seek(0)
        assert sum(1 for _ in out) == 100_001
    assert peak < 2_000_000
