"""`tconnect client person`: of a server that answers over HTTP, with its exit statuses and JSON."""

from __future__ import annotations

import pytest
from support.lists import person, tombstone
from support.served import served_client

FIRST = "5" * 40
TC_3 = f"tc_3_{FIRST}"


@pytest.fixture
def client(make_sqlite, tmp_path):
    with served_client(make_sqlite(), tmp_path) as made:
        made.server.people = [person(3), person(4)]
        made("client", "sync", "users")
        yield made


def one(client, *words, status=0):
    return client.json("client", "person", *words, status=status)


def test_somebody_is_brought_in_step(client):
    client.server.people = [person(3, city="Oslo"), person(4, city="Oslo")]
    planned = one(client, "sync", TC_3, "--dry-run")
    assert (planned["state"], planned["run"], len(client.json("client", "run", "list"))) == (
        "planned",
        None,
        1,
    )

    done = one(client, "sync", "person3@example.com")
    assert (done["username"], done["server"], done["person_id"]) == (TC_3, FIRST, 3)
    assert (done["kind"], done["state"], done["counts"]["updated"]) == ("users", "done", 1)
    assert [(line["action"], line["remote_id"]) for line in done["lines"]] == [("updated", 3)]
    assert client.json("client", "run", "show", done["run"])["lines"] == done["lines"]
    assert "Only the person 3" in client("client", "person", "sync", TC_3).stderr


def test_somebody_new_is_named_by_their_id(client):
    client.server.people.append(person(5))
    assert one(client, "sync", "person:5")["username"] == f"tc_5_{FIRST}"
    assert one(client, "sync", "person:5", "--server", client.server_id)["counts"]["unchanged"] == 1
    assert one(client, "sync", "person:6")["lines"] == []


def test_the_exit_status_is_that_of_the_run(client):
    client.server.people = [person(3, username="x" * 101)]
    assert one(client, "sync", TC_3, status=1)["state"] == "partial"
    client.server.body = b"<html>"
    assert one(client, "sync", TC_3, status=1)["state"] == "failed"
    client.add("ana")
    for words, status in ((("ana",), 1), (("nobody",), 2), (("person:x",), 2), ((TC_3, "--server", "9"), 2)):
        assert one(client, "sync", *words, status=status)["error"]
    client("client", "disable")
    assert one(client, "sync", TC_3, status=1)["state"] == "failed"


def test_who_is_not_found_is_answered_by_how_people_are_named(client):
    error = str(one(client, "sync", "nobody", status=2)["error"])
    assert [what for what in ("user name", "email address", "person:ID") if what not in error] == []


def test_a_link_ends_and_what_comes_of_it_is_said_before(client):
    planned = one(client, "unlink", TC_3, "--dry-run")
    assert (planned["unlinked"], planned["former_person_id"]) == (False, 3)
    assert client.json("user", "show", TC_3)["server"] == FIRST
    text = client("client", "person", "unlink", TC_3, "--dry-run").stdout
    assert all(sentence in text for sentence in planned["outlook"])
    assert "would be this site's own" in text

    done = one(client, "unlink", TC_3, "--new-auth", "nologin", "--username", "ana")
    assert (done["unlinked"], done["auth"], done["username"], done["server"]) == (
        True,
        "nologin",
        "ana",
        None,
    )
    assert done["outlook"] == ["A run now would make an account for this person."]
    assert one(client, "unlink", "ana", status=1)["error"]
    assert one(client, "unlink", f"tc_4_{FIRST}", "--username", "ana", status=1)["error"]
    assert one(client, "unlink", f"tc_4_{FIRST}", "--username", "tc_9", status=2)["error"]
    audited = [(row["action"], row["subject"]) for row in client.json("audit", "list")]
    assert ("account.unlinked", "ana") in audited


def test_an_account_is_given_to_a_person_and_taken_back(client):
    client.add("ana", auth="manual")
    client.server.people.append(person(5, city="Oslo"))
    planned = one(client, "relink", "ana", 5, "--dry-run")
    assert (planned["state"], planned["server"]) == ("planned", FIRST)
    assert client.json("user", "show", "ana")["server"] is None

    done = one(client, "relink", "ana", 5)
    assert (done["state"], done["person_id"], done["auth"]) == ("done", 5, "connect")
    assert [line["action"] for line in done["lines"]] == ["linked"]
    assert client.json("client", "run", "undo", done["run"])["state"] == "undone"
    back = client.json("user", "show", "ana")
    assert (back["auth"], back["server"], back["city"]) == ("manual", None, "")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("ana", "3"), 1, "unlink that one first"),
        ((TC_3, "4"), 1, "unlink it first"),
        (("root", "5"), 1, "administrator"),
        (("ana", "x"), 2, "above 0"),
        (("ana", "5", "--server", "9"), 2, "no server"),
        (("nobody", "5"), 2, "no account"),
    ],
)
def test_what_is_refused_says_what_to_do(client, words, status, says):
    client.add("ana")
    client.add("root", admin=True)
    client.server.people.append(person(5))
    assert says in one(client, "relink", *words, status=status)["error"]


def test_who_is_deleted_there_gets_no_account(client):
    client.add("ana")
    client.server.people.append(tombstone(5))
    assert "deleted there" in one(client, "relink", "ana", 5, status=1)["message"]
