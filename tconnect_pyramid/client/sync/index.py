"""All links of a server in memory, packed: who is known here, and who of them was listed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.digest import SIZE
from tconnect_pyramid.client.sync.ids import Ids
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.models import Link

_ROWS = 1000
_NONE = bytes(SIZE)


class LinkIndex(Ids):
    """The people of a server, or `only` one of them, who have an account here; who is listed is marked: 25 bytes each."""

    def __init__(
        self, session: Session, accounts: Accounts, server_id: int, *, only: int | None = None
    ) -> None:
        people = array("q")
        self._digests = bytearray()
        links = select(Link.person_id, Link.account_key, Link.digest).where(Link.server_id == server_id)
        if only is not None:
            links = links.where(Link.person_id == only)
        rows = session.execute(links.order_by(Link.person_id), execution_options={"yield_per": _ROWS})
        for some in rows.partitions(_ROWS):
            # By keys and not by a join, which a database that has just been filled does in a thousand times the time.
            there = accounts.existing(session, [key for _, key, _ in some])
            people.extend([person for person, _, _ in some])
            # Nothing is remembered of whose account's row is gone: it is to be made anew.
            self._digests += b"".join([(key in there and digest) or _NONE for _, key, digest in some])
        super().__init__(people)

    def digest(self, place: int) -> bytes:
        """What is remembered of the person at a place; of nobody's record where there is nothing."""
        return bytes(self._digests[place * SIZE : place * SIZE + SIZE])

    def missing(self) -> Iterator[tuple[int, bytes]]:
        """The people who were not listed, and what is remembered of them."""
        return ((self._ids[place], self.digest(place)) for place in self.unmarked_places())
