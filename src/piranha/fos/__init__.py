"""fos, failover services: programs on the directors themselves that run on one of the two (`service = fos`).

Runs in lvsd's place: starts and stops the services as the role changes, and on the standby checks them through their VIP. Knows
nothing of switching. Begin with `judge.py`.
"""
