"""Which language a page of the site is in: the person's own, else what the browser asks for, else English."""

from __future__ import annotations

from pathlib import Path

from pyramid.httpexceptions import HTTPException
from pyramid.request import Request

from tconnect_pyramid.security.signins import current_sign_in

ENGLISH = "en"
LOCALES = Path(__file__).parents[1] / "locale"
LANGUAGES = (ENGLISH, *sorted(folder.name for folder in LOCALES.iterdir() if folder.is_dir()))
"""Those there is a catalogue of, and the one that the pages are written in."""


def negotiate(request: Request) -> str:
    """The language for a request. It is asked for once, when the first sentence is said."""
    # Where something went wrong, the database may be the very thing that did.
    exception = getattr(request, "exception", None)
    is_well = exception is None or isinstance(exception, HTTPException)
    current = current_sign_in(request) if is_well else None
    if current is not None:
        context = request.tconnect
        with context.reading() as session:
            stored = context.accounts.fetch(session, [current.account.key], ["lang"])
        language = str(stored.get(current.account.key, {}).get("lang") or "").partition("_")[0]
        if language in LANGUAGES:
            return language
    return str(request.accept_language.lookup(LANGUAGES, default=ENGLISH))
