"""The ways to log in to this site: which are installed and enabled, and their order on the login page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import connecting, leaving, servers
from tconnect_pyramid.client.leaving import Choice, Effect, Left, NewAuth, Settled
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.options import Options, is_enabled
from tconnect_pyramid.plugins import CONNECT, MANUAL, NOLOGIN, HostMethod
from tconnect_pyramid.settings import OPTIONS
from tconnect_pyramid.texts import text as _

TITLES: Mapping[str, str] = MappingProxyType(
    {MANUAL: _("Manual accounts"), CONNECT: _("Totara Connect client"), NOLOGIN: _("No login")}
)
"""Our own methods by name, which is what `auth` of an account says."""
WAYS_IN = (MANUAL, CONNECT)
"""Ours by which somebody can log in, in the order of a fresh site."""
ALWAYS_THERE = (MANUAL, NOLOGIN)
"""These cannot be uninstalled."""

# What is forgotten when the client is uninstalled.
_OF_THE_CLIENT = ("client.", "guard.")


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """A way to log in. `users`: how many accounts have it, deleted ones left out.

    `order` counts from 1; it is None for those by which nobody can, such as `nologin`.
    """

    name: str
    title: str
    users: int
    enabled: bool
    order: int | None
    installed: bool = True


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What uninstalling a way to log in did: to the servers that were left, and to accounts that no server had."""

    name: str
    title: str
    left: Sequence[Left]
    settled: Settled

    @property
    def accounts(self) -> int:
        """How many accounts became this site's own."""
        return self.settled.accounts + sum(left.accounts for left in self.left)


@dataclass(frozen=True, slots=True)
class Uninstalling:
    """What uninstalling would do. `effects` has the servers, by name, that would be left."""

    effects: Sequence[tuple[str, Effect]]
    settled: Settled


def list_methods(session: Session, context: Context) -> list[AuthMethod]:
    """All methods, those of the host too, in the order of the login page; by which nobody can log in, last."""
    options = context.options(session)
    accounts = context.accounts
    people = accounts.select(("auth",)).where(accounts.not_deleted()).subquery()
    users: dict[str, int] = dict(
        session.execute(select(people.c.auth, func.count()).group_by(people.c.auth)).all()
    )
    host = context.auth_methods.methods
    enabled = {
        MANUAL: options.auth_manual,
        CONNECT: options.client_enabled,
        NOLOGIN: True,
        **{name: is_enabled(options, method) for name, method in host.items()},
    }
    titles = titles_of(context)
    ordered = in_order(options, _ways_of_host(context))
    places = dict(zip(ordered, range(1, len(ordered) + 1), strict=True))
    return [
        AuthMethod(
            name,
            titles[name],
            users.get(name, 0),
            enabled[name],
            places.get(name),
            installed=name in ALWAYS_THERE or name not in options.auth_uninstalled,
        )
        for name in [*ordered, *(each for each in titles if each not in places)]
    ]


def get_method(session: Session, context: Context, name: str) -> AuthMethod:
    """One method. Raises NotFound."""
    _check_known(context, name)
    return _one(session, context, name)


def count_with_password(session: Session, context: Context) -> int:
    """How many people can log in now by a password of this site."""
    if not context.options(session).auth_manual:
        return 0
    accounts = context.accounts
    people = (
        accounts.select(("auth", "password", "confirmed"))
        .where(accounts.not_deleted(), accounts.not_suspended())
        .subquery()
    )
    statement = select(func.count()).where(people.c.auth == MANUAL, people.c.confirmed == 1)
    # A host that maps no password keeps them itself.
    if accounts.columns.read("password") is not None:
        statement = statement.where(people.c.password != "")
    return session.scalar(statement) or 0


def titles_of(context: Context) -> dict[str, str]:
    """Every method, ours and the host's, by its name."""
    return {**TITLES, **{name: method.title for name, method in context.auth_methods.methods.items()}}


