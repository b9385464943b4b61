"""New secrets for a connection: from either side, whatever breaks off, and not by whoever knows an old one."""

from __future__ import annotations

import json

import pytest
from support import peers
from support.admin import notice, text
from support.sites import context
from support.webapp import add_person, connect, log_in, two_sites

from tconnect_pyramid.client import renewal as of_servers
from tconnect_pyramid.client.services import answer as answer_server
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.errors import Conflict, NotFound, PeerError
from tconnect_pyramid.models import Client, Server
from tconnect_pyramid.peers import client_peer, server_peer
from tconnect_pyramid.protocol import jsend, services
from tconnect_pyramid.protocol.services import call_client, call_server
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server import clients
from tconnect_pyramid.server import renewal as of_clients
from tconnect_pyramid.server.health import ask_client
from tconnect_pyramid.server.services import answer as answer_client

SERVER_SIDE, CLIENT_SIDE = "server", "client"


@pytest.fixture
def sites(make_database, make_sqlite):
    with two_sites(make_database(), make_sqlite()) as made:
        connect(made)
        yield made


def rotate(sites, side=SERVER_SIDE):
    if side == SERVER_SIDE:
        return of_clients.rotate_secrets(sites.server, 1, actor="command")
    return of_servers.rotate_secrets(sites.client, 1, actor="command")


def secrets(sites):
    """Both secrets as each side has them: what it sends, and the hash of what it accepts."""
    with sites.server.reading() as session:
        row = session.get(Client, 1)
        accepted = {row.server_secret_hash, row.next_server_secret_hash} - {None}
        ours = client_peer(sites.server.box, row).credentials.secret
    with sites.client.reading() as session:
        row = session.get(Server, 1)
        theirs = server_peer(sites.client.box, row).credentials.secret
        return ours, row.client_secret_hash, theirs, accepted


def fit(sites):
    """Whether both sites know each other, and by one secret only."""
    ours, accepted_there, theirs, accepted_here = secrets(sites)
    return digest(ours) == accepted_there and accepted_here == {digest(theirs)}


def sync(sites):
    return run_sync(sites.client, "users", 1).state


@pytest.fixture
def lost(sites, monkeypatch):
    """Lets answers of a site be lost on their way, those to calls of `renew_secrets`; gives where."""
    at: set[str] = set()
    post = sites.transport.post

    def lossy(url, form, **more):
        reply = post(url, form, **more)
        if dict(form).get("service") == services.RENEW_SECRETS and any(url.startswith(site) for site in at):
            reply.close()
            raise PeerError("POST", url, "timeout", "no answer within 30 s")
        return reply

    monkeypatch.setattr(sites.transport, "post", lossy)
    return at


@pytest.mark.parametrize("side", [SERVER_SIDE, CLIENT_SIDE])
def test_both_sites_get_new_ones_and_refuse_the_old(sites, side):
    ours, _, theirs, _ = secrets(sites)
    rotate(sites, side)

    assert fit(sites)
    now_ours, _, now_theirs, _ = secrets(sites)
    assert not {ours, theirs} & {now_ours, now_theirs}
    assert sync(sites) == "done"
    with sites.client.reading() as session:
        server = session.get(Server, 1)
        old = {
            "client": dict(
                call_client(server.client_idnumber, ours, services.KILL_SSO_USER, ssotoken=new_token())
            ),
            "server": dict(call_server(server.idnumber, theirs, services.GET_USERS)),
        }
    assert "invalid client secret" in json.loads(answer_server(sites.client, old["client"]))["message"]
    assert "invalid server secret" in json.loads(answer_client(sites.server, old["server"]))["message"]


@pytest.mark.parametrize("side", [SERVER_SIDE, CLIENT_SIDE])
def test_a_lost_answer_of_the_client_is_made_good_by_doing_it_again(sites, lost, side):
    lost.add(sites.client_url)
    with pytest.raises((PeerError, Conflict)):
        rotate(sites, side)
    assert not fit(sites)
    assert "client rotate 1" in ask_client(sites.server, 1).remedy
    # The client has taken them, and both secrets of it are accepted meanwhile.
    lost.clear()
    rotate(sites, side)
    assert fit(sites)


def test_a_lost_answer_is_made_good_by_the_next_call_of_the_client(sites, lost):
    lost.add(sites.client_url)
    with pytest.raises(PeerError):
        rotate(sites)
    assert sync(sites) == "done"
    assert fit(sites)


