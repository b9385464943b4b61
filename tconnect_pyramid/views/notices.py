"""What a page says once to somebody who was sent to it: that something is done.

It travels in a cookie that we sign, as a sentence and what stands in it, so that the next page says it in the
reader's language. No session is needed, which a host may not have.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.security.cookies import forget_notice, read_notice, set_notice
from tconnect_pyramid.texts import packed, unpacked

LONGEST = 3000
"""Characters of a notice as it travels: browsers keep no cookie above 4096."""


@dataclass(frozen=True, slots=True)
class Notice:
    """`text` is for the reader, `points` what belongs to it, one by one; `is_bad`: something did not succeed."""

    text: str
    is_bad: bool = False
    points: Sequence[str] = ()


def includeme(config: Configurator) -> None:
    """Add `request.tconnect_notice`: the notice for the page that is being shown, or None; it is taken away."""
    config.add_request_method(_taken, "tconnect_notice", reify=True)


def go(
    request: Request, path: str, said: str = "", *, is_bad: bool = False, points: Sequence[str] = ()
) -> HTTPSeeOther:
    """A redirect to a path of ours, which then says `said` once, and `points` under it."""
    response = HTTPSeeOther(path)
    if said:
        response.headers.extend(set_notice(request, _written(Notice(said, is_bad, points))))
    return response


def _taken(request: Request) -> Notice | None:
    written = read_notice(request)
    if written is None:
        return None
    request.add_response_callback(_forget)
    return _read(written)


def _forget(request: Request, response: Response) -> None:
    headers = forget_notice(request)
    ours = {header.partition("=")[0] for header in response.headers.getall("Set-Cookie")}
    # One that was set anew by this very request is for the next page.
    response.headers.extend((name, value) for name, value in headers if value.partition("=")[0] not in ours)


def _written(notice: Notice) -> str:
    kept = json.dumps(
        {
            "bad": notice.is_bad,
            "said": packed(notice.text),
            "points": [packed(point) for point in notice.points],
        },
        ensure_ascii=False,
    )
    written = base64.urlsafe_b64encode(kept.encode()).decode()
    if len(written) <= LONGEST:
        return written
    if notice.points:
        return _written(Notice(notice.text, notice.is_bad, notice.points[:-1]))
    return _written(Notice(f"{notice.text[:300]}…", notice.is_bad))


def _read(written: str) -> Notice | None:
    try:
        kept = json.loads(base64.urlsafe_b64decode(written.encode()))
        points = [unpacked(point) for point in kept["points"]]
        return Notice(unpacked(kept["said"]), bool(kept["bad"]), points)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Of an older version of this site.
        return None
