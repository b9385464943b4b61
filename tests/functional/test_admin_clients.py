"""*Client systems* and *Add client* by HTTP, on two sites of one process, read back by the command."""

from __future__ import annotations

import pytest
from sqlalchemy import insert
from support.admin import Administered, notice, text, write_ini
from support.statements import listening
from support.webapp import PASSWORD, add_person, connect, log_in, two_sites

from tconnect_pyramid import people
from tconnect_pyramid.client import servers
from tconnect_pyramid.client.connecting import handshake, open_invitation
from tconnect_pyramid.directory.audiences import add_audience, add_members, delete_audience
from tconnect_pyramid.directory.courses import add_course
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, ClientAudience
from tconnect_pyramid.peers import LAYERS
from tconnect_pyramid.server import clients


@pytest.fixture
def sites(make_sqlite, tmp_path):
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        root = add_person(sites.server, "root", admin=True, firstname="Rosa", lastname="Root")
        with sites.server.unit() as session:
            clients.enable(session, sites.server, on=True, actor="command")
        with sites.client.unit() as session:
            servers.enable(session, sites.client, on=True, actor="command")
        log_in(sites.browser, "root", url=sites.server_url)
        yield sites, Administered(sites.browser, sites.server, root, write_ini(tmp_path, sites.server))


@pytest.fixture
def pages(sites):
    """The administrator's pages of the server."""
    pair, admin = sites
    return lambda path, status=200: admin.page(f"{pair.server_url}/admin/server/{path}", status=status)


def invitation(sites) -> str:
    with sites.client.unit() as session:
        return open_invitation(session, sites.client, actor="command").setup_secret


def fill_in(page, sites, **more):
    form = page.forms["client"]
    form["name"] = "Our client"
    form["url"] = sites.client_url
    form["setup_secret"] = more.pop("setup_secret", "0" * 40)
    for name, value in more.items():
        form[name] = value
    return form


def test_a_client_is_added_with_all_that_is_chosen(sites, pages):
    pair, admin = sites
    with pair.server.unit() as session:
        staff = add_audience(session, pair.server, name="Staff").id
        add_members(session, pair.server, staff, [add_person_in(session, pair)])
        course = add_course(session, pair.server, fullname="Safety").id
    assert "There are no records in this report" in text(pages("clients"))
    secret = invitation(pair)
    form = fill_in(
        pages("clients").click("Add client"),
        pair,
        setup_secret=secret,
        comment="The one upstairs",
        add_new_courses=True,
        jobs=False,
    )
    for name, words in (("restrict_to", "sta"), ("audiences", "STAFF"), ("courses", "saf")):
        form[f"{name}-search"] = words
        form = form.submit("look", index=0, status=200).forms["client"]
        form.set(name, True)
    assert form["setup_secret"].value == ""
    form["setup_secret"] = secret

    card = form.submit(status=303).follow()

    assert notice(card) == "There is now an active connection between this site and Our client."
    said = text(card)
    assert "Status Active" in said
    assert "People it may see 1" in said
    assert "Restrict to audience Staff" in said
    assert "The one upstairs" in said
    (row,) = admin.command("server", "client", "list")
    wanted = {
        "name": "Our client",
        "url": pair.client_url,
        "restrict_to": staff,
        "audiences": [staff],
        "courses": [course],
        "add_new_courses": True,
        "add_new_audiences": False,
        "profile_fields": True,
        "jobs": False,
        "plugin_services": False,
        "comment": "The one upstairs",
    }
    assert {name: row[name] for name in wanted} == wanted
    listed = text(pages("clients"))
    assert "Our client" in listed
    assert "Staff Safety The one upstairs" in listed


def add_person_in(session, pair) -> int:

    return people.add_person(session, pair.server, username="ada", firstname="Ada", lastname="L").key


def test_what_is_wrong_stands_at_its_field_and_the_rest_is_kept(sites, pages):
    pair, admin = sites
    form = pages("clients/add").forms["client"]
    form["comment"] = "Kept"
    refused = form.submit(status=200)
    for name, said in (
        ("name", "Enter a name for the client site."),
        ("url", "Enter the URL of the client site."),
        ("setup_secret", "Enter the setup secret that the client site shows."),
    ):
        assert refused.html.find(id=f"{name}-error").get_text() == said
    assert refused.forms["client"]["comment"].value == "Kept"
    refused = fill_in(refused, pair, setup_secret="nonsense").submit(status=200)
    assert "expected the 40 characters" in refused.html.find(id="setup_secret-error").get_text()
    refused = fill_in(refused, pair).submit(status=200)
    assert "does not accept this setup secret" in refused.html.find(id="setup_secret-error").get_text()
    form = fill_in(refused, pair)
    form["url"] = "ftp://x"
    assert "Expected an http or https address" in form.submit(status=200).html.find(id="url-error").get_text()
    form["url"] = pair.server_url
    assert "is this site itself" in text(form.submit(status=200))
    assert admin.command("server", "client", "list") == []


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer != "refused"])
def test_a_registration_that_fails_says_where(sites, pages, layer):
    pair, admin = sites

    def fail(url, form, *, timeout, limit):
        raise PeerError("POST", url, layer, "it did not work")

    object.__setattr__(pair.server.transport, "post", fail)
    page = fill_in(pages("clients/add"), pair).submit(status=200)

    said = page.html.find(role="alert").get_text()
    assert LAYERS[layer] in said
    assert "it did not work" in said
    assert "What to do: " in said
    assert page.forms["client"]["name"].value == "Our client"
    assert "0" * 40 not in page.text
    assert "A setup secret is never shown again: enter it once more" in text(page)
    assert admin.command("server", "client", "list") == []


