"""The article's Listing 1: explained line by line as printed, accepted with its addresses filled in."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.config.names import FixedNames
from piranha.config.problem import Kind
from piranha.config.semantics import check_text
from piranha.model.configuration import DeviceAddress
from piranha.model.service import ForwardingMethod

FIXTURES = Path(__file__).parents[2] / "fixtures"
NAMES = FixedNames()


@pytest.mark.parametrize("strict", [False, True])
def test_as_printed_every_missing_value_is_explained(strict: bool) -> None:
    parsed = check_text((FIXTURES / "listing1.cf").read_text(), strict=strict, names=NAMES)
    assert not parsed.is_usable
    assert {problem.kind for problem in parsed.errors} == {Kind.MISSING_ARGUMENTS}
    assert [(problem.line, problem.suggestion.split("`")[1]) for problem in parsed.errors] == [
        (2, "primary = 192.0.2.1"),
        (5, "backup = 192.0.2.2"),
        (14, "virtual webfarm {"),
        (16, "address = 192.0.2.100 eth0:0"),
        (17, "vip_nmask = 255.255.255.0"),
        (29, "address = 10.0.0.11"),
        (34, "address = 10.0.0.11"),
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_with_addresses_it_passes_in_both_modes(strict: bool) -> None:
    parsed = check_text((FIXTURES / "listing1-filled.cf").read_text(), strict=strict, names=NAMES)
    assert parsed.errors == ()
    assert [problem.line for problem in parsed.warnings] == [22], "load_monitor = rup"
    configuration = parsed.configuration
    assert (configuration.serial_no, configuration.network) == (40, ForwardingMethod.DIRECT)
    assert configuration.backup_active
    (virtual,) = configuration.virtuals
    assert (virtual.name, virtual.active, virtual.port, virtual.scheduler) == ("webfarm", True, 80, "rr")
    assert virtual.address == DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:0")
    assert virtual.send == r"GET / HTTP/1.0\r\n\r\n"
    assert (virtual.timeout_s, virtual.reentry_s, virtual.quiesce_server) == (6, 15, True)
    assert [(server.name, str(server.address), server.port) for server in virtual.servers] == [
        ("webserver1", "10.0.0.11", 80),
        ("webserver2", "10.0.0.12", 80),
    ]
