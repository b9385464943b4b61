"""Why somebody is here as they are, or is not here: told by the real plan, and nothing is changed by asking."""

from __future__ import annotations

import pytest
from support import lists
from support.client_site import DATABASES, FIRST, HASH, SECOND, client_site, fresh
from support.lists import person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.accounts import link_username
from tconnect_pyramid.client.explain import MOST, explain
from tconnect_pyramid.client.runs import approve_run
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import AuditEntry, Lease, Notice, Run, RunLine

EVERYTHING = (*lists.TABLES, Run, RunLine, Lease, AuditEntry, Notice)
EITHER = "not in the audience that the server restricts this site to"


@pytest.fixture(params=DATABASES)
def site(request):
    with fresh(request.param) as made:
        yield made


def told(site, who, **more):
    """What is said of each who is meant; asking has changed nothing, and told no password."""
    before = lists.dump(site.context, EVERYTHING)
    explained = explain(site.context, who, **more)
    assert lists.dump(site.context, EVERYTHING) == before
    assert HASH not in repr(explained)
    return ["\n".join(each.sentences) for each in explained]


def only(site, who, **more):
    (text,) = told(site, who, **more)
    return text


def test_who_came_by_a_run_and_has_changed_at_the_server(site):
    site.server.people = [person(3, city="Old", password=HASH)]
    made = site.sync().run
    site.server.people = [person(3, city="New", password=HASH)]
    name = f"tc_3_{FIRST} (id {site.key(3)})"

    for who in (f"tc_3_{FIRST}", str(site.key(3)), "person3@example.com", "person:3", "person3"):
        text = only(site, who)
        assert f"Person 3 of Head office has had the account {name} since 2027-" in text
        assert f"run {made} made it" in text
        assert (
            "lists First3 Last3, with the user name person3 and the email address person3@example.com" in text
        )
        assert "would bring the account up to date: city: 'Old' → 'New'" in text
        assert f"Run {made} of 2027-" in text
        assert "(done): created" in text
    assert only(site, "3", server="1") == only(site, "3", server=FIRST) == only(site, "person:3")


def test_who_is_as_they_were(site):
    site.server.people = [person(3)]
    site.sync()
    assert "would change nothing about this person" in only(site, "person:3")


def test_reconciling_is_explained_when_it_is_asked_for(site):
    site.server.people = [person(3, city="Here")]
    site.sync()
    with site.context.unit() as session:
        session.execute(lists.Account.__table__.update().values(city="Behind our back"))

    assert "would change nothing" in only(site, "person:3")
    assert "city: 'Behind our back' → 'Here'" in only(site, "person:3", reconcile=True)


def test_who_came_by_a_sign_in(site):
    assert site.sign_in(person(3)).signed_in
    site.server.people = [person(3)]

    text = only(site, "person:3")

    assert "by a sign-in, or because it was here before" in text
    assert "No run so far has changed or skipped this person." in text


def test_the_newest_lines_of_runs_come_first_and_not_those_of_other_kinds_or_servers(site):
    other = site.connect(SECOND, "http://other.example")
    site.server.cohorts = [lists.cohort(3, name="Three")]
    for city in range(13):
        site.server.people = [person(3, city=f"C{city}")]
        other.people = [person(3, city=f"D{city}")]
        site.sync()
        site.sync("users", other)
    site.sync("collections")

    (explained,) = explain(site.context, "person:3", server=FIRST)

    assert len(explained.runs) == 10
    assert [line.detail for line in explained.runs[:2]] == ["city: 'C11' → 'C12'", "city: 'C10' → 'C11'"]
    assert not any("D1" in line.detail or "Three" in line.detail for line in explained.runs)


@pytest.mark.parametrize("by_hand", [False, True])
def test_who_is_suspended(site, by_hand):
    site.server.people = [person(3), person(4)]
    site.sync()
    if by_hand:
        site.do(people.suspend, site.key(3), actor="command")
    else:
        site.server.people = [person(4)]
        site.sync()
        assert "would change nothing" in only(site, "person:3")
        assert EITHER in only(site, "person:3")
        site.server.people = [person(3), person(4)]

    text = only(site, "person:3")

    assert ("suspended by hand: no sync lifts that" in text) == by_hand
    assert ("A sync has suspended the account" in text) == (not by_hand)
    assert ("would lift the account's suspension" in text) == (not by_hand)


