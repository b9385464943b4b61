"""Pages by which administrators keep who and what the reference site has: enough to run a small server with it.

A site that exists already has pages of its own for this.
"""

from __future__ import annotations

from pyramid.config import Configurator

from tconnect_pyramid.site.directory import audiences, people


def includeme(config: Configurator) -> None:
    """Add the pages below *Site administration*.

    - `people`: accounts, with their passwords, rights and sign-ins;
    - `audiences`: audiences, and the groups of a social site, with their members.
    """
    config.include(people)
    config.include(audiences)
