"""The ways to log in to this site: which are enabled, and in which order the login page offers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import servers
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.options import Options, set_option
from tconnect_pyramid.texts import text as _

MANUAL = "manual"
NOLOGIN = "nologin"
CONNECT = "connect"

TITLES: Mapping[str, str] = MappingProxyType(
    {MANUAL: _("Manual accounts"), CONNECT: _("Totara Connect client"), NOLOGIN: _("No login")}
)
"""Every method by its name, which is what `auth` of an account says."""
WAYS_IN = (MANUAL, CONNECT)
"""Those by which somebody can log in, in the order of a fresh site."""


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """A way to log in. `users`: how many accounts have it, deleted ones left out.

    `order` counts from 1; it is None for `nologin`, which is always there and lets nobody in.
    """

    name: str
    title: str
    users: int
    enabled: bool
    order: int | None


def list_methods(session: Session, context: Context) -> list[AuthMethod]:
    """All methods, in the order in which the login page offers them; `nologin` last."""
    options = context.options(session)
    accounts = context.accounts
    people = accounts.select(("auth",)).where(accounts.not_deleted()).subquery()
    users: dict[str, int] = dict(
        session.execute(select(people.c.auth, func.count()).group_by(people.c.auth)).all()
    )
    enabled = {MANUAL: options.auth_manual, CONNECT: options.client_enabled, NOLOGIN: True}
    methods = [
        AuthMethod(name, TITLES[name], users.get(name, 0), enabled[name], order)
        for order, name in enumerate(in_order(options), 1)
    ]
    return [*methods, AuthMethod(NOLOGIN, TITLES[NOLOGIN], users.get(NOLOGIN, 0), enabled[NOLOGIN], None)]


def in_order(options: Options) -> list[str]:
    """The names of the ways in, enabled or not, in the order that the administrator chose."""
    chosen = [name for name in dict.fromkeys(options.auth_order) if name in WAYS_IN]
    return chosen + [name for name in WAYS_IN if name not in chosen]


def enable_method(session: Session, context: Context, name: str, on: bool, *, actor: str) -> AuthMethod:
    """Let people log in this way, or stop it; nobody's account is changed.

    Raises NotFound for an unknown name, and Conflict for the last way in, for `nologin`, and where the ini
    fixes it.
    """
    _check_way_in(name, _("enabled or disabled"))
    if name == CONNECT:
        servers.enable(session, context, on, actor=actor)
    else:
        set_option(session, context.settings, "auth.manual", "true" if on else "false", context.clock())
        context.audit(session, actor, "auth.enable" if on else "auth.disable", name)
    return _one(session, context, name)


def move_method(
    session: Session, context: Context, name: str, direction: Literal["up", "down"], *, actor: str
) -> AuthMethod:
    """Let the login page offer a way earlier (`up`) or later; where it is first or last already it stays.

    Raises NotFound for an unknown name, and Conflict for `nologin` and where the ini fixes the order.
    """
    _check_way_in(name, _("moved"))
    order = in_order(context.options(session))
    before = order.index(name)
    after = max(before - 1, 0) if direction == "up" else before + 1
    order.insert(after, order.pop(before))
    set_option(session, context.settings, "auth.order", " ".join(order), context.clock())
    context.audit(session, actor, "auth.move", name, direction=direction)
    return _one(session, context, name)


def _check_way_in(name: str, what: str) -> None:
    if name not in TITLES:
        raise NotFound(
            _(
                "There is no way to log in called ${name}; there are ${names}.",
                name=repr(name),
                names=", ".join(TITLES),
            )
        )
    if name == NOLOGIN:
        raise Conflict(
            _(
                "${name} cannot be ${what}: it is for accounts by which nobody logs in.",
                name=NOLOGIN,
                what=what,
            )
        )


def _one(session: Session, context: Context, name: str) -> AuthMethod:
    return next(method for method in list_methods(session, context) if method.name == name)
