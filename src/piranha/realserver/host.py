"""This machine (more exactly: the network namespace the thread is in) as the requirements see it: read, make, restore.

Files lie below `root`; kernel settings, addresses and rules are always the live ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import ModuleType
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.realserver.request import HostFacts
from piranha.realserver.requirement import (
    ARP_TABLE,
    PRESENT,
    UP,
    AddressIs,
    ArpRulesAre,
    DecapsulationIs,
    FileIs,
    Requirement,
    State,
    SysctlIs,
    TunnelIsUp,
)

COMMAND_TIMEOUT_S = 20.0
PROC_SYS = Path("/proc/sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Stateless: every read asks the system anew."""

    root: Path = Path("/")

    # -- facts ---------------------------------------------------------------------------------------------------

    def facts(self, *, rip: IPv4Address | None = None, interfaces: Sequence[str] = ()) -> HostFacts:
        """What this machine offers; `rip` and `interfaces` override what is found."""
        listing = _ip_json("addr", "show")
        up = [
            d for d in listing if "LOOPBACK" not in d["flags"] and "UP" in d["flags"] and d["ifname"] not in _FALLBACKS
        ]
        names = tuple(interfaces) or tuple(d["ifname"] for d in up)
        first = next(
            (
                IPv4Address(i["local"])
                for d in up
                if d["ifname"] in names
                for i in d["addr_info"]
                if i["family"] == "inet"
            ),
            None,
        )
        return HostFacts(
            interfaces=names,
            rip=rip or first,
            tunnel_kinds=frozenset(kind for kind, (device, module) in _TUNNELS.items() if _has_tunnel(device, module)),
            has_nft=shutil.which("nft") is not None,
            has_systemd=(self.root / "etc/systemd/system").is_dir() and shutil.which("systemctl") is not None,
            command=shutil.which("piranha") or f"{sys.executable} -m piranha",
        )

    # -- read ----------------------------------------------------------------------------------------------------

    def read(self, requirement: Requirement) -> State:
        match requirement:
            case SysctlIs():
                try:
                    return (PROC_SYS / requirement.key).read_text().strip()
                except FileNotFoundError:
                    return None
            case AddressIs():
                return self._read_address(requirement)
            case FileIs():
                return self._read_file(requirement)
            case TunnelIsUp():
                flags = next((d["flags"] for d in _ip_json("link", "show") if d["ifname"] == requirement.device), None)
                return None if flags is None else UP if "UP" in flags else "down"
            case DecapsulationIs():
                state: State = _decapsulation().attached_state(requirement.device)
                return state
            case ArpRulesAre():
                return _arp_rules()

    def _read_address(self, requirement: AddressIs) -> State:
        for device in _ip_json("addr", "show"):
            if device["ifname"] == requirement.device:
                wanted = (str(requirement.address.ip), requirement.address.network.prefixlen)
                return PRESENT if any((i["local"], i["prefixlen"]) == wanted for i in device["addr_info"]) else None
        raise PiranhaError(f"there is no network device `{requirement.device}`", mend="`ip link` lists the devices")

    def _read_file(self, requirement: FileIs) -> State:
        path = self.root / requirement.path
        try:
            return str(path.readlink()) if requirement.link else path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PiranhaError(f"/{requirement.path} cannot be read: {error.strerror}") from None

    # -- write ---------------------------------------------------------------------------------------------------

    def make(self, requirement: Requirement) -> None:
        """Bring it about. Raises PiranhaError with what the system said."""
        match requirement:
            case SysctlIs():
                _write_sysctl(requirement.key, requirement.accepted[0])
            case AddressIs():
                label = ["label", requirement.label] if requirement.label else []
                # A deprecated IPv6 address is never chosen as the source of this server's own connections.
                quiet = ["nodad", "preferred_lft", "0"] if requirement.address.version == 6 else []
                _run(["ip", "addr", "add", str(requirement.address), "dev", requirement.device, *label, *quiet])
            case FileIs():
                self._write_file(requirement, requirement.content)
            case TunnelIsUp():
                if self.read(requirement) is None:
                    _run(["modprobe", requirement.module])
                _run(["ip", "link", "set", requirement.device, "up"])
            case DecapsulationIs():
                _decapsulation().attach(requirement.device, requirement.vips)
            case ArpRulesAre():
                _run(["nft", "-f", "-"], given=nft_script(requirement.rules))

    def restore(self, requirement: Requirement, before: State) -> None:
        """Bring back the state of before. Raises PiranhaError with what the system said."""
        match requirement:
            case SysctlIs():
                if before is not None:
                    _write_sysctl(requirement.key, before)
            case AddressIs():
                _run(["ip", "addr", "del", str(requirement.address), "dev", requirement.device])
            case FileIs():
                self._write_file(requirement, before)
            case TunnelIsUp():
                _run(["ip", "link", "set", requirement.device, "down"])
            case DecapsulationIs():
                _decapsulation().detach(requirement.device)
            case ArpRulesAre():
                _run(["nft", "delete", "table", "arp", ARP_TABLE])

    def _write_file(self, requirement: FileIs, content: State) -> None:
        path = self.root / requirement.path
        try:
            if content is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".piranha-new")
            temporary.unlink(missing_ok=True)
            if requirement.link:
                temporary.symlink_to(content)
            else:
                temporary.write_text(content)
            temporary.replace(path)
        except OSError as error:
            raise PiranhaError(f"/{requirement.path} cannot be written: {error.strerror}") from None

    def tell_systemd(self) -> None:
        """Let the running systemd read changed units; nothing where another root or no systemd is at work."""
        if self.root == Path("/") and Path("/run/systemd/system").is_dir():
            _run(["systemctl", "daemon-reload"])

    # -- the record ----------------------------------------------------------------------------------------------

    def read_text(self, path: Path) -> str | None:
        try:
            return path.read_text()
        except FileNotFoundError:
            return None

    def write_record(self, path: Path, text: str | None) -> None:
        """Replace the record so that a crash leaves the old one or the new one whole; None removes it."""
        try:
            if text is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".{path.name}.new")
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise PiranhaError(f"{path} cannot be written: {error.strerror}", mend="run it as root (`sudo`)") from None


