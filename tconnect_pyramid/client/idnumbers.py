"""Who gets which ID number when `client.sync_idnumber` is on (protocol 9). Pure: nothing is read or stored.

An ID number goes to an account only if no other one has it afterwards. Seen one by one, two people who
swap numbers would block each other for ever; so all of a run are looked at together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What a listed person's account has, and what the server says. `key` None: it is about to be made."""

    person_id: int
    key: int | None
    current: str
    wanted: str


def assign(
    claims: Iterable[Claim], holders: Mapping[str, Collection[int]], leaving: Collection[int]
) -> dict[int, str]:
    """The ID numbers that change, by person; who is not in it keeps what they have.

    `holders`: the keys of all accounts, deleted ones included, that have a wanted number now. `leaving`:
    keys of accounts that give up theirs because they are deleted. An empty number can always be had. Of
    two people who want the same one, its present holder has it, else who comes first in `claims`.
    Assigning anew to what came of it changes nothing.
    """
    moving = {claim.person_id: claim for claim in claims if claim.wanted != claim.current}
    first: dict[str, Claim] = {}
    for claim in moving.values():
        first.setdefault(claim.wanted, claim)
    moving_keys = {claim.key for claim in moving.values()}

    def is_blocked(claim: Claim) -> bool:
        return first[claim.wanted] is not claim or any(
            key != claim.key and key not in moving_keys and key not in leaving
            for key in holders.get(claim.wanted, ())
        )

    # Who cannot move stays, and so keeps the number from the one who was to get it next.
    stuck = deque(claim for claim in moving.values() if claim.wanted and is_blocked(claim))
    while stuck:
        claim = stuck.popleft()
        if moving.pop(claim.person_id, None) is not None and claim.current and claim.current in first:
            stuck.append(first[claim.current])
    return {claim.person_id: claim.wanted for claim in moving.values()}
