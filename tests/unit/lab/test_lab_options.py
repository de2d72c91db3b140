"""What may be chosen about a lab."""

from __future__ import annotations

import pytest

from piranha.base.errors import UsageError
from piranha.lab.options import LabOptions, check_prefix
from piranha.model.service import ForwardingMethod


@pytest.mark.parametrize("prefix", ["plab-", "a-", "x1-", "abcdefghijkl-"])
def test_good_prefixes(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "-", "plab", "Plab-", "1x-", "a-b-", "../-", "abcdefghijklm-", "a b-"])
def test_prefixes_that_could_name_what_is_not_ours_are_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="prefix"):
        check_prefix(prefix)


def test_only_masquerading_maps_ports() -> None:
    LabOptions(forward=ForwardingMethod.MASQUERADE, server_port=8080)
    with pytest.raises(UsageError, match="cannot map port 80 to 8080"):
        LabOptions(forward=ForwardingMethod.TUNNEL, server_port=8080)


@pytest.mark.parametrize(
    "change",
    [
        {"real_servers": 0},
        {"real_servers": 61},
        {"virtual_port": 0, "server_port": 0},
        {"scheduler": "rr; rm"},
        {"timeout_s": 0},
        {"reentry_s": 9999},
        {"directors": 3},
        {"profile": "slow"},
        {"directors": 2, "ipv6": True, "forward": ForwardingMethod.MASQUERADE},
    ],
)
def test_values_out_of_range_are_usage_errors(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LabOptions(**change)  # type: ignore[arg-type]


def test_options_survive_the_marker_file() -> None:
    options = LabOptions(
        forward=ForwardingMethod.MASQUERADE, server_port=8080, real_servers=3, directors=2, profile="fast"
    )
    assert LabOptions.from_json(options.as_json()) == options