def test_a_client_that_was_never_reached_goes_on_with_the_old_ones(sites):
    before = secrets(sites)[:3]
    sites.transport.down.add(sites.client_url)
    with pytest.raises(PeerError):
        rotate(sites)
    assert secrets(sites)[:3] == before
    assert sync(sites) == "done"
    sites.transport.down.clear()
    rotate(sites)
    assert fit(sites)


def test_the_client_takes_none_from_somebody_who_is_not_its_server(sites):
    """Whoever knows the secret by which the server calls, could otherwise shut the server out."""
    before = secrets(sites)
    ours = before[0]
    with sites.client.reading() as session:
        idnumber = session.get(Server, 1).client_idnumber
    secrets_of_mallory = {"newserversecret": new_token(), "newclientsecret": new_token()}
    form = call_client(
        idnumber, ours, services.RENEW_SECRETS, component=services.OUR_COMPONENT, **secrets_of_mallory
    )
    said = json.loads(answer_server(sites.client, dict(form)))
    assert said == {"status": "error", "message": "the server does not know the new secret"}
    sites.transport.down.add(sites.server_url)
    said = json.loads(answer_server(sites.client, dict(form)))
    assert "could not call this server back" in said["message"]
    for wrong in ({}, {"newserversecret": "x", "newclientsecret": new_token()}):
        form = call_client(idnumber, ours, services.RENEW_SECRETS, component=services.OUR_COMPONENT, **wrong)
        assert json.loads(answer_server(sites.client, dict(form)))["message"] == "invalid parameters"
    assert secrets(sites) == before


def test_an_offer_is_no_way_in_for_an_old_secret_and_goes_with_the_client(sites, lost):
    lost.add(sites.client_url)
    with pytest.raises(PeerError):
        rotate(sites)
    clients.remove_client(sites.server, 1, actor="command")
    with sites.server.reading() as session:
        row = session.get(Client, 1)
        assert (row.next_client_secret, row.next_server_secret, row.next_server_secret_hash) == (
            None,
            None,
            None,
        )
    with pytest.raises(Conflict):
        rotate(sites)


def test_who_is_not_there_is_not_found(sites):
    for side, site in ((of_clients, sites.server), (of_servers, sites.client)):
        with pytest.raises(NotFound):
            side.rotate_secrets(site, 9, actor="command")


UNKNOWN = jsend.Error(f"invalid server service component: {services.OUR_COMPONENT}")


@pytest.mark.parametrize(
    ("said", "advice"),
    [(UNKNOWN, "connect anew"), (jsend.Error("connect client not enabled"), "client enable")],
)
def test_a_site_that_cannot_says_what_to_do(make_database, said, advice):
    with context(make_database(), transport=peers.always(said), options=[("server.enabled", "true")]) as site:
        client_id = peers.add_client(site)
        with pytest.raises(Conflict, match=advice):
            of_clients.rotate_secrets(site, client_id, actor="command")
    asked = dict(site.transport.calls[0][1])
    assert (asked["component"], asked["service"]) == ("tconnect", "renew_secrets")


def test_a_server_that_cannot_says_what_to_do(make_sqlite):
    with context(make_sqlite(), transport=peers.always(UNKNOWN)) as site:
        server_id = peers.add_server(site)
        with pytest.raises(Conflict, match="connect anew"):
            of_servers.rotate_secrets(site, server_id, actor="command")


def test_the_pages_ask_and_do_it(sites):
    for site, url in ((sites.server, sites.server_url), (sites.client, sites.client_url)):
        add_person(site, "root", admin=True)
        browser = sites.new_browser()
        log_in(browser, "root", url=url)
        place = "server/clients/1" if site is sites.server else "client/servers/1"
        before = secrets(sites)
        asked = browser.get(f"{url}/admin/{place}").click("Renew the secrets", href="secrets$")
        assert "a Totara site cannot" in text(asked)
        assert secrets(sites) == before
        done = asked.forms["ask"].submit(status=303).follow()
        assert "are new" in notice(done)
        assert secrets(sites) != before
        assert fit(sites)
        sites.transport.down.add(sites.client_url if site is sites.server else sites.server_url)
        refused = browser.get(f"{url}/admin/{place}/secrets").forms["ask"].submit(status=200)
        assert "is down" in text(refused)
        sites.transport.down.clear()
        sites.clock.tick(1000)
        assert "/prove?" in browser.get(f"{url}/admin/{place}/secrets", status=303).location
