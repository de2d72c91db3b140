"""The outcome of an import beside a table that runs: what `lvsd` would change once all servers are up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.plan import plan
from piranha.dataplane.port import Capabilities
from piranha.director.admission import Admission, Facts
from piranha.director.desired import desired_entries
from piranha.director.difference import describe
from piranha.director.layout import lay_out
from piranha.importers.values import SCHEDULERS
from piranha.model.configuration import Configuration
from piranha.model.health import Health
from piranha.model.service import Protocol, ServiceEntry, ServiceStatus, TunnelType

EVERYTHING = Capabilities(
    schedulers=frozenset(SCHEDULERS),
    persistence=True,
    firewall_marks=True,
    protocols=frozenset((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
    scheduler_flags=frozenset(SCHEDULERS),
    all_ports=True,
    one_packet=True,
    thresholds=True,
    engines=frozenset(("sip",)),
    tunnels=frozenset(TunnelType),
)
"""What lvs.cf can say; a plane that cannot do all of it says so when it is given the file."""


def expected_entries(configuration: Configuration) -> tuple[ServiceEntry, ...]:
    """The table of a configuration whose servers are all up."""
    layout = lay_out(configuration, EVERYTHING)
    health = {member.key: Health.UP for service in layout.services for member in service.members}
    admitted = Admission().decide(layout, Facts(health=health, held={}, advised={}), 0.0)
    return desired_entries(layout, admitted)


def differences(
    configuration: Configuration, table: Sequence[ServiceStatus], *, shown: int = 10_000
) -> tuple[str, ...]:
    """One line for each change that would make `table` what the configuration says; whose services they are is no matter."""
    actual = [status.entry for status in table]
    return describe(plan(actual, expected_entries(configuration)), table, shown=shown)
