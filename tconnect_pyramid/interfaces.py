"""What a host may replace: the shapes our code relies on and the names its utilities are registered under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

from zope.interface import Interface

Clock = Callable[[], int]
"""Tells the time in whole Unix seconds."""


class Transport(Protocol):
    """Posts a form to a peer. The one in use is registered as the utility `ITransport`."""

    def post(self, url: str, form: Sequence[tuple[str, str]], *, timeout: float, limit: int) -> BinaryIO:
        """Post `form` to `url` and return the complete body of the reply, which had status 200.

        `timeout` is the time in seconds for everything from the look-up of the name to the last byte of
        the reply; `limit` is the greatest size of the decoded body in bytes. The body is a temporary file
        positioned at its start, in memory up to 1 MiB and on disk beyond; the caller closes it.

        Raises errors.PeerError for whatever goes wrong on the way, and errors.TransactionOpen when a
        transaction of this site is open.
        """
        ...


class ITransport(Interface):
    """Names the registry's utility that is a `Transport`."""


class IContext(Interface):
    """Names the registry's utility that holds what domain code needs: settings, clock, transport and so on."""