def test_a_client_is_edited(sites, pages):
    pair, admin = sites
    id_ = connect(pair, comment="Old").id
    form = pages(f"clients/{id_}/edit").forms["client"]
    assert "setup_secret" not in form.fields
    form["name"] = ""
    assert pages(f"clients/{id_}/edit").forms["client"]["comment"].value == "Old"
    assert form.submit(status=200).html.find(id="name-error")
    form["name"] = "Another name"
    form["plugin_services"] = True

    assert notice(form.submit(status=303).follow()) == "Another name is saved."
    (row,) = admin.command("server", "client", "list")
    assert (row["name"], row["comment"], row["plugin_services"]) == ("Another name", "Old", True)


def test_a_client_whose_audience_is_gone_is_not_opened_to_everybody_by_saving(sites, pages):
    pair, admin = sites
    with pair.server.unit() as session:
        staff = add_audience(session, pair.server, name="Staff").id
    id_ = connect(pair, restrict_audience_id=staff).id
    assert "to_everybody" not in pages(f"clients/{id_}/edit").forms["client"].fields
    with pair.server.unit() as session:
        delete_audience(session, pair.server, staff)
    form = pages(f"clients/{id_}/edit").forms["client"]

    assert form.submit(status=200).html.find(id="restrict_to-error")
    assert admin.command("server", "client", "list")[0]["restrict_to"] == staff
    form["to_everybody"] = True
    form.submit(status=303)
    assert admin.command("server", "client", "list")[0]["restrict_to"] is None


def test_a_client_is_removed_after_a_question_and_a_recent_log_in(sites, pages):
    pair, admin = sites
    id_ = connect(pair).id
    admin.grow_stale()
    asked = pages(f"clients/{id_}/remove", status=303).follow()
    asked.forms["prove"]["password"] = PASSWORD
    page = asked.forms["prove"].submit(status=303).follow()
    assert "The accounts on the client stay as they are" in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == "Test client is removed."
    assert admin.command("server", "client", "list") == []
    pages(f"clients/{id_}", status=404)


def test_the_card_tells_how_a_client_is_and_asks_it(sites, pages):
    pair, _ = sites
    id_ = connect(pair).id
    card = pages(f"clients/{id_}")
    assert "Version 2 (Totara Learn)" in text(card)

    assert "The client answers: version 2." in text(card.forms["test"].submit(status=200))
    with pair.client.unit() as session:
        servers.enable(session, pair.client, on=False, actor="command")
    said = text(card.forms["test"].submit(status=200))
    assert "it refuses: connect client not enabled" in said
    assert "What to do: let the client's administrator enable it" in said


def test_when_a_client_called_is_noted_once_a_minute(sites):
    pair, _ = sites
    id_ = connect(pair).id
    noted = []
    for seconds in (100, 30, 31):
        pair.clock.tick(seconds)

        handshake(pair.client, 1)
        with pair.server.reading() as session:
            noted.append(session.get(Client, id_).last_call - pair.clock.now)
    assert noted == [0, -30, 0]


def test_a_thousand_clients_are_listed_with_as_many_statements_as_one(sites, pages):
    pair, _ = sites
    with pair.server.unit() as session:
        audience = add_audience(session, pair.server, name="All of them").id

    def counted() -> int:
        with listening(pair.server.database.engine) as statements:
            pages("clients")
        return len(statements)

    make(pair, 1, audience)
    few = counted()
    make(pair, 1000, audience)

    assert counted() == few
    assert "All of them" in text(pages("clients?search=Client+0999"))


def make(pair, number, audience) -> None:

    with pair.server.unit() as session:
        start = number
        rows = [
            {
                "id": start + each,
                "state": "active",
                "name": f"Client {each:04}",
                "url": f"http://c{start}-{each}.example",
                "idnumber": f"{start}-{each}",
                "client_secret": b"",
                "server_secret_hash": f"{start}-{each}",
                "timecreated": 1,
                "timemodified": 1,
            }
            for each in range(number)
        ]
        session.execute(insert(Client), rows)
        session.execute(
            insert(ClientAudience), [{"client_id": row["id"], "audience_id": audience} for row in rows]
        )


def test_nobody_but_administrators_sees_clients(sites):
    pair, _ = sites
    add_person(pair.server)
    other = pair.new_browser()
    log_in(other, url=pair.server_url)
    for path in ("clients", "clients/add", "clients/1", "clients/1/edit", "clients/1/remove"):
        other.get(f"{pair.server_url}/admin/server/{path}", status=403)
        other.post(f"{pair.server_url}/admin/server/{path}", status=403)


@pytest.mark.parametrize("path", ["clients/add", "clients/1/edit", "clients/1/remove", "settings"])
def test_what_lets_data_out_wants_a_recent_log_in(sites, pages, path):
    pair, admin = sites
    connect(pair)
    admin.grow_stale()

    assert "/admin/prove?" in pages(path, status=303).location
