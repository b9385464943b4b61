"""The add-on as a guest: with a host's own policy, accounts, session factory and defaults."""

from __future__ import annotations

import pytest
from pyramid.authentication import AuthTktAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy, Allow, Authenticated
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationExecutionError
from pyramid.interfaces import (
    IAuthenticationPolicy,
    IDefaultCSRFOptions,
    IDefaultPermission,
    ILocaleNegotiator,
    IRootFactory,
    ISecurityPolicy,
    ISessionFactory,
)
from pyramid.response import Response
from pyramid.security import forget, remember
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from support import peers, sites
from support.host import HostPolicy
from webtest import TestApp

from tconnect_pyramid import context_of, sessions, sqlite
from tconnect_pyramid.directory.columnmap import inverted
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import ClientSession, SignIn
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.security import TConnectAuthenticationPolicy, TConnectSecurityPolicy

URL = "http://localhost:6543"


class HostBase(DeclarativeBase):
    pass


class User(HostBase):
    __tablename__ = "users"

    uid: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str]
    is_active: Mapped[bool]


def whoami(request):
    return Response(f"{request.authenticated_userid}")


@pytest.fixture
def make_host(make_sqlite):
    """Gives a function that makes a host application; `order` says when its policy is set."""
    engines = []

    def make(*, policy=None, legacy=None, accounts=False, order="after", more=None, **settings):
        engine = create_engine(make_sqlite())
        sqlite.configure(engine)
        engines.append(engine)
        config = Configurator(settings=sites.ini(URL, **settings))
        if order == "before" and policy:
            config.set_security_policy(policy)
        config.include("tconnect_pyramid")
        config.set_tconnect_dbsession(sessionmaker(engine))
        config.set_tconnect_transport(peers.always())
        config.set_tconnect_login_route("enter")
        if order == "after" and policy:
            config.set_security_policy(policy)
        if legacy:
            config.set_authentication_policy(legacy)
            config.set_authorization_policy(ACLAuthorizationPolicy())
        if accounts:
            HostBase.metadata.create_all(engine)
            config.set_tconnect_accounts(
                User,
                fields={"username": User.login, "email": User.mail, "suspended": inverted(User.is_active)},
            )
        config.add_route("enter", "/enter")
        config.add_route("whoami", "/whoami")
        config.add_view(whoami, route_name="whoami")
        if more:
            more(config)
        app = config.make_wsgi_app()
        return TestApp(app, extra_environ={"HTTP_HOST": "localhost:6543"}), app.registry

    yield make
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_hosts_policy_is_composed_whenever_it_is_set(make_host, order):
    app, registry = make_host(policy=HostPolicy(), order=order)
    policy = registry.getUtility(ISecurityPolicy)
    assert isinstance(policy, TConnectSecurityPolicy)
    assert isinstance(policy.inner, HostPolicy)
    assert policy.of_its_own() == "asked"
    app.set_cookie("host_user", "7")
    assert app.get("/whoami").text == "7"


def test_without_a_policy_of_the_host_ours_stands_alone(make_host):
    app, registry = make_host()
    assert registry.getUtility(ISecurityPolicy).inner is None
    assert app.get("/whoami").text == "None"


def test_a_policy_registered_behind_our_back_stops_the_site(make_host):
    def replace(config):
        config.action(None, lambda: config.registry.registerUtility(HostPolicy(), ISecurityPolicy), order=1)

    with pytest.raises(ConfigurationExecutionError, match=r"TConnectSecurityPolicy\(inner="):
        make_host(more=replace)


@pytest.mark.filterwarnings("ignore:Authentication and authorization policies:DeprecationWarning")
def test_a_host_with_an_authentication_policy_keeps_its_principals(make_host):
    class Root:
        __acl__ = ((Allow, Authenticated, "read"),)

    def more(config):
        config.add_route("enter_now", "/enter_now", factory=lambda request: Root())
        config.add_view(lambda request: Response(headerlist=remember(request, "7")), route_name="enter_now")
        config.add_route("secret", "/secret", factory=lambda request: Root())
        config.add_view(lambda request: Response("read"), route_name="secret", permission="read")

    policy = AuthTktAuthenticationPolicy("secret-of-the-host", hashalg="sha512")
    app, registry = make_host(legacy=policy, more=more)
    assert app.get("/secret", status=403)
    app.get("/enter_now")
    assert app.get("/secret").text == "read"
    assert app.get("/whoami").text == "7"
    wrapped = registry.queryUtility(IAuthenticationPolicy)
    assert isinstance(wrapped, TConnectAuthenticationPolicy)


def test_no_globals_are_set(make_host):
    _, registry = make_host()
    for interface in (
        IDefaultCSRFOptions,
        IDefaultPermission,
        ILocaleNegotiator,
        IRootFactory,
        ISessionFactory,
    ):
        assert registry.queryUtility(interface) is None


