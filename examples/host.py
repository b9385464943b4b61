"""A Pyramid site with people, a login page and a security policy of its own, become a Totara Connect site.

All that the add-on needs of it stands in `_connect`; the rest is what such a site has anyway. Explained in
docs/hosts.md. To try it, from the folder of this file:

    export PYTHONPATH=.
    tconnect -c host.ini db upgrade
    pserve host.ini
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime

import bcrypt
import zope.sqlalchemy
from pyramid.authentication import AuthTktCookieHelper
from pyramid.config import Configurator
from pyramid.csrf import CookieCSRFStoragePolicy, get_csrf_token
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.router import Router
from pyramid.security import Allowed, Denied, remember
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from tconnect_pyramid import sqlite
from tconnect_pyramid.directory.columnmap import inverted, joined, timestamp_flag
from tconnect_pyramid.security import sign_in_links, sign_out
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.views.sso import waiting_client


class Base(DeclarativeBase):
    """The site's own tables."""


class User(Base):
    """A person, as this site has always kept them."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str]
    full_name: Mapped[str]
    # `manual` for people who log in here, `connect` for those who came from a server.
    login_by: Mapped[str] = mapped_column(default="manual")
    is_active: Mapped[bool] = mapped_column(default=True)
    is_admin: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None]
    password_hash: Mapped[str]


class Policy:
    """The site's own security policy; it knows nothing of the add-on."""

    def __init__(self, secret: str) -> None:
        self.cookie = AuthTktCookieHelper(secret, hashalg="sha512", http_only=True, samesite="Lax")

    def identity(self, request: Request) -> User | None:
        """The person whose cookie this is."""
        found = self.cookie.identify(request)
        user = None if found is None else request.dbsession.get(User, int(found["userid"]))
        return user if user is not None and user.is_active and user.deleted_at is None else None

    def authenticated_userid(self, request: Request) -> int | None:
        """The key of the person's row: the add-on relies on that."""
        user = request.identity
        return None if user is None else user.id

    def permits(self, request: Request, context: object, permission: str) -> Allowed | Denied:
        """Everybody who is logged in may do everything here."""
        del context
        return Allowed(permission) if request.identity else Denied(permission)

    def remember(self, request: Request, userid: int | str, **kw: object) -> list[tuple[str, str]]:
        """Headers by which the browser is remembered; the add-on gives the key as text."""
        return list(self.cookie.remember(request, str(userid), **kw))

    def forget(self, request: Request, **kw: object) -> list[tuple[str, str]]:
        """Headers by which it is forgotten."""
        del kw
        return list(self.cookie.forget(request))


def main(global_config: Mapping[str, str], **settings: str) -> Router:
    """The WSGI application of the ini file."""
    del global_config
    return configure(settings).make_wsgi_app()


def configure(settings: Mapping[str, str]) -> Configurator:
    """Everything but the application itself, so that a test can add to it."""
    engine = create_engine(settings["sqlalchemy.url"])
    sqlite.configure(engine)
    # A real site has migrations of its own for this.
    Base.metadata.create_all(engine)
    config = Configurator(settings={"tm.manager_hook": "pyramid_tm.explicit_manager", **settings})
    config.include("pyramid_tm")
    factory = sessionmaker(engine)
    config.add_request_method(lambda request: _dbsession(request, factory), "dbsession", reify=True)
    config.set_security_policy(Policy(settings["host.secret"]))
    config.set_csrf_storage_policy(CookieCSRFStoragePolicy(httponly=True))
    config.set_default_csrf_options(require_csrf=True)
    _connect(config, engine)
    config.add_route("home", "/")
    config.add_view(home, route_name="home")
    config.add_route("enter", "/enter")
    config.add_view(enter_form, route_name="enter", request_method="GET")
    config.add_view(enter, route_name="enter", request_method="POST")
    config.add_route("leave", "/leave")
    config.add_view(leave, route_name="leave", request_method="POST")
    return config


def _connect(config: Configurator, engine: Engine) -> None:
    """Make this site a Totara Connect site, with its own table as that of the accounts."""
    config.include("tconnect_pyramid")
    config.set_tconnect_dbsession(engine)
    config.set_tconnect_login_route("enter")
    config.set_tconnect_accounts(
        User,
        fields={
            "username": User.login,
            "email": User.email,
            "auth": User.login_by,
            "suspended": inverted(User.is_active),
            # Who may use the pages below /admin/.
            "admin": User.is_admin,
            "deleted": timestamp_flag(User.deleted_at, lambda: datetime.now(UTC)),
            "firstname": joined(User.full_name, "firstname", "lastname"),
        },
        # Nobody who comes from a server has a password here.
        defaults={"password_hash": ""},
    )
    config.include("tconnect_pyramid.views.admin", route_prefix="admin")


def home(request: Request) -> Response:
    """Who is there."""
    user = request.identity
    if user is None:
        return Response('<p>Nobody is logged in. <a href="/enter">Log in</a></p>')
    administration = request.route_path("tconnect.admin.home")
    link = f'<p><a href="{administration}">Site administration</a></p>' if user.is_admin else ""
    return Response(
        f"<p>{html.escape(user.full_name)} is logged in.</p>{link}"
        f'<form id="leave" method="post" action="/leave">{_token(request)}<button>Log out</button></form>'
    )


def enter_form(request: Request) -> Response:
    """The login page: by password, or on another site."""
    wanted = _wanted(request, request.GET.get("next", ""))
    links = "".join(
        f'<li><a href="{html.escape(link.url)}">Log in using your account on: {html.escape(link.server_name)}</a></li>'
        for link in sign_in_links(request, wanted)
    )
    waiting = waiting_client(request, wanted)
    back = (
        f'<a href="{html.escape(waiting.cancel_url)}">Return to {html.escape(waiting.name)}</a>'
        if waiting
        else ""
    )
    return Response(
        f'<form id="enter" method="post" action="/enter">{_token(request)}'
        f'<input type="hidden" name="next" value="{html.escape(wanted)}">'
        '<input name="login"><input name="password" type="password"><button>Log in</button></form>'
        f"<ul>{links}</ul>{back}"
    )


def enter(request: Request) -> Response:
    """Log in by password, as this site has always done it."""
    user = request.dbsession.scalar(select(User).where(User.login == request.POST.get("login", "")))
    typed = request.POST.get("password", "").encode()
    if user is None or not user.password_hash or not bcrypt.checkpw(typed, user.password_hash.encode()):
        return enter_form(request)
    wanted = _wanted(request, request.POST.get("next", ""))
    return HTTPSeeOther(wanted, headers=remember(request, user.id))


def leave(request: Request) -> Response:
    """Log out here and at the peers; `forget` alone would only tell this browser."""
    return HTTPSeeOther("/", headers=sign_out(request))


def _wanted(request: Request, path: str) -> str:
    return own_path(request.tconnect.settings.site_url, path) or "/"


def _token(request: Request) -> str:
    return f'<input type="hidden" name="csrf_token" value="{get_csrf_token(request)}">'


def _dbsession(request: Request, factory: sessionmaker[Session]) -> Session:
    session = factory()
    zope.sqlalchemy.register(session, transaction_manager=request.tm)
    return session
