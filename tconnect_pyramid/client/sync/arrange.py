"""Which items of a list form trees, in what order they can be written, and why the others cannot. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tconnect_pyramid.texts import text as _

MAX_DEPTH = 100
"""Levels of a tree. Every item keeps the ids of all above it: without an end, a peer could fill the disk."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Where an item is to be: framework and parent by their ids at the server.

    `framework` is None for an item that goes wherever its parent goes, `parent` is None for one at the top.
    """

    framework: int | None
    parent: int | None


@dataclass(slots=True)
class Arranged:
    """`framework_of` has every item that can be placed, parents first; `reasons` has all others."""

    framework_of: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)


def arrange(wishes: Mapping[int, Wish], frameworks: Collection[int], skipped: Collection[int]) -> Arranged:
    """Place items by their ids (protocol 9).

    `frameworks` are those that are or will be here; `skipped` are items that were sent, but cannot be used.
    """
    made = Arranged()
    children: dict[int, list[int]] = defaultdict(list)
    level: list[int] = []
    for id_, wish in wishes.items():
        reason = _reason(wish, wishes, frameworks, skipped)
        if reason:
            made.reasons[id_] = reason
        elif wish.parent is not None:
            children[wish.parent].append(id_)
        elif wish.framework is not None:
            level.append(id_)
            made.framework_of[id_] = wish.framework
    depth = 1
    while level:
        depth += 1
        level = [child for id_ in level for child in _below(id_, children[id_], depth, wishes, made)]
    _tell_subtrees(list(made.reasons), children, made)
    for id_ in wishes:
        if id_ not in made.framework_of:
            made.reasons.setdefault(id_, _("its parents go round in a circle"))
    return made


def _reason(
    wish: Wish,
    wishes: Mapping[int, Wish],
    frameworks: Collection[int],
    skipped: Collection[int],
) -> str:
    """Why an item cannot be placed, as far as itself and the one above it tell."""
    if wish.framework is not None and wish.framework not in frameworks:
        return _("its framework ${id} is unknown", id=str(wish.framework))
    if wish.parent is None or wish.parent in wishes:
        return ""
    if wish.parent in skipped:
        return _("its parent ${id} was skipped", id=str(wish.parent))
    return _("its parent ${id} is unknown", id=str(wish.parent))


def _below(
    parent: int, children: list[int], depth: int, wishes: Mapping[int, Wish], made: Arranged
) -> list[int]:
    placed = []
    framework = made.framework_of[parent]
    for child in children:
        if wishes[child].framework not in {None, framework}:
            made.reasons[child] = _("its parent ${id} is in another framework", id=str(parent))
        elif depth > MAX_DEPTH:
            made.reasons[child] = _("it is more than ${number} levels deep", number=MAX_DEPTH)
        else:
            made.framework_of[child] = framework
            placed.append(child)
    return placed


def _tell_subtrees(roots: list[int], children: Mapping[int, list[int]], made: Arranged) -> None:
    """What hangs below an item that cannot be placed has nowhere to be either."""
    while roots:
        parent = roots.pop()
        for child in children.get(parent, ()):
            if child not in made.reasons:
                made.reasons[child] = _("its parent ${id} was skipped", id=str(parent))
                roots.append(child)
