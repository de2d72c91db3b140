"""What `piranha status` says of the data plane's defences and losses."""

from __future__ import annotations

import numpy as np

from piranha.cli.status import plane_lines
from piranha.dataplane.port import PlaneStatus
from piranha.director.status import plane_view

NOBODY = np.zeros((2, 2), np.int64)


def test_defences_and_losses_have_lines_of_their_own() -> None:
    status = PlaneStatus(
        name="ebpf",
        defences={"secure_tcp": "on", "room": "for 3 connections, short below 1024"},
        losses={"locality_addresses": 7},
    )
    lines = list(plane_lines(plane_view(status, NOBODY)))
    assert "defences       secure_tcp on" in lines
    assert "               room for 3 connections, short below 1024" in lines
    assert "losses         locality_addresses 7" in lines


def test_they_have_none_when_there_is_nothing_to_say() -> None:
    lines = list(plane_lines(plane_view(PlaneStatus(name="ebpf"), NOBODY)))
    assert not [line for line in lines if line.startswith(("defences", "losses"))]
