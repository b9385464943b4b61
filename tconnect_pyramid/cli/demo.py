"""`tconnect demo`: something to look at."""

from __future__ import annotations

from dataclasses import asdict

import click

from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, working
from tconnect_pyramid.site import seed as samples


@click.group()
def demo() -> None:
    """Sample data for sites that nobody uses."""


@command(demo, "seed")
@click.option(
    "--people",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="How many people; 0 makes the administrator, the types and the custom fields only.",
)
def seed(site: Site, people: int) -> Answer:
    """Fill a development site with people and all that belongs to them; what is there already stays as it is."""
    context = site.migrated()
    with working("Adding sample people"):
        seeded = samples.seed(context, people=people)
    added = {name: number for name, number in asdict(seeded).items() if number}
    made = (
        f"Added: {', '.join(f'{number} {name}' for name, number in added.items())}."
        if added
        else "Everything was there already."
    )
    who = f"Administrator: {samples.ADMIN_USER}, password {samples.SAMPLE_PASSWORD}"
    if people:
        who = f"Sample person: {samples.SAMPLE_USER}, password {samples.SAMPLE_PASSWORD}\n{who}"
    document = {
        **asdict(seeded),
        "user": samples.SAMPLE_USER if people else None,
        "administrator": samples.ADMIN_USER,
        "password": samples.SAMPLE_PASSWORD,
    }
    return Answer(document, f"{made}\n{who}")
