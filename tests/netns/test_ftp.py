"""A real FTP server and client through the real daemon: active and passive, plain and extended, in long sessions.

         VIP .100
client ──────────── lb1 (lvsd, eBPF, masquerading) ──────────── web1, web2 (FTP on 21)
 .50                                                             web2 tells another address than its own, and a longer one
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from piranha.lab import namespace as netns
from piranha.lab import network
from piranha.lab.options import LabOptions
from piranha.model.service import ForwardingMethod
from tests.netns.lab import VIP, LabUnderTest, lab_up, wait_until

PORT = 21
OTHER_ADDRESS = "198.51.100.200"
MODES = {4: "passive,active,extended", 6: "passive,active"}
ROUNDS = 24


# "finished": servers leave checksums to their device, the director's devices do not take that over. So the kernel
# finishes what we changed, and the client looks at it; between veths nobody looks at a sum that is left unfinished.
@pytest.fixture(scope="module", params=["tc", "finished", "xdp"])
def lab(request: pytest.FixtureRequest) -> Iterator[LabUnderTest]:
    pytest.importorskip("pyftpdlib", reason="the FTP server of this test (pyftpdlib) is not installed")
    options = LabOptions(
        prefix="pntftp-",
        forward=ForwardingMethod.MASQUERADE,
        hook="xdp" if request.param == "xdp" else "tc",
        checksum_offload=request.param != "xdp",
        ipv6=True,
    )
    with lab_up(options) as lab:
        if request.param == "finished":
            with netns.entered(lab.topology.namespace("lb1")):
                for device in ("eth0", "eth1"):
                    network._set_offload(device, network._ETHTOOL_STXCSUM, False)
        for node in lab.topology.real_servers:
            words = ["--told", OTHER_ADDRESS] if node.name == "web2" else []
            child = lab.popen(node.name, sys.executable, "-W", "ignore", "-m", "tests.netns.ftp", "server", *words)
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "ready"
        lab.config.write_text(lab.config.read_text() + ftp_services(lab))
        lab.piranha("reload")
        wait_until(lambda: all(ready(service) for service in lab.services()), timeout_s=60)
        yield lab


def ready(service: dict[str, list[dict[str, str]]]) -> bool:
    return [server["health"] for server in service["servers"]] == ["up", "up"]


def ftp_services(lab: LabUnderTest) -> str:
    blocks = []
    for version in (4, 6):
        servers = "".join(
            f"    server {node.name} {{\n        address = {node.address(version)}\n        active = 1\n"
            f"        weight = 1\n        port = {PORT}\n    }}\n"
            for node in lab.topology.real_servers
        )
        blocks.append(
            f"virtual ftp{version} {{\n    active = 1\n    address = {VIP[version]} eth0:0\n    port = {PORT}\n"
            f"    scheduler = rr\n    protocol = tcp\n    timeout = 6\n    reentry = 15\n{servers}}}\n"
        )
    return "\n" + "".join(blocks)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("session", ["first", "second"])  # rr: one on each server
def test_files_come_back_whole(lab: LabUnderTest, version: int, session: str) -> None:
    words = ("client", "--host", VIP[version], "--rounds", str(ROUNDS), "--modes", MODES[version])
    out = lab.run("client", sys.executable, "-W", "ignore", "-m", "tests.netns.ftp", *words, timeout_s=240)
    assert int(out) == ROUNDS
