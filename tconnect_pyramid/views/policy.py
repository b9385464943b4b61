"""Where the forms of a page may lead, for whoever writes its Content-Security-Policy.

Browsers hold a form to it with every redirect that follows, and some forms end at another site: logging in for a
client, or editing a profile for one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.request import Request

# Only what our pages load: styles, a script, pictures and what that script asks for, all of this site.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; object-src 'none'; form-action "
)


def includeme(config: Configurator) -> None:
    """Add `request.tconnect_form_targets`: origins besides our own to which a form of this page may lead."""
    config.add_request_method(lambda request: set(), "tconnect_form_targets", reify=True)  # noqa: ARG005 - as Pyramid calls it


def forms_lead_to(request: Request, url: str) -> None:
    """Let the forms of this page lead to the site of an address."""
    parts = urlsplit(url)
    request.tconnect_form_targets.add(f"{parts.scheme}://{parts.netloc}")


def policy_for(request: Request) -> str:
    """The Content-Security-Policy of a page of ours."""
    return POLICY + " ".join(["'self'", *sorted(request.tconnect_form_targets)])