def ways_in(session: Session, context: Context) -> list[str]:
    """The names of the ways by which people can log in now, in the order of the login page."""
    options = context.options(session)
    host = context.auth_methods.methods
    on = {MANUAL: options.auth_manual, CONNECT: options.client_enabled}
    ordered = in_order(options, _ways_of_host(context))
    return [name for name in ordered if (on[name] if name in on else is_enabled(options, host[name]))]


def in_order(options: Options, others: Sequence[str] = ()) -> list[str]:
    """The names of the ways in, enabled or not, in the order that the administrator chose.

    `others` are those of the host.
    """
    known = [*WAYS_IN, *others]
    chosen = [name for name in dict.fromkeys(options.auth_order) if name in known]
    return chosen + [name for name in known if name not in chosen]


def enable_method(session: Session, context: Context, name: str, on: bool, *, actor: str) -> AuthMethod:
    """Let people log in this way, or stop it; nobody's account is changed.

    Raises NotFound for an unknown name, and Conflict for the last way in, for `nologin`, for what is not
    installed, and where the ini fixes it.
    """
    _check_known(context, name)
    if name == NOLOGIN:
        raise _never(_("enabled or disabled"))
    if name == CONNECT:
        servers.enable(session, context, on, actor=actor)
    else:
        if name == MANUAL:
            context.set_option(session, "auth.manual", "true" if on else "false")
        else:
            _enable_of_host(session, context, context.auth_methods.methods[name], on)
        context.audit(session, actor, "auth.enable" if on else "auth.disable", name)
    return _one(session, context, name)


def move_method(
    session: Session, context: Context, name: str, direction: Literal["up", "down"], *, actor: str
) -> AuthMethod:
    """Let the login page offer a way earlier (`up`) or later; where it is first or last already it stays.

    Raises NotFound for an unknown name, and Conflict for one by which nobody logs in and where the ini fixes
    the order.
    """
    _check_known(context, name)
    order = in_order(context.options(session), _ways_of_host(context))
    if name not in order:
        raise _never(_("moved"), name)
    before = order.index(name)
    after = max(before - 1, 0) if direction == "up" else before + 1
    order.insert(after, order.pop(before))
    context.set_option(session, "auth.order", " ".join(order))
    context.audit(session, actor, "auth.move", name, direction=direction)
    return _one(session, context, name)


def uninstalling(session: Session, context: Context, name: str, accounts: Choice) -> Uninstalling:
    """What `uninstall` would do. Raises as it does, but for the last way in."""
    _check_installed(session, context, name)
    effects = []
    linked: set[int] = set()
    if name == CONNECT:
        for server in servers.list_servers(session, active_only=True):
            effects.append((server.name, leaving.preview(session, context, server.id, accounts)))
            linked |= leaving.linked_to(session, server.id)
    others = [key for key in _keys_of(session, context, name) if key not in linked]
    return Uninstalling(
        effects,
        leaving.settle(session, context, others, accounts=accounts, new_auth="manual", only_look=True),
    )


def uninstall(
    context: Context, name: str, *, accounts: Choice, new_auth: NewAuth = "manual", actor: str
) -> Uninstalled:
    """Take a way to log in away: its accounts become this site's own, as by leaving a server.

    The client leaves every server, cancels an open invitation, switches its role off and forgets its options.
    A server that does not confirm is told by the result, and asked again every hour. Raises NotFound, SyncBusy
    while a sync is under way (what was done until then stays done, and it can be called again), InvalidInput
    for a choice that the account table cannot keep, and Conflict for what cannot be uninstalled, is not
    installed, is the last way in or is fixed by the ini.
    """
    with context.reading() as session:
        _check_installed(session, context, name)
    leaving.check_new_auth(context, new_auth)
    if "auth.uninstalled" in context.settings.fixed:
        raise Conflict(
            _(
                "tconnect.${name} is fixed by the ini file of this site; change it there.",
                name="auth.uninstalled",
            )
        )
    left: list[Left] = []
    if name == CONNECT:
        with context.unit() as session:
            # First, so that the last way in is refused before anything is left, and nobody arrives meanwhile.
            if context.options(session).client_enabled:
                servers.enable(session, context, on=False, actor=actor)
            connecting.cancel_invitation(session, context, actor=actor)
            connected = servers.list_servers(session, active_only=True)
        left = [
            leaving.leave(context, server.id, accounts=accounts, new_auth=new_auth, actor=actor)
            for server in connected
        ]
    with context.unit() as session:
        _check_installed(session, context, name)
        if name == CONNECT:
            _forget_options(session, context)
        _write_names(session, context, "auth.uninstalled", name, there=True)
        keys = _keys_of(session, context, name)
        settled = leaving.settle(session, context, keys, accounts=accounts, new_auth=new_auth)
        context.audit(
            session,
            actor,
            "auth.uninstall",
            name,
            accounts=accounts,
            new_auth=new_auth,
            servers=len(left),
            number=settled.accounts + sum(each.accounts for each in left),
        )
    # To clients of this site, to which a sign-in may have been carried on.
    deliver_now(context, settled.notices)
    return Uninstalled(name, titles_of(context)[name], left, settled)


