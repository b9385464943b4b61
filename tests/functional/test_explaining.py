"""`tconnect client explain`: in sentences and as JSON, of a server that answers over HTTP."""

from __future__ import annotations

import pytest
from support.client_site import HASH
from support.lists import cohort, person, tombstone
from support.served import served_client

HARM = "\x1b[2J\x1b]0;x\x07\r\u202e[bold red]x[/]\n=1+1"


@pytest.fixture
def client(make_sqlite, tmp_path):
    with served_client(make_sqlite(), tmp_path) as made:
        yield made


def test_it_says_in_sentences_and_in_json_what_is_known_of_somebody(client):
    client.server.people = [person(3, city="Old", password=HASH), person(4)]
    (report,) = client.json("client", "sync", "users")
    client.server.people = [person(3, city="New", password=HASH), tombstone(4)]

    text = client("client", "explain", "person3@example.com").stdout
    (document,) = client.json("client", "explain", "person:3")

    assert text.split("\n")[:-1] == document["sentences"]
    assert (document["server"], document["person"], document["state"]) == ("5" * 40, 3, "planned")
    assert document["account"]["username"] == f"tc_3_{'5' * 40}"
    assert document["account"]["person_id"] == 3
    assert document["link"]["run"] == report["run"]
    assert document["listed"]["username"] == "person3"
    assert [(line["action"], line["detail"]) for line in document["planned"]] == [
        ("updated", "city: 'Old' → 'New'")
    ]
    assert [(line["run"], line["state"], line["action"]) for line in document["runs"]] == [
        (report["run"], "done", "created")
    ]
    assert HASH not in text + str(document)
    assert len(client.json("client", "run", "list")) == 1


def test_it_says_which_audiences_somebody_came_to_and_left(client):
    client.server.people = [person(3), person(4)]
    client("client", "sync", "users")
    # An audience with the id of a person is not the person.
    client.server.cohorts = [cohort(3, 3, 4), cohort(4, 4)]
    client("client", "sync", "collections")
    client.server.cohorts = [cohort(3, 4), cohort(4, 4)]
    client("client", "sync", "collections")

    (document,) = client.json("client", "explain", "person:3")

    assert [(line["action"], line["detail"]) for line in document["runs"]] == [
        ("removed", "cohort Audience 3"),
        ("added", "cohort Audience 3"),
        ("created", ""),
    ]
    assert any(sentence.endswith("(done): removed: cohort Audience 3") for sentence in document["sentences"])


def test_it_says_of_somebody_who_is_not_here_why_that_may_be(client):
    client.server.people = [person(3)]
    (document,) = client.json("client", "explain", "lost@example.com")
    assert (document["person"], document["account"], document["listed"]) == (None, None, None)
    assert "restricts this site to" in client("client", "explain", "9", "--server", client.server_id).stdout


def test_it_fails_when_the_server_cannot_be_asked(client):
    client.server.body = b"<html>an error page</html>"
    result = client("client", "explain", "person:3", status=1)
    assert "It is not known what Head office says" in result.stdout
    assert client.json("client", "explain", "person:x", status=2)["error"]


def test_what_people_are_called_gives_a_terminal_no_orders(client):
    client.server.people = [person(3, firstname=HARM, email=HARM), person(4, id=HARM, lastname=HARM)]
    client("client", "sync", "users", status=1)
    client.server.people[0] |= {"city": HARM}
    for who in ("person:3", "person4"):
        for more in ([], ["--json"]):
            shown = client("client", "explain", who, *more).output
            assert "[bold red]x[/]" in shown
            assert shown.replace("\n", "").isprintable()
