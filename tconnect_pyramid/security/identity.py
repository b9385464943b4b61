"""Who is asking: frozen plain data, detached from the database."""

from __future__ import annotations

from dataclasses import dataclass

from tconnect_pyramid.sessions import SignedIn


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in person of this site.

    `acted_by`: the key of the administrator who acts as this person, None when it is they themselves.
    """

    key: int
    username: str
    fullname: str
    email: str
    auth: str
    admin: bool
    signin_id: int
    acted_by: int | None


def identity_of(signed_in: SignedIn) -> Identity:
    """The identity of whoever a sign-in is of."""
    account = signed_in.account
    return Identity(
        key=account.key,
        username=account.username,
        fullname=account.fullname,
        email=account.email,
        auth=account.auth,
        admin=account.admin,
        signin_id=signed_in.signin_id,
        acted_by=signed_in.acted_by,
    )
