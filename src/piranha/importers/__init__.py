"""Importers: configurations of other balancers as an `lvs.cf`, with a report of every line. They change nothing.

Each dialect has a reader (text to statements) and a translator (statements to drafts, with a verdict in the ledger for
each). Open `importing.py` first.
"""
