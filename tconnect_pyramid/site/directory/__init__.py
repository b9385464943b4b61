"""Pages by which administrators keep who and what the reference site has: enough to run a small server with it.

A site that exists already has pages of its own for this.
"""

from __future__ import annotations

from pyramid.config import Configurator

from tconnect_pyramid.site.directory import audiences, courses, fields, hierarchies, jobs, links, people


def includeme(config: Configurator) -> None:
    """Add the pages below *Site administration*.

    - `people`: accounts, with their passwords, rights and sign-ins;
    - `links`: whose accounts they are at a server;
    - `audiences`: audiences, and the groups of a social site, with their members;
    - `courses`: courses, with who is enrolled;
    - `fields`: custom profile fields;
    - `hierarchies`: positions and organisations in their frameworks, with their types;
    - `jobs`: job assignments.
    """
    config.include(people)
    config.include(links)
    config.include(audiences)
    config.include(courses)
    config.include(fields)
    config.include(hierarchies)
    config.include(jobs)
