"""The outbox: service calls that must reach a peer, even one that is down today."""
