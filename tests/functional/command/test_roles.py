"""The `tconnect` command: two sites are connected, kept in step and told apart."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack, contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from pyramid.paster import get_app
from support import databases
from support.commanded import Tconnect, section
from support.ports import free_port, free_ports

from tconnect_pyramid import context_of


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
    ports = dict(zip(("server", "client"), free_ports(2), strict=True))
    ini.write_text(
        "".join(section(app, f"http://127.0.0.1:{port}", f"The {app}") for app, port in ports.items()),
        encoding="utf-8",
    )
    with ExitStack() as stack:
        for app, port in ports.items():
            databases.copy_sqlite(tmp_path / f"{app}.sqlite")
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
