"""Services that a host adds: what is refused while the site starts, and what the site knows of them then."""

from __future__ import annotations

import pytest
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError
from support.sites import ini

from tconnect_pyramid import context_of
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.interfaces import IContext
from tconnect_pyramid.plugins import own_parameters


def echo(context, peer, form):
    return [peer.idnumber, *form]


@pytest.fixture
def config(make_sqlite):
    made = Configurator(settings={**ini(), "sqlalchemy.url": make_sqlite()})
    made.include("tconnect_pyramid")
    yield made
    context = made.registry.queryUtility(IContext)
    if context is not None:
        context.database.engine.dispose()


def test_a_service_is_found_in_its_role_under_its_component(config):
    config.add_tconnect_service("local_shop", "get_prices", echo)
    config.add_tconnect_service("local_shop", "price_changed", echo, role="client")
    config.commit()

    plugins = context_of(config.registry).plugins

    assert plugins.find("server", "local_shop", "get_prices") is echo
    assert plugins.find("client", "local_shop", "price_changed") is echo
    assert plugins.find("client", "local_shop", "get_prices") is None
    assert plugins.find("server", "local_other", "get_prices") is None
    assert plugins.has_component("server", "local_shop")
    assert not plugins.has_component("server", "local")


def test_a_site_without_plugins_has_no_component(config):
    config.commit()

    assert not context_of(config.registry).plugins.has_component("server", "local_shop")


@pytest.mark.parametrize(
    ("component", "name", "role", "words"),
    [
        ("Local shop", "get_prices", "server", "no component name"),
        ("", "get_prices", "server", "no component name"),
        ("totara_connect", "get_users", "server", "built-in"),
        ("auth_connect", "get_prices", "client", "built-in"),
        ("tconnect", "renew_secrets", "server", "built-in"),
        ("local_shop", "", "server", "no service name"),
        ("local_shop", "getPrices", "server", "no service name"),
        ("local_shop", "get prices", "server", "no service name"),
        ("local_shop", "get_prices", "both", "'server' or 'client'"),
    ],
)
def test_names_that_cannot_be_used_keep_the_site_from_starting(config, component, name, role, words):
    with pytest.raises(ConfigurationProblem, match=words):
        config.add_tconnect_service(component, name, echo, role=role)
    config.commit()


def test_all_that_is_wrong_with_a_service_is_told_at_once(config):
    with pytest.raises(ConfigurationProblem) as raised:
        config.add_tconnect_service("A", "B", echo, role="C")

    assert len(raised.value.problems) == 3


def test_what_cannot_be_called_or_found_keeps_the_site_from_starting(config):
    with pytest.raises(ConfigurationProblem, match="cannot be called"):
        config.add_tconnect_service("local_shop", "get_prices", 3)
    with pytest.raises(ImportError):
        config.add_tconnect_service("local_shop", "get_prices", "tconnect_pyramid.plugins.nothing")


def test_a_dotted_name_will_do(config):
    config.add_tconnect_service("local_shop", "get_prices", "tconnect_pyramid.plugins.own_parameters")
    config.commit()

    assert context_of(config.registry).plugins.find("server", "local_shop", "get_prices") is own_parameters


def test_two_services_of_one_name_are_a_conflict(config):
    config.add_tconnect_service("local_shop", "get_prices", echo)
    config.add_tconnect_service("local_shop", "get_prices", print)

    with pytest.raises(ConfigurationConflictError):
        config.commit()


def test_services_can_be_seen_by_introspection(config):
    config.add_tconnect_service("local_shop", "get_prices", echo)
    config.commit()

    (found,) = config.registry.introspector.get_category("tconnect_pyramid services")

    assert found["introspectable"]["service"] is echo
    assert found["introspectable"].title == "local_shop get_prices (server)"


def test_a_plugin_is_given_its_own_parameters_only():
    form = {"serveridnumber": "a", "serversecret": "b", "service": "c", "component": "d", "page": "2"}

    assert own_parameters(form) == {"page": "2"}
