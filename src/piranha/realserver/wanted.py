"""What a real server needs, and why: from a request and the machine's facts to requirements. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_interface

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.realserver.request import ArpMethod, HostFacts, SetupRequest
from piranha.realserver.requirement import (
    AddressIs,
    ArpRulesAre,
    DecapsulationIs,
    FileIs,
    Requirement,
    SysctlIs,
    TunnelIsUp,
)

UNIT = "piranha-realserver.service"
SYSCTL_FILE = "etc/sysctl.d/90-piranha-realserver.conf"
UNIT_FILE = f"etc/systemd/system/{UNIT}"
UNIT_LINK = f"etc/systemd/system/multi-user.target.wants/{UNIT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Requirements in the order of making them: the VIP never stands while ARP would answer for it; and remarks."""

    requirements: tuple[Requirement, ...]
    notes: tuple[str, ...] = ()


def want(request: SetupRequest, facts: HostFacts) -> Wanted:
    """What must hold for the request. Raises PiranhaError where this machine cannot do it."""
    if not request.vips:
        raise PiranhaError("no VIP is given", mend="name each virtual address with `--vip ADDRESS`")
    vips4 = tuple(vip for vip in request.vips if vip.version == 4)
    vips6 = tuple(vip for vip in request.vips if vip.version == 6)
    notes: list[str] = []
    requirements: list[Requirement] = []
    if vips4:
        requirements += _quiet_arp(vips4, request, facts)
    if vips6:
        notes.append(
            "IPv6 needs no setting against neighbour discovery: the kernel answers only for addresses of the device "
            "that was asked, and the VIP stands on the loopback"
        )
    if request.tunnel:
        requirements += _decapsulation(request.vips, facts, notes)
    requirements += [_address(vip, request.device) for vip in request.vips]
    if request.persist:
        requirements += _files(request, facts, tuple(requirements), notes)
    return Wanted(requirements=tuple(requirements), notes=tuple(notes))


def _quiet_arp(vips: tuple[IPAddress, ...], request: SetupRequest, facts: HostFacts) -> list[Requirement]:
    if request.method is ArpMethod.ARPTABLES:
        if not facts.has_nft:
            raise PiranhaError(
                "the arptables method needs the command `nft`, which is not installed",
                mend="install the package nftables, or use `--method sysctl`",
            )
        if facts.rip is None:
            raise PiranhaError(
                "the address of this real server, which ARP packets shall carry instead of the VIP, is not known",
                mend="name it with `--rip ADDRESS`",
            )
        drop = [f"input arp daddr ip {vip} drop" for vip in vips]
        mangle = [f"output arp saddr ip {vip} arp saddr ip set {facts.rip}" for vip in vips]
        return [ArpRulesAre(rules=tuple(drop + mangle))]
    # The kernel takes the larger of `all` and the device's own value: `all` makes it hold for devices to come, the
    # devices' own because a larger but wrong one (arp_ignore 3 answers for the loopback's addresses) would win.
    return [
        requirement
        for name in ("all", *facts.interfaces)
        for requirement in (
            SysctlIs(key=f"net/ipv4/conf/{name}/arp_ignore", accepted=("1", "2")),
            SysctlIs(key=f"net/ipv4/conf/{name}/arp_announce", accepted=("2",)),
        )
    ]


def _decapsulation(vips: tuple[IPAddress, ...], facts: HostFacts, notes: list[str]) -> list[Requirement]:
    notes.append(
        "packets from the director are larger by the outer header: let the MTU towards the director be 1540 or more, "
        "or give this server's routes `advmss 1400`, so that clients send segments that fit"
    )
    kinds = {("ipip" if vip.version == 4 else "ip6tnl") for vip in vips}
    if not kinds <= facts.tunnel_kinds:
        if not facts.interfaces:
            raise PiranhaError(
                "no network device is up on which packets could be decapsulated", mend="bring one up first"
            )
        lacking = " and no ".join(sorted(kinds - facts.tunnel_kinds))
        notes.append(f"this kernel has no {lacking} device: piranha's own BPF program decapsulates")
        return [DecapsulationIs(device=device, vips=vips) for device in facts.interfaces]
    devices = {"ipip": "tunl0", "ip6tnl": "ip6tnl0"}
    up: list[Requirement] = [TunnelIsUp(device=devices[kind], module=_module(kind)) for kind in sorted(kinds)]
    # Clients' packets come out of the tunnel device, but the way back to them leads elsewhere: a strict check would
    # drop them. The larger of `all` and the device's value holds, so loose mode on the device is enough.
    loose = [
        SysctlIs(key=f"net/ipv4/conf/{devices[kind]}/rp_filter", accepted=("2",))
        for kind in sorted(kinds)
        if kind == "ipip"
    ]
    return up + loose


def _module(kind: str) -> str:
    return {"ipip": "ipip", "ip6tnl": "ip6_tunnel"}[kind]


def _address(vip: IPAddress, device: str) -> AddressIs:
    return AddressIs(device=device, address=ip_interface(f"{vip}/{vip.max_prefixlen}"))


def _files(
    request: SetupRequest, facts: HostFacts, requirements: tuple[Requirement, ...], notes: list[str]
) -> list[Requirement]:
    files: list[Requirement] = []
    # A tunnel device's setting is left to the unit: the device does not exist yet when systemd-sysctl reads the file.
    settings = [r for r in requirements if isinstance(r, SysctlIs) and not r.key.endswith("/rp_filter")]
    if settings:
        head = "# Written by `piranha realserver setup`: no ARP for the virtual addresses of a load balancer.\n"
        body = "".join(f"{r.key} = {r.accepted[0]}\n" for r in settings)
        files.append(FileIs(path=SYSCTL_FILE, content=head + body))
    command = boot_command(request, facts)
    if facts.has_systemd:
        files.append(FileIs(path=UNIT_FILE, content=unit_text(command)))
        files.append(FileIs(path=UNIT_LINK, content=f"/{UNIT_FILE}", link=True))
    else:
        notes.append(f"this system has no systemd: let its start scripts run `{command}` at boot")
    return files


def boot_command(request: SetupRequest, facts: HostFacts) -> str:
    """The command that sets the same up again at boot."""
    words = [facts.command, "realserver", "setup", "--no-persist"]
    words += [word for vip in request.vips for word in ("--vip", str(vip))]
    words += ["--device", request.device, "--method", request.method.value]
    if request.method is ArpMethod.ARPTABLES and facts.rip is not None:
        words += ["--rip", str(facts.rip)]
    if request.tunnel:
        words.append("--tunnel")
    return " ".join(words)


def unit_text(command: str) -> str:
    """The oneshot unit. The ARP settings come earlier, from sysctl.d, so that the VIP is never announced."""
    return f"""# Written by `piranha realserver setup`.
[Unit]
Description=Piranha: virtual addresses of a load balancer on this real server
After=network-online.target systemd-sysctl.service
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""
