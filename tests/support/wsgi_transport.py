"""A transport between sites of one process, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from webob import Request

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.protocol.forms import write_form


def _no_transactions() -> None:
    """Stand for a site without transactions."""


class WsgiTransport:
    """Posts to the WSGI application whose base URL is the longest that begins the called URL.

    `apps` may be filled after the transport was made, as two sites need each other's; a base in `down`
    cannot be reached. What an application raises goes through, so that a test shows its own trace.
    """

    def __init__(self, apps: Mapping[str, Any], *, check_idle: Callable[[], None] = _no_transactions) -> None:
        self.apps = apps
        self.down: set[str] = set()
        self._check_idle = check_idle

    def post(self, url: str, form: Sequence[tuple[str, str]], *, timeout: float, limit: int) -> BinaryIO:
        self._check_idle()
        base = max(
            (base for base in self.apps if url.startswith(f"{base.rstrip('/')}/")), key=len, default=None
        )
        if base is None:
            known = ", ".join(self.apps)
            raise PeerError("POST", url, "connect", f"no application has this URL, only {known}")
        if base in self.down:
            raise PeerError("POST", url, "connect", f"{base} is down")
        root = base.rstrip("/")
        request = Request.blank(
            url.removeprefix(root),
            base_url=root,
            environ={"REMOTE_ADDR": "127.0.0.1"},
            # WebOb would add the port even where it goes without saying.
            host=urlsplit(root).netloc,
            method="POST",
            content_type="application/x-www-form-urlencoded",
            user_agent="tconnect_pyramid/test",
            body=write_form(form),
        )
        response = request.get_response(self.apps[base])
        body = response.body
        if response.status_code != 200:
            raise PeerError("POST", url, "http", f"expected HTTP status 200, found {response.status}")
        if len(body) > limit:
            raise PeerError("POST", url, "size", f"the reply is larger than {limit} bytes")
        spool = SpooledTemporaryFile(max_size=2**20)  # noqa: SIM115 - the caller closes it
        spool.write(body)
        spool.seek(0)
        return cast(BinaryIO, spool)
