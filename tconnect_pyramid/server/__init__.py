"""The server role: who the clients are, what each may see, and who is signed in there (protocol 3 to 8).

- `clients`: registering, changing and removing a client
- `services`: the service calls of clients, authenticated and answered
- `callers`: the client behind a call, and the people it may see
- `records` and `lists`: what is sent of people, audiences, courses, positions and organisations
- `signin`: single sign-on, from the browser's arrival to the redeemed token, and log-out by a client; the
  way back to a client for which a profile was edited
- `keepalive`: asks the clients before a sign-in times out
- `cleanup`: removes what was left half done
"""