_TUNNELS = {"ipip": ("tunl0", "ipip"), "ip6tnl": ("ip6tnl0", "ip6_tunnel")}
_FALLBACKS = {"tunl0", "ip6tnl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}


def _decapsulation() -> ModuleType:
    """Loaded only where packets are decapsulated by BPF: it brings numpy and netlink with it."""
    from piranha.realserver import decapsulation

    return decapsulation


def nft_script(rules: Sequence[str]) -> str:
    """An nft script: our table holds exactly the rules, in one transaction. A rule begins with its chain's name."""
    chains = {
        name: [r.removeprefix(f"{name} ") for r in rules if r.startswith(f"{name} ")] for name in ("input", "output")
    }
    blocks = "\n".join(
        f"  chain {name} {{\n    type filter hook {name} priority 0; policy accept;\n"
        + "".join(f"    {rule}\n" for rule in body)
        + "  }"
        for name, body in chains.items()
    )
    return f"table arp {ARP_TABLE}\ndelete table arp {ARP_TABLE}\ntable arp {ARP_TABLE} {{\n{blocks}\n}}\n"


def parse_nft_listing(listing: str) -> State:
    """The rules of our table, as `nft_script` takes them, from what `nft list table` prints."""
    rules, chain = [], ""
    for line in (line.strip() for line in listing.splitlines()):
        if match := re.fullmatch(r"chain (\w+) \{", line):
            chain = match[1]
        elif line.startswith("arp "):
            rules.append(f"{chain} {line}")
    return "\n".join(sorted(rules))


def _arp_rules() -> State:
    if shutil.which("nft") is None:
        return None
    done = _attempt(["nft", "list", "table", "arp", ARP_TABLE])
    return parse_nft_listing(done.stdout) if done.returncode == 0 else None


def _has_tunnel(device: str, module: str) -> bool:
    if any(d["ifname"] == device for d in _ip_json("link", "show")):
        return True
    modprobe = shutil.which("modprobe")
    return modprobe is not None and _attempt([modprobe, "--dry-run", "--quiet", module]).returncode == 0


def _write_sysctl(key: str, value: str) -> None:
    try:
        (PROC_SYS / key).write_text(value + "\n")
    except OSError as error:
        raise PiranhaError(
            f"kernel setting {key} cannot be set to {value}: {error.strerror}",
            mend="run as root, outside of containers that keep /proc/sys read-only",
        ) from None


def _ip_json(*words: str) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = json.loads(_run(["ip", "-j", *words]) or "[]")
    return devices


def _attempt(command: Sequence[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=given, stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise PiranhaError(f"the command `{command[0]}` is not installed") from None
    except subprocess.TimeoutExpired:
        raise PiranhaError(f"`{' '.join(command)}` did not end within {COMMAND_TIMEOUT_S:.0f} s") from None


def _run(command: Sequence[str], given: str | None = None) -> str:
    done = _attempt(command, given)
    if done.returncode:
        with contextlib.suppress(IndexError):
            raise PiranhaError(f"`{' '.join(command)}` failed: {done.stderr.strip().splitlines()[-1]}")
        raise PiranhaError(f"`{' '.join(command)}` failed with status {done.returncode}")
    return done.stdout
