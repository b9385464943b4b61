"""Who may: one table of pure predicates over the identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tconnect_pyramid.security.identity import Identity

ADMIN = "tconnect.admin"
PROFILE = "tconnect.profile"

PERMISSIONS: Mapping[str, Callable[[Identity], bool]] = {
    ADMIN: lambda identity: identity.admin,
    PROFILE: lambda identity: True,  # noqa: ARG005 - whoever is signed in
}


def is_permitted(identity: Identity | None, permission: str) -> bool:
    """Whether somebody has a permission; nobody has one that is not in the table."""
    rule = PERMISSIONS.get(permission)
    return identity is not None and rule is not None and rule(identity)