def install(session: Session, context: Context, name: str, *, actor: str) -> AuthMethod:
    """Bring back what was uninstalled: the client disabled, a way of the host as it is at first.

    Raises NotFound for an unknown name, Conflict for what is installed and where the ini fixes it.
    """
    _check_known(context, name)
    if name in ALWAYS_THERE or name not in context.options(session).auth_uninstalled:
        raise Conflict(_("${name} is installed.", name=name))
    _write_names(session, context, "auth.uninstalled", name, there=False)
    if name in context.auth_methods.methods:
        for option in ("auth.enabled", "auth.disabled"):
            _write_names(session, context, option, name, there=False)
    context.audit(session, actor, "auth.install", name)
    return _one(session, context, name)


def _enable_of_host(session: Session, context: Context, method: HostMethod, on: bool) -> None:
    if on and method.name in context.options(session).auth_uninstalled:
        raise Conflict(
            _(
                "${name} is not installed; `tconnect auth install ${name}` does that.",
                name=method.name,
            )
        )
    # Switched on first: an option that is not touched stays whatever the ini says.
    _write_names(session, context, "auth.enabled", method.name, there=on and not method.enabled)
    _write_names(session, context, "auth.disabled", method.name, there=not on)


def _write_names(session: Session, context: Context, option: str, name: str, *, there: bool) -> None:
    """Put a name into an option that lists some, or take it out."""
    names: tuple[str, ...] = getattr(context.options(session), option.replace(".", "_", 1))
    if (name in names) == there:
        return
    changed = [*names, name] if there else [each for each in names if each != name]
    context.set_option(session, option, " ".join(changed))


def _forget_options(session: Session, context: Context) -> None:
    for name in OPTIONS:
        if name.startswith(_OF_THE_CLIENT) and name not in context.settings.fixed:
            context.set_option(session, name, "")


def _keys_of(session: Session, context: Context, name: str) -> list[int]:
    """The accounts of a method, deleted ones left out."""
    accounts = context.accounts
    people = accounts.select(("auth",)).where(accounts.not_deleted()).subquery()
    return list(session.scalars(select(people.c.key).where(people.c.auth == name).order_by(people.c.key)))


def _ways_of_host(context: Context) -> list[str]:
    return [name for name, method in context.auth_methods.methods.items() if method.is_way_in]


def _check_known(context: Context, name: str) -> None:
    known = titles_of(context)
    if name not in known:
        raise NotFound(
            _(
                "There is no way to log in called ${name}; there are ${names}.",
                name=repr(name),
                names=", ".join(known),
            )
        )


def _check_installed(session: Session, context: Context, name: str) -> None:
    _check_known(context, name)
    if name in ALWAYS_THERE:
        raise Conflict(_("${name} cannot be uninstalled: accounts of other ways fall back on it.", name=name))
    if name in context.options(session).auth_uninstalled:
        raise Conflict(_("${name} is not installed.", name=name))


def _never(what: str, name: str = NOLOGIN) -> Conflict:
    return Conflict(
        _("${name} cannot be ${what}: it is for accounts by which nobody logs in.", name=name, what=what)
    )


def _one(session: Session, context: Context, name: str) -> AuthMethod:
    return next(method for method in list_methods(session, context) if method.name == name)
