"""The wire, pure: what is said between two sites, and nothing about who decides or who sends it.

- `paths`: where each end point lives below a site's base URL (protocol 2)
- `values`: the smallest things: tokens, numbers, flags, clean text (protocol 1)
- `forms`: form bodies, read and written as PHP does (protocol 1)
- `jsend`: the envelope of every reply (protocol 1)
- `versions`: which versions are spoken, and which one two sites choose (protocol 3)
- `services`: names, parameters and refusals of the service calls (protocol 3, 4, 5 and 7)
- `columns`: a record's columns, how each travels and what a peer can store of it (protocol 1 and 6)
- `users`: the user record with its jobs and custom profile fields, written and read (protocol 6)
- `collections`: audiences and courses with their members, written and read (protocol 5)
- `hierarchies`: positions and organisations, written and read (protocol 5)
- `replies`: the data of the small replies, and the frame of the large ones (protocol 5 and 7)

Nothing here opens a socket, a file or a database. Reading is tolerant and raises only `BadReply`,
`BadRecord` or `Refused`; writing is strict.
"""
