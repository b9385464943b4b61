"""The rules of the client role: servers connected to, sign-in through them, accounts kept as they say."""
