"""What the rules of a site work with, in one frozen value: no rule ever sees a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.database import Database
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.interfaces import Clock, Transport
from tconnect_pyramid.models import AuditEntry, SiteValue
from tconnect_pyramid.options import Options, list_options, read_options, set_option
from tconnect_pyramid.plugins import HostMethods, PluginServices
from tconnect_pyramid.secretbox import SecretBox, new_token
from tconnect_pyramid.settings import Settings, format_option

IDNUMBER = "serveridnumber"


@dataclass(frozen=True, slots=True)
class Context:
    """One site: its settings, database, accounts, keys, clock (Unix seconds), way to its peers, what the host adds."""

    settings: Settings
    database: Database
    accounts: Accounts
    box: SecretBox
    clock: Clock
    transport: Transport
    plugins: PluginServices = field(default_factory=PluginServices)
    auth_methods: HostMethods = field(default_factory=HostMethods)

    @contextmanager
    def unit(self) -> Iterator[Session]:
        """A transaction of our own, see `Database.unit`."""
        with self.database.unit() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading, see `Database.reading`."""
        with self.database.reading() as session:
            yield session

    def options(self, session: Session) -> Options:
        """The administrator's options now in force."""
        return read_options(session, self.settings)

    def set_option(self, session: Session, name: str, text: str) -> None:
        """Store an option given as text, see `options.set_option`."""
        set_option(session, self.settings, name, text, self.clock(), host=self.auth_methods)

    def change_options(self, session: Session, values: Mapping[str, object], *, actor: str) -> None:
        """Give options new values, by their names; those that have the value already are left alone.

        Raises as `options.set_option` does, which leaves it to the caller's transaction to take all back.
        """
        present = {state.name: state.value for state in list_options(session, self.settings)}
        for name, value in values.items():
            text = format_option(value)
            if present.get(name) != text:
                self.set_option(session, name, text)
                self.audit(session, actor, "option.set", name, value=text)

    def idnumber(self, session: Session) -> str:
        """This site's `serveridnumber`: made once by `db upgrade`, never changed (protocol 3)."""
        value = session.scalar(select(SiteValue.value).where(SiteValue.name == IDNUMBER))
        if value is None:
            raise ConfigurationProblem(
                ["The database has no tables of this version: run `tconnect db upgrade`."]
            )
        return value

    def audit(self, session: Session, actor: str, action: str, subject: str = "", **detail: object) -> None:
        """Write down who did what. `detail` must hold no secret."""
        session.add(AuditEntry(time=self.clock(), actor=actor, action=action, subject=subject, detail=detail))


def make_idnumber(session: Session) -> None:
    """Give the site its `serveridnumber` if it has none yet."""
    if session.scalar(select(SiteValue.value).where(SiteValue.name == IDNUMBER)) is None:
        session.execute(insert(SiteValue).values(name=IDNUMBER, value=new_token()))
