"""Where a browser may be sent after logging in."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# As addresses are written: ASCII without blanks and control characters. A backslash is a slash to browsers.
LONGEST = 2000
_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")


def own_path(site_url: str, wanted: str) -> str | None:
    """`wanted` (a path with an optional query) when it leads to a page of this site, else None.

    Anything that a browser could take for another site, or that leaves the path the site lies under,
    is None.
    """
    if len(wanted) > LONGEST or not _PATH.fullmatch(wanted):
        return None
    prefix = urlsplit(site_url).path
    path = re.split(r"[?#]", wanted, maxsplit=1)[0]
    # Browsers resolve these before they ask, and could thus leave the prefix.
    if any(unquote(segment) in {".", ".."} for segment in path.split("/")):
        return None
    return wanted if path == prefix or path.startswith(f"{prefix}/") else None
