"""Who is asking: frozen plain data, detached from the database."""

from __future__ import annotations

from dataclasses import dataclass

from tconnect_pyramid.directory.accounts import AccountView


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in person of this site."""

    key: int
    username: str
    fullname: str
    email: str
    auth: str
    admin: bool
    signin_id: int


def identity_of(account: AccountView, signin_id: int) -> Identity:
    """The identity of an account's owner in one sign-in."""
    return Identity(
        key=account.key,
        username=account.username,
        fullname=account.fullname,
        email=account.email,
        auth=account.auth,
        admin=account.admin,
        signin_id=signin_id,
    )
