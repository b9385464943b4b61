"""Receiving a list: the whole reply in a file, and a success, before anything of it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import BadReply, PeerError
from tconnect_pyramid.peers import ServerPeer, receive_list
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.protocol.collection_stream import cut_collections
from tconnect_pyramid.protocol.collections import Kind as CollectionKind
from tconnect_pyramid.protocol.collections import read_collections
from tconnect_pyramid.protocol.hierarchies import FRAMEWORKS, ITEMS, read_hierarchy
from tconnect_pyramid.protocol.hierarchies import Kind as HierarchyKind
from tconnect_pyramid.protocol.plain_users import parse_users
from tconnect_pyramid.protocol.stream import NotCut, cut_list, cut_lists
from tconnect_pyramid.protocol.users import USERS, read_users
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.transport import LIST_LIMIT

LARGEST_WHOLE = 2**28
"""Bytes of the largest reply that is read, or kept, as a whole, which takes some times as much memory."""


class People(Protocol):
    """Where records of people come from; may be gone through several times."""

    def users(self) -> Iterator[list[object]]:
        """The raw records, a part of them at a time."""


class Reply:
    """A server's reply in its file, which may be read several times."""

    def __init__(self, file: BinaryIO, url: str, service: str) -> None:
        self._file = file
        self._url = url
        self._service = service

    def data(self) -> object:
        """The data of a successful reply, all of it.

        Raises PeerError when the server refuses, BadReply when the reply is no JSend document.
        """
        self._file.seek(0)
        body = self._file.read(LARGEST_WHOLE + 1)
        if len(body) > LARGEST_WHOLE:
            raise BadReply(
                _(
                    "the reply has more than ${limit} bytes and is laid out in a way that can only be read as a whole",
                    limit=LARGEST_WHOLE,
                )
            )
        result = jsend.read(body)
        if isinstance(result, jsend.Success):
            return result.data
        raise PeerError(
            "POST",
            self._url,
            "refused",
            _("${service} was refused: ${answer}", service=self._service, answer=jsend.describe(result)),
        )

    def users(self) -> Iterator[list[object]]:
        """The records of a reply of `get_users` as `parse_users` gives them, a part at a time, in flat memory.

        Nothing of them may be acted on before the last one has come: only then is it known that the reply is
        whole. Raises as `data` does.
        """
        given = 0
        try:
            for records in cut_list(self._file, USERS, parse_users):
                yield records
                given += len(records)
        except NotCut:
            # Exactly and in one piece; those that have been given are the first ones there, too.
            yield read_users(self.data())[given:]

    def collections(self) -> Iterator[tuple[CollectionKind, object]]:
        """The raw records of a reply of `get_user_collections` with their kinds, one by one, in flat memory.

        Otherwise as `users`. Raises BadReply also when one of the two lists is missing (protocol 5).
        """
        given = 0
        try:
            for kind, record in cut_collections(self._file):
                yield kind, record
                given += 1
        except NotCut:
            yield from read_collections(self.data())[given:]

    def hierarchy(self, kind: HierarchyKind) -> Iterator[tuple[str, list[object]]]:
        """The raw records of a reply of `get_positions` or `get_organisations`, a part at a time with its list's name.

        None at all where both lists are null, which asks for nothing to be done. Otherwise as `collections`.
        """
        names = (FRAMEWORKS, ITEMS[kind])
        given = dict.fromkeys(names, 0)
        try:
            for name, records in cut_lists(self._file, names):
                yield name, records
                given[name] += len(records)
        except NotCut:
            lists = read_hierarchy(kind, self.data())
            if lists is not None:
                for name, whole in zip(names, lists, strict=True):
                    yield name, whole[given[name] :]


@contextmanager
def receive(context: Context, peer: ServerPeer, service: str, limit: int = LIST_LIMIT) -> Iterator[Reply]:
    """What a server answers, in at most `limit` bytes; the file is gone afterwards.

    Raises PeerError when nothing usable arrives.
    """
    with receive_list(context, peer, service, limit) as file:
        yield Reply(file, paths.join(peer.url, paths.SERVER_SEP), service)
