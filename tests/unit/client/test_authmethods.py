"""The ways to log in: which there are, in which order, and that one is always left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import peers, sites

from tconnect_pyramid import people
from tconnect_pyramid.client import authmethods, servers
from tconnect_pyramid.client.authmethods import AuthMethod
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.options import set_option

PASSWORD = "correct horse battery"


@pytest.fixture
def context(make_database):
    with sites.context(make_database(), transport=peers.always()) as context:
        yield context


def methods(context):
    with context.reading() as session:
        return authmethods.list_methods(session, context)


def names(context):
    return [method.name for method in methods(context)]


def switch(context, name, *, on):
    with context.unit() as session:
        return authmethods.enable_method(session, context, name, on, actor="command")


def move(context, name, direction):
    with context.unit() as session:
        return authmethods.move_method(session, context, name, direction, actor="command")


def set_to(context, name, value):
    with context.unit() as session:
        set_option(session, context.settings, name, value, context.clock())


def fixed(context, **values):
    """The site with options that the ini gives values."""
    named = {name.replace("_", ".", 1): value for name, value in values.items()}
    return replace(context, settings=replace(context.settings, fixed=named))


def test_a_fresh_site_lets_people_in_by_passwords_only(context):
    assert methods(context) == [
        AuthMethod("manual", "Manual accounts", users=0, enabled=True, order=1),
        AuthMethod("connect", "Totara Connect client", users=0, enabled=False, order=2),
        AuthMethod("nologin", "No login", users=0, enabled=True, order=None),
    ]


def test_accounts_are_counted_without_deleted_ones(context):
    with context.unit() as session:
        for name, auth in (("ana", "manual"), ("bo", "manual"), ("cy", "nologin"), ("di", "connect")):
            people.add_person(session, context, username=name, auth=auth)
        gone = people.add_person(session, context, username="eve").key
        people.delete_person(session, context, gone)
    assert {method.name: method.users for method in methods(context)} == {
        "manual": 2,
        "connect": 1,
        "nologin": 1,
    }


def test_connect_is_the_client_role(context):
    assert switch(context, "connect", on=True).enabled
    with context.reading() as session:
        assert context.options(session).client_enabled
    with context.unit() as session:
        servers.enable(session, context, on=False, actor="command")
    assert [method.enabled for method in methods(context)] == [True, False, True]


def test_without_manual_accounts_no_password_is_taken(context):
    with context.unit() as session:
        people.add_person(session, context, username="ana", password=PASSWORD)
    switch(context, "connect", on=True)

    def log_in():
        with context.reading() as session:
            return people.authenticate(session, context, "ana", PASSWORD)

    assert log_in() is not None
    switch(context, "manual", on=False)
    assert log_in() is None
    switch(context, "manual", on=True)
    assert log_in() is not None


@pytest.mark.parametrize("auth", ["nologin", "connect", "ldap"])
def test_a_password_is_taken_for_manual_accounts_only(context, auth):
    with context.unit() as session:
        key = people.add_person(session, context, username="ana", password=PASSWORD).key
        context.accounts.update(session, {key: {"auth": auth}})
    with context.reading() as session:
        assert people.authenticate(session, context, "ana", PASSWORD) is None


def test_the_last_way_in_stays(context):
    with pytest.raises(Conflict, match="last way to log in"):
        switch(context, "manual", on=False)
    switch(context, "connect", on=True)
    switch(context, "manual", on=False)
    with pytest.raises(Conflict, match="last way to log in"):
        switch(context, "connect", on=False)
    with pytest.raises(Conflict, match="last way to log in"), context.unit() as session:
        servers.enable(session, context, on=False, actor="command")
    with pytest.raises(Conflict, match="last way to log in"):
        set_to(context, "client.enabled", "")
    assert [method.enabled for method in methods(context)] == [False, True, True]


def test_a_way_that_the_ini_switches_off_does_not_count(context):
    site = fixed(context, auth_manual=False)
    # Where there is none anyway, nothing is made worse.
    assert not switch(site, "connect", on=False).enabled
    switch(site, "connect", on=True)
    with pytest.raises(Conflict, match="last way to log in"):
        switch(site, "connect", on=False)


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({"auth_manual": True}, lambda site: switch(site, "manual", on=False)),
        ({"client_enabled": False}, lambda site: switch(site, "connect", on=True)),
        ({"auth_order": ("connect", "manual")}, lambda site: move(site, "manual", "up")),
    ],
    ids=["manual", "connect", "order"],
)
def test_what_the_ini_fixes_stays(context, given, change):
    site = fixed(context, **given)
    before = methods(site)
    with pytest.raises(Conflict, match="fixed by the ini"):
        change(site)
    assert methods(site) == before


def test_the_order_is_changed(context):
    assert move(context, "connect", "up") == AuthMethod("connect", "Totara Connect client", 0, False, 1)
    assert names(context) == ["connect", "manual", "nologin"]
    assert move(context, "connect", "up").order == 1
    assert move(context, "manual", "down").order == 2
    assert names(context) == ["connect", "manual", "nologin"]
    assert move(context, "connect", "down").order == 2
    assert names(context) == ["manual", "connect", "nologin"]


@pytest.mark.parametrize("order", ["connect", "connect connect saml manual", "saml connect nologin"])
def test_an_odd_order_still_offers_each_way_once(context, order):
    set_to(context, "auth.order", order)
    assert names(context) == ["connect", "manual", "nologin"]


def test_no_login_is_always_there(context):
    for change in (
        lambda: switch(context, "nologin", on=False),
        lambda: switch(context, "nologin", on=True),
        lambda: move(context, "nologin", "up"),
    ):
        with pytest.raises(Conflict, match="nobody logs in"):
            change()


def test_an_unknown_way_is_named(context):
    with pytest.raises(NotFound, match="manual, connect, nologin"):
        switch(context, "ldap", on=True)
    with pytest.raises(NotFound, match="'ldap'"):
        move(context, "ldap", "up")
