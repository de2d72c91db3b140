"""The small process that decides who is active: heartbeats, the VIP lease, addresses, announcements.

Light, and it never waits: no asyncio, no numpy, no pyroute2; every class here does its work on descriptors that one poll
loop watches, and is told the time. Knows nothing of services and real servers. Begin with `gate.py`.
"""
