"""All links of a server in memory, packed: who is known here, and who of them was listed."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.digest import SIZE
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.models import Link

_ROWS = 1000
_NONE = bytes(SIZE)


class LinkIndex:
    """The people of a server, or `only` one of them, who have an account here, in the order of their ids: 25 bytes each."""

    def __init__(
        self, session: Session, accounts: Accounts, server_id: int, *, only: int | None = None
    ) -> None:
        self._people = array("q")
        self._digests = bytearray()
        links = select(Link.person_id, Link.account_key, Link.digest).where(Link.server_id == server_id)
        if only is not None:
            links = links.where(Link.person_id == only)
        rows = session.execute(links.order_by(Link.person_id), execution_options={"yield_per": _ROWS})
        for some in rows.partitions(_ROWS):
            # By keys and not by a join, which a database that has just been filled does in a thousand times the time.
            there = accounts.existing(session, [key for _, key, _ in some])
            self._people.extend([person for person, _, _ in some])
            # Nothing is remembered of whose account's row is gone: it is to be made anew.
            self._digests += b"".join([(key in there and digest) or _NONE for _, key, digest in some])
        self._listed = bytearray(len(self._people))
        self._next = 0

    def __len__(self) -> int:
        """How many people."""
        return len(self._people)

    def find(self, person: int) -> int | None:
        """The place of a person; None for one who is not known here."""
        place = self._next
        people = self._people
        # Lists come in this order mostly.
        if place >= len(people) or people[place] != person:
            place = bisect_left(people, person)
            if place == len(people) or people[place] != person:
                return None
        self._next = place + 1
        return place

    def note_listed(self, place: int) -> bool:
        """Note that the person at a place is listed; False for one who has been listed before."""
        if self._listed[place]:
            return False
        self._listed[place] = 1
        return True

    def digest(self, place: int) -> bytes:
        """What is remembered of the person at a place; of nobody's record where there is nothing."""
        return bytes(self._digests[place * SIZE : place * SIZE + SIZE])

    def missing(self) -> Iterator[tuple[int, bytes]]:
        """The people who were not listed, and what is remembered of them."""
        place = self._listed.find(0)
        while place != -1:
            yield self._people[place], self.digest(place)
            place = self._listed.find(0, place + 1)
