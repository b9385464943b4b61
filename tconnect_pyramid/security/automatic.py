"""When a browser may be sent to the chosen server by itself, and when it stays here (protocol 7)."""

from __future__ import annotations

from pyramid.request import Request

from tconnect_pyramid.client.automatic import automatic_server
from tconnect_pyramid.security.cookies import Headers, has_note, set_note

AFTER_A_FAILURE_SECONDS = 600
"""How long the login page is shown to a browser whose sign-on failed or was cancelled."""
ROUND_TRIP_SECONDS = 60
"""In which a chain of sites that send each other's people to log in is recognised as a circle."""


def stay_here(request: Request, seconds: int | None = None) -> Headers:
    """Headers by which the login page is shown to this browser from now on, for `seconds` or until it is closed.

    None where no server is chosen: nobody is sent anywhere then.
    """
    context = request.tconnect
    with context.reading() as session:
        if automatic_server(session, context) is None:
            return []
    return set_note(request, "stay", seconds)


def server_to_go_to(request: Request, *, for_a_client: bool) -> int | None:
    """The id of the server that a browser without a sign-in goes to by itself; None when it stays.

    `for_a_client`: it is to log in here for a client of ours. A site that is asked for that, and asks
    another itself, may stand in a circle: it sends a browser on once within `ROUND_TRIP_SECONDS`.
    """
    if has_note(request, "stay") or (for_a_client and has_note(request, "sent")):
        return None
    context = request.tconnect
    with context.reading() as session:
        return automatic_server(session, context)


def sent(request: Request) -> Headers:
    """Headers that note that the browser was sent on by itself."""
    return set_note(request, "sent", ROUND_TRIP_SECONDS)
