"""What pulse takes from lvs.cf, read in a process of its own: a parser of thousands of lines must not delay a heartbeat.

`python -m piranha.pulse.reading FILE` prints the `PulseConfiguration` as one JSON document, or the error and exits with 1.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.pulse.addresses import CarriedAddress, carried

if TYPE_CHECKING:
    from piranha.model.configuration import Configuration

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A `failover` block, for `service = fos`."""

    name: str
    address: str
    port: int
    protocol: str
    start_cmd: str
    stop_cmd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseConfiguration:
    """The part of a configuration that pulse acts on. `floating` has the NAT router first, then each distinct VIP.
    `primary` and `backup` have each director's public address first.
    """

    mode: str
    primary: tuple[IPAddress, ...]
    backup: tuple[IPAddress, ...]
    backup_active: bool
    heartbeat_port: int
    sealed: bool
    profile: str
    keepalive_s: float | None
    deadtime_s: float | None
    failback: bool
    failback_delay_s: float
    start_delay_s: float
    monitor_links: bool
    syncdaemon: bool
    ipvs: bool
    active_cmd: str
    inactive_cmd: str
    floating: tuple[CarriedAddress, ...]
    services: tuple[Service, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> PulseConfiguration:
        """Raises ValueError for a text that `to_json` did not write."""
        try:
            value: dict[str, Any] = json.loads(text)
            value["primary"] = tuple(ip_address(address) for address in value["primary"])
            value["backup"] = tuple(ip_address(address) for address in value["backup"])
            value["floating"] = tuple(
                CarriedAddress(**(floating | {"address": ip_address(floating["address"])}))
                for floating in value["floating"]
            )
            value["services"] = tuple(Service(**service) for service in value["services"])
            return PulseConfiguration(**value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no configuration of pulse: {error}") from error


def of_configuration(configuration: Configuration) -> PulseConfiguration:
    """Pulse's part of a whole configuration."""
    from piranha.model.configuration import DataPlaneChoice, HeartbeatAuth

    return PulseConfiguration(
        mode=configuration.service.value,
        primary=_pair(configuration.primary, configuration.primary_private),
        backup=_pair(configuration.backup, configuration.backup_private),
        backup_active=configuration.backup_active and configuration.backup is not None,
        heartbeat_port=configuration.heartbeat_port,
        sealed=configuration.heartbeat_auth is HeartbeatAuth.SEALED,
        profile=configuration.profile.value,
        keepalive_s=configuration.keepalive_s,
        deadtime_s=configuration.deadtime_s,
        failback=configuration.failback,
        failback_delay_s=configuration.failback_delay_s,
        start_delay_s=configuration.start_delay_s,
        monitor_links=bool(configuration.monitor_links),
        syncdaemon=configuration.syncdaemon,
        ipvs=configuration.dataplane is DataPlaneChoice.IPVS,
        active_cmd=configuration.active_cmd or "",
        inactive_cmd=configuration.inactive_cmd or "",
        floating=carried(configuration),
        services=tuple(
            Service(
                name=block.name,
                address=str(block.address.address) if block.address else "",
                port=block.port,
                protocol=block.protocol.name.lower(),
                start_cmd=block.start_cmd or "",
                stop_cmd=block.stop_cmd or "",
            )
            for block in configuration.failovers
            if block.active
        ),
    )


def _pair(public: IPAddress | None, private: IPAddress | None) -> tuple[IPAddress, ...]:
    """The addresses of a director, the public one first; one that is given twice counts once."""
    given = [address for address in (public, private) if address is not None and not address.is_unspecified]
    return tuple(dict.fromkeys(given))


def read(path: Path) -> PulseConfiguration:
    """Raises PiranhaError with the first error of the file."""
    from piranha.config.semantics import check_text
    from piranha.config.store import read_text

    parsed = check_text(read_text(path), file=str(path))
    if not parsed.is_usable:
        raise PiranhaError(str(parsed.errors[0]), mend="`piranha config check` lists all errors")
    refuse_shared_device(parsed.configuration)
    return of_configuration(parsed.configuration)


def refuse_shared_device(configuration: Configuration) -> None:
    """Failover services with a shared SCSI device are refused: without its reservation two directors would write to it.

    The original reserved the device and reset whoever held it; a director that thinks it is fenced while it is not destroys
    data, so nothing half-way is offered. Raises PiranhaError.
    """
    if configuration.service.value != "fos" or not (configuration.primary_shared or configuration.backup_shared):
        return
    raise PiranhaError(
        "primary_shared and backup_shared ask for SCSI reservations, which this Piranha does not make: it does not start "
        "services that rely on them",
        mend="replicate the data instead (DRBD, a database's own replication), or use a cluster manager that fences; then "
        "remove the two lines",
    )


def main(arguments: list[str]) -> int:
    try:
        print(read(Path(arguments[0])).to_json())
    except PiranhaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
