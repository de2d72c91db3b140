"""The pair of directors: who is active, and how the two talk.

Owns the failover rules, the heartbeat's bytes and seal, and the pair's keys. Knows no sockets, no addresses of interfaces, no
switching and no health. Begin with `failover.py`.
"""
