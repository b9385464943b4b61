"""By which a run knows that nothing about a person has changed since it was last put in order here.

A digest covers what a server says of a person and whatever else shapes the account: the rules' version, the
options, the custom profile fields of this site and what its account table keeps. It stands with the link, and is
taken away where the next run has to look again, so that it never says more than: this was looked at, and is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_bytes

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import ProfileField
from tconnect_pyramid.options import Options
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.plain_users import PlainUser, relevant

RULES = 2
"""To be counted up whenever the rules make something else of the same record."""
SIZE = 16
"""Bytes of a digest."""

_SHAPING = (
    "client_sync_profile_fields",
    "client_sync_jobs",
    "client_sync_positions",
    "client_sync_organisations",
    "client_sync_idnumber",
    "client_removed_person",
)
_encode = msgspec.msgpack.Encoder().encode


class Digests:
    """Makes the digests of one run."""

    def __init__(self, session: Session, context: Context, options: Options, peer: ServerPeer) -> None:
        fields = session.execute(
            select(ProfileField.id, ProfileField.shortname, ProfileField.datatype).order_by(ProfileField.id)
        )
        shape = [
            RULES,
            peer.idnumber,
            [getattr(options, name) for name in _SHAPING],
            sorted(options.client_protected_accounts),
            [list(row) for row in fields],
            sorted(context.accounts.columns.fields),
        ]
        self._key = blake2b(_encode(shape), digest_size=SIZE).digest()
        self.gone = blake2b(b"gone", digest_size=SIZE, key=self._key).digest()
        """Of a person who is not listed any more, once that has been seen to."""

    def of(self, raw: PlainUser | Mapping[str, object]) -> bytes:
        """Of a record of `parse_users`, whatever the order of its keys, its escapes, and keys that nobody knows."""
        try:
            said = _encode(relevant(raw))
        except (RecursionError, OverflowError):
            # Nested too deep, or a number of more than 64 bits. None that is known: every run looks at it.
            return token_bytes(SIZE)
        return blake2b(said, digest_size=SIZE, key=self._key).digest()
