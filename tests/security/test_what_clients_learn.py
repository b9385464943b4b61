"""A client learns nothing of people, fields, jobs, trees and pictures that are not meant for it, whatever it asks."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from support import sites
from support.server_site import ORGANISATIONS, POSITIONS, ClientSites, ServerSite

from tconnect_pyramid.models import Picture
from tconnect_pyramid.server.services import SERVICES

# Stands in whatever is not to be told.
SECRET = "canary"


@pytest.fixture
def server(make_database):
    with ExitStack() as stack:
        clients = ClientSites()
        context = stack.enter_context(
            sites.context(
                make_database(),
                url="http://server.example",
                transport=clients,
                options=(("server.enabled", "true"),),
            )
        )
        clients.check_idle = context.database.assert_idle
        yield ServerSite(context, clients)


@pytest.fixture
def world(server):
    """One person whom the client may see; all else is somebody else's, or another client's."""
    seen = server.add_person("seen")
    hidden = {
        name: server.add_person(
            f"{SECRET}{name}", city=SECRET, description=SECRET, idnumber=f"{SECRET}{name}"
        )
        for name in ("stranger", "left", "gone", "guest")
    }
    server.change_person(hidden["guest"], username="guest")
    field = server.add_field(SECRET)
    for key in (seen, *hidden.values()):
        server.set_value(key, field, SECRET)
        server.add_job(key, idnumber=f"{SECRET}{key}", fullname=SECRET)
    server.insert(Picture, account_key=hidden["stranger"], name="f1.png", content=SECRET.encode())
    inside = server.add_audience(seen, hidden["guest"], name="Inside")
    other = server.add_audience(*hidden.values(), name=SECRET)
    with server.context.unit() as session:
        # Of other audiences, when they were deleted.
        server.context.accounts.mark_deleted(session, [hidden["gone"]])
    for tables in (POSITIONS, ORGANISATIONS):
        type_id, fields = server.add_type(tables, SECRET, word="text")
        framework = server.add_framework(tables, fullname=SECRET)
        item = server.add_item(tables, framework, fullname=SECRET, type_id=type_id)
        server.insert(tables.value, item_id=item, field_id=fields["word"], data=SECRET)
    course = server.add_course(seen, *hidden.values())
    client = server.add_client(
        restrict_audience_id=inside,
        audiences=[inside],
        courses=[course],
        sends_profile_fields=False,
        sends_jobs=False,
    )
    neighbour = server.add_client(
        audiences=[other],
        position_frameworks=[framework],
        organisation_frameworks=[framework],
        plugin_services=True,
    )
    return server, client, neighbour, seen, hidden


def everything_said(server, client, **parameters) -> str:
    return "\n".join(
        json.dumps(server.call(client, service, **parameters))
        for service in SERVICES
        if service != "delete_client"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_restricted_client_learns_of_nobody_and_nothing_else(world, version):
    server, client, _, seen, hidden = world
    said = server.call(client, "update_api_version", apiversion=str(version), clienttype="totarasocial")
    assert said["status"] == "success"
    for key in (seen, *hidden.values(), 0, -1, 2**63 - 1, 2**63):
        said = everything_said(server, client, userid=str(key), clienttype="totaralms", ssotoken="0" * 40)
        assert SECRET not in said, key
    assert [it["id"] for it in server.call(client, "get_users")["data"]["users"]] == [str(seen)]
    for kinds in server.call(client, "get_user_collections")["data"].values():
        assert [it["members"] for it in kinds] == [[{"id": str(seen)}]]


@pytest.mark.parametrize(
    "more",
    [
        {"restrict_audience_id": "0"},
        {"sends_jobs": "1", "sends_profile_fields": "1", "jobs": "1", "profile_fields": "1"},
        {"frameworkid": "1", "framework_id": "1", "frameworks": "1"},
        {"clientidnumber": "NEIGHBOUR", "clientsecret": "NEIGHBOUR", "clientid": "2", "id": "2"},
        {"component": "totara_connect"},
        {"component": "auth_connect"},
        {"component": "local_x"},
        {"userid[]": "1", "userid": ["1"]},
    ],
    ids=repr,
)
def test_no_parameter_widens_what_a_client_may_see(world, more):
    server, client, neighbour, _, hidden = world
    more = {name: neighbour.idnumber if value == "NEIGHBOUR" else value for name, value in more.items()}
    parameters = {"userid": str(hidden["stranger"]), "clienttype": "totaralms", **more}
    if isinstance(parameters["userid"], list):
        parameters["userid"] = parameters["userid"][0]
    assert SECRET not in everything_said(server, client, **parameters)


def test_a_sign_in_at_one_client_is_worth_nothing_at_another(world):
    server, client, neighbour, _, hidden = world
    token = server.ssotoken(server.sign_in(hidden["stranger"]), neighbour)
    assert SECRET not in json.dumps(server.call(client, "get_sso_user", ssotoken=token))
    assert server.call(client, "force_sso_logout", ssotoken=token)["status"] == "success"
    told = server.call(neighbour, "get_sso_user", ssotoken=token)
    assert told["data"]["username"] == f"{SECRET}stranger"


def test_nobody_is_signed_in_where_they_may_not_be_seen(world):
    server, client, _, seen, hidden = world
    assert "result=error" in server.grant(server.sign_in(hidden["stranger"]), client)
    assert "result=error" in server.grant(server.sign_in(hidden["left"]), client)
    assert "result=success" in server.grant(server.sign_in(seen), client)
