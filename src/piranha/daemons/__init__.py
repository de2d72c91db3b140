"""Composition roots: build the objects, hand over, run; nothing imports them."""