def test_who_is_deleted_at_the_server_and_then_here(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    site.server.people = [tombstone(3), person(4)]
    text = only(site, "person:3")
    assert "says that this person is deleted there" in text
    assert "would delete the account: deleted on the server" in text

    site.sync()
    assert "The account is deleted here." in only(site, "person:3")
    site.server.people = [person(3), person(4)]
    assert "would bring the deleted account back" in only(site, "person:3")


def test_who_was_never_listed_or_is_outside_the_audience(site):
    site.server.people = [person(3)]
    for who, what in (
        ("person:9", "does not list person 9"),
        ("nobody@example.com", "lists nobody with this user name, email address or ID number"),
    ):
        text = only(site, who)
        assert what in text
        assert EITHER in text
    assert "Person 9 of Head office has no account here." in only(site, "person:9")


@pytest.mark.parametrize("who", ["person4", "PERSON4@example.com", "N4", link_username(4, FIRST)])
def test_who_is_listed_and_not_here_yet_is_found_by_what_they_are_called_there(site, who):
    site.server.people = [person(3), person(4, suspended="1")]
    text = only(site, who)
    assert "Person 4 of Head office has no account here." in text
    assert "The person is suspended there." in text
    assert "would make an account for this person" in text
    assert "First3" not in text


def test_whose_user_name_is_taken(site):
    site.add(link_username(3, FIRST))
    site.server.people = [person(3)]
    text = only(site, "person:3")
    assert "skip this person" in text
    assert "belongs to another account here" in text


def test_accounts_that_were_here_before(site):
    site.set(migrate_accounts="true", account_mapping="email", protected_accounts="kept")
    keys = {
        name: site.add(name, email=f"{name}@example.org") for name in ("anna", "kept", "tim", "tom", "una")
    }
    keys["root"] = site.add("root", email="root@example.org", admin=1)
    site.write(keys["tom"], email="tim@example.org")
    site.server.people = [
        person(3, email="anna@example.org"),
        person(4, email="kept@example.org"),
        person(5, email="root@example.org"),
        person(6, email="tim@example.org"),
    ]

    assert f"took over the local account anna (id {keys['anna']})" in only(site, "anna")
    assert f"Nobody of Head office has the account anna (id {keys['anna']})." in only(site, "anna")
    assert "protected_accounts lists the account" in only(site, "kept")
    assert "an administrator of this site" in only(site, "root")
    for who in ("tim", "tom", "tim@example.org", "person:6"):
        assert "several local accounts have this email address: tim (id" in only(site, who)
    assert "lists nobody with this user name" in only(site, "una")

    run = site.sync().run
    text = only(site, "anna")
    assert "because it was here before" in text
    assert f"Run {run} of" in text
    assert "(partial): linked: took over the local account" in text
    assert "(partial): skipped: several local accounts" in only(site, "person:6")


def test_an_account_of_an_earlier_connection_is_found_by_its_name(site):
    site.set(migrate_accounts="true", account_mapping="uniqueid")
    key = site.add(link_username(3, FIRST))
    site.server.people = [person(3)]
    assert f"took over the local account tc_3_{FIRST} (id {key})" in only(site, link_username(3, FIRST))


def test_an_account_that_has_nothing_to_do_with_any_server(site):
    site.add("loner", email="loner@here.example", idnumber="L1")
    site.connect(SECOND, "http://other.example")
    site.server.people = [person(3)]
    texts = told(site, "loner")
    assert len(texts) == 2
    assert all("Nobody of Head office has the account loner (id" in text for text in texts)


def test_an_account_beside_the_one_that_its_person_has_already(site):
    site.server.people = [person(3)]
    site.sync()
    key = site.add("anna", email="person3@example.com")
    text = only(site, "anna")
    assert f"Nobody of Head office has the account anna (id {key})." in text
    assert f"Person 3 of Head office has had the account tc_3_{FIRST} (id {site.key(3)})" in text


def test_a_record_that_cannot_be_used(site):
    site.server.people = [
        person(3, firstname="x" * 101),
        person(4, id=""),
        person(5, username="guest"),
        person(6),
        person(6, email="twice@example.com"),
    ]

    assert "the record cannot be used: firstname" in only(site, "person3@example.com")
    assert "would skip this person, or a part of what is sent of them: firstname" in only(site, "person:3")
    assert "lists First4 Last4, but the record cannot be used" in only(site, "person4@example.com")
    assert "is the guest of Head office, who is never synchronised" in only(site, "person:5")
    text = only(site, "person:6")
    assert "person6@example.com" in text
    assert "is listed more than once" in text


def test_nobody_is_treated_as_missing_beside_a_record_without_an_id(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    site.server.people = [person(3), person(4, id="?")]
    text = only(site, "person:4")
    assert "does not list person 4" in text
    assert "nobody was treated as such" in text


def test_protected_accounts_stay_and_it_is_said_why(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    site.set(protected_accounts=link_username(3, FIRST))
    site.server.people = [person(4)]
    assert "protected_accounts lists the account" in only(site, "person:3")


def test_a_run_that_is_held_or_would_be(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    site.server.people = []
    text = only(site, "person:3")
    assert "would suspend the account" in text
    assert "That run would be held: The server sent no people at all" in text
    assert "is held: nothing of it is done" not in text

    held = site.sync().run
    text = only(site, "person:3")
    assert f"Run {held} is held: nothing of it is done until an administrator approves it." in text
    assert "(held): suspended: not in the server's list any more" in text

    site.server.down = True
    approve_run(site.context, held, actor="command")
    site.server.down = False
    text = only(site, "person:3")
    assert f"Run {held} is held and was approved on " in text
    assert "is held: nothing of it is done" not in text
    assert "That run would be held" not in text


def test_a_pause_since_a_run_was_undone(site):
    site.server.people = [person(3)]
    run = site.sync().run
    undo_run(site.context, run, actor="command")

    (explained,) = explain(site.context, "person:3")

    assert explained.paused == run
    assert (
        f"People of Head office are not synchronised since run {run} was undone; "
        "`tconnect client sync users --server 1 --resume` lets it go on."
    ) in explained.sentences


def test_a_server_that_does_not_answer(site):
    site.server.people = [person(3)]
    site.sync()
    site.server.down = True
    (explained,) = explain(site.context, "person:3")
    text = "\n".join(explained.sentences)
    assert explained.state == "failed"
    assert "It is not known what Head office says" in text
    assert "the connection was refused" in text
    assert "has had the account" in text
    assert "A run now" not in text
    assert EITHER not in text


def test_an_account_whose_row_is_gone(site):
    site.server.people = [person(3)]
    site.sync()
    site.drop_row(site.key(3))
    text = only(site, "person:3")
    assert "its row is gone" in text
    assert "would make an account" in text


def test_the_same_id_at_two_servers_is_two_people(site):
    other = site.connect(SECOND, "http://other.example")
    site.server.people, other.people = [person(3)], [person(3, city="Elsewhere")]
    site.sync()

    first, second = told(site, "person:3")

    assert "has had the account" in first
    assert "has no account here" in second
    assert only(site, "person:3", server=FIRST) == first
    assert only(site, link_username(3, FIRST)) == first, "an account is that of one server"
    assert "Nobody of Head office has the account tc_3_" in only(site, link_username(3, FIRST), server=SECOND)


def test_too_many_are_not_explained(site):
    site.server.people = [person(number, idnumber="same") for number in range(1, MOST + 1)]
    assert len(told(site, "same")) == MOST
    site.server.people.append(person(MOST + 1, idnumber="same"))
    with pytest.raises(InvalidInput, match="More than 20 people"):
        explain(site.context, "same")


def test_what_can_be_nobody_is_refused(site):
    for who in ("person:", "person:0", "person:x", "person:-1"):
        with pytest.raises(InvalidInput, match="a number above 0"):
            explain(site.context, who)
    with pytest.raises(NotFound):
        explain(site.context, "person:1", server="99")


def test_without_a_server_there_is_nothing_to_ask(make_sqlite):
    with (
        client_site(make_sqlite(), servers=()) as site,
        pytest.raises(Conflict, match="connected to no server"),
    ):
        explain(site.context, "person:1")