def test_a_hosts_defaults_do_not_reach_the_service_views(make_host):
    def more(config):
        config.set_default_csrf_options(require_csrf=True)
        config.set_default_permission("host.secret")

    app, _ = make_host(policy=HostPolicy(), more=more)
    for path in ("/totara/connect/sep.php", "/auth/connect/sep.php", "/auth/connect/sep_setup.php"):
        reply = app.post(path, {"service": "x"})
        assert reply.status_int == 200
        assert reply.headers["Content-Type"] == jsend.CONTENT_TYPE
        assert reply.json["status"] == "error"


@pytest.mark.parametrize("path", ["/totara/connect/sep.php", "/auth/connect/sep.php"])
def test_service_paths_answer_json_with_200_to_anything(make_host, path):
    app, _ = make_host()
    invalid = {"status": "error", "message": "invalid parameters"}
    assert app.get(f"{path}?serversecret=x&service=get_users").json == invalid
    assert app.put(path, b"{}").json == invalid
    assert app.post(path, b"\xff\x00" * 100).json == invalid
    assert app.post(path, b"a=" + b"x" * 3_000_000).json == invalid
    assert app.post_json(path, {"service": ["x"]}).json == invalid


def test_a_view_of_ours_that_says_nothing_of_itself_stops_the_site(make_host):
    def more(config):
        config.add_route("tconnect.new", "/new")
        config.add_view(whoami, route_name="tconnect.new")

    with pytest.raises(ConfigurationExecutionError, match=r"tconnect\.new"):
        make_host(more=more)


def test_a_hosts_own_person_is_carried_on_to_a_client_and_ended_everywhere(make_host):
    """Somebody signed in by the host's means; our registry can end that, whatever the host's cookie says."""
    app, registry = make_host(policy=HostPolicy(), accounts=True, **{"tconnect.server.enabled": "true"})
    context = context_of(registry)
    with context.unit() as session:
        session.add(User(login="ann", mail="ann@example.com", is_active=True))
        session.flush()
        key = session.scalar(select(User.uid))
    peers.add_client(context)
    app.set_cookie("host_user", str(key))
    arrived = app.get(
        f"/totara/connect/sso_request.php?clientidnumber={peers.CLIENTIDNUMBER}&requesttoken={'a' * 40}"
    )
    assert "result=success" in arrived.location
    (cookie,) = arrived.headers.getall("Set-Cookie")
    assert "Max-Age=34560000" in cookie, "a host's cookie may outlive the browser: so does ours"
    with context.reading() as session:
        signin = session.scalar(select(SignIn))
        assert signin.account_key == key
        assert session.scalar(select(ClientSession.account_key)) == key
    assert app.get("/whoami").text == str(key)
    with context.unit() as session:
        sessions.end(session, context, [signin.id], "ended")
    ended = app.get("/whoami")
    assert ended.text == "None"
    assert any("host_user=;" in cookie for cookie in ended.headers.getall("Set-Cookie"))


def test_a_row_of_somebody_else_is_discarded_not_honoured(make_host):
    app, registry = make_host(policy=HostPolicy(), accounts=True, **{"tconnect.server.enabled": "true"})
    context = context_of(registry)
    with context.unit() as session:
        for name in ("ann", "bob"):
            session.add(User(login=name, mail="", is_active=True))
            session.flush()
        ann, bob = session.scalars(select(User.uid).order_by(User.uid))
    peers.add_client(context)
    link = f"/totara/connect/sso_request.php?clientidnumber={peers.CLIENTIDNUMBER}&requesttoken={'a' * 40}"
    for key in (ann, bob):
        app.set_cookie("host_user", str(key))
        app.get(link)
    with context.reading() as session:
        rows = session.execute(select(SignIn.account_key, SignIn.ended.is_(None)).order_by(SignIn.id)).all()
    assert [tuple(row) for row in rows] == [(ann, False), (bob, True)]


def test_forget_is_ours_and_the_hosts(make_host):
    def more(config):
        config.add_route("leave", "/leave")
        config.add_view(lambda request: Response(headerlist=forget(request)), route_name="leave")

    app, _ = make_host(policy=HostPolicy(), more=more)
    cookies = app.get("/leave").headers.getall("Set-Cookie")
    assert any(cookie.startswith("host_user=;") for cookie in cookies)
    assert any(cookie.startswith("tconnect_") for cookie in cookies)


def test_a_host_without_a_database_is_told_what_to_do(tmp_path):
    config = Configurator(settings=sites.ini(URL))
    config.include("tconnect_pyramid")
    with pytest.raises(ConfigurationExecutionError, match=r"sqlalchemy\.url"):
        config.make_wsgi_app()


def test_settings_are_read_at_the_include_all_problems_at_once():
    config = Configurator(settings={"tconnect.site_name": "x", "tconnect.site_ulr": "http://x"})
    with pytest.raises(ConfigurationProblem) as problem:
        config.include("tconnect_pyramid")
    assert "tconnect.site_url" in str(problem.value)
    assert "tconnect.secret_keys" in str(problem.value)
    assert len(problem.value.problems) >= 3
