"""Switching: the port every data plane implements, the plan from actual to desired, and the planes.

Open `port.py` first.
"""
