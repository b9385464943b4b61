"""Contexts of test sites: the values that rules work with, on a real database, with a still clock."""

from __future__ import annotations

from contextlib import contextmanager

from sqlalchemy import create_engine

from tconnect_pyramid import sqlite
from tconnect_pyramid.context import Context
from tconnect_pyramid.database import Database
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.directory.columnmap import own_accounts
from tconnect_pyramid.options import set_option
from tconnect_pyramid.secretbox import SecretBox
from tconnect_pyramid.settings import read_settings

NOW = 1_800_000_000


class StillClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def tick(self, seconds: int) -> None:
        self.now += seconds


class NoTransport:
    """The transport of a site whose test makes no calls."""

    def post(self, url, form, *, timeout, limit):
        raise AssertionError(f"unexpected call to {url}")


def ini(url: str = "http://site.example", **more: str) -> dict[str, str]:
    """Settings of a development site."""
    return {
        "tconnect.site_url": url,
        "tconnect.site_name": "Test site",
        "tconnect.secret_keys": "insecure-test-key-0123456789-0123456789",
        "tconnect.development": "true",
        "tconnect.network.private": "127.0.0.0/8",
        "tconnect.network.allow_http": "true",
        **more,
    }


@contextmanager
def context(
    database_url, *, url="http://site.example", transport=None, clock=None, accounts=None, options=()
):
    """A context on a migrated database. `options`: pairs such as `("client.enabled", "true")`."""
    settings = read_settings(ini(url))
    engine = create_engine(database_url)
    sqlite.configure(engine)
    database = Database(engine)
    made = Context(
        settings=settings,
        database=database,
        accounts=Accounts(accounts or own_accounts()),
        box=SecretBox(settings.secret_keys),
        clock=clock or StillClock(),
        transport=transport or NoTransport(),
    )
    with made.unit() as session:
        for name, value in options:
            set_option(session, settings, name, value, made.clock())
    try:
        yield made
    finally:
        engine.dispose()
