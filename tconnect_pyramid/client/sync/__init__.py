"""The sync engine: what a server lists becomes the same here (protocol 9).

- `receive`: the whole reply in a file, before anything of it is believed
- `read`: the reply record by record; a bad one is set aside with its reason
- `digest`, `index`: how a run knows, at the cost of a look-up, that a person is in order
- `plan`, `plan_hierarchy` (with `arrange`), `plan_users` (with `plan_extras`), `plan_collections` (with
  `plan_members`): what is to be done, as data
- `ids`: a million members in a few bytes each
- `guard`: what must not be done without an administrator's word
- `apply_hierarchy`, `apply_users`, `apply_collections`: doing it, in one transaction
- `former`: what a run replaces, kept encrypted for `client.undo`
- `lease`: one run of a server at a time; `pause`: none of a kind until somebody resumes it
- `report`, `history`: what a run tells, and its rows
- `engine`: the only module that knows the order of these
"""
