"""Real HTTP and UDP through the real daemon: every forwarding method, family and hook.

         VIP .100
client ──────────── lb1 (lvsd, eBPF) ──────────── web1, web2
 .50        sw      .2   (nat: a second network behind lb1)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from piranha.lab.options import LabOptions
from piranha.lab.topology import UDP_PORT
from piranha.model.service import ForwardingMethod
from tests.netns.lab import VIP, LabUnderTest, lab_up, wait_until

BULK_PORT = 9000
CASES = [(method, hook) for hook in ("tc", "xdp") for method in ForwardingMethod]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0].value}-{case[1]}")
def lab(request: pytest.FixtureRequest) -> Iterator[LabUnderTest]:
    method, hook = request.param
    options = LabOptions(
        prefix="pnttraffic-",
        forward=method,
        hook=hook,
        checksum_offload=hook == "tc",
        ipv6=True,
        udp=True,
        server_port=8080 if method is ForwardingMethod.MASQUERADE else 80,
    )
    with lab_up(options) as lab:
        wait_until(lambda: all(s["up"] == 2 for s in servers_up(lab)))
        yield lab


def servers_up(lab: LabUnderTest) -> list[dict[str, int]]:
    return [{"up": sum(server["health"] == "up" for server in s["servers"])} for s in lab.services()]


def test_the_hook_is_the_one_asked_for(lab: LabUnderTest) -> None:
    wanted = "xdp+tcx" if lab.lab.options().hook == "xdp" else "tcx"  # type: ignore[union-attr]
    assert set(lab.status()["plane"]["hooks"].values()) == {wanted}


@pytest.mark.parametrize("version", [4, 6])
def test_http_goes_round(lab: LabUnderTest, version: int) -> None:
    host = VIP[4] if version == 4 else f"[{VIP[6]}]"
    assert lab.curl(f"http://{host}/", 8) == {"web1": 4, "web2": 4}


@pytest.mark.parametrize("version", [4, 6])
def test_udp_goes_round(lab: LabUnderTest, version: int) -> None:
    assert lab.udp(version, UDP_PORT, 8) == {"web1": 4, "web2": 4}


@pytest.mark.parametrize("version", [4, 6])
def test_bulk_transfer_arrives_whole(lab: LabUnderTest, version: int) -> None:
    """Four megabytes each way through GSO packets and partial checksums (TC) or whole frames (XDP)."""
    start_bulk(lab)
    assert bulk_arrives(lab, version)


def start_bulk(lab: LabUnderTest) -> None:
    """A service at BULK_PORT whose servers answer four megabytes with their hash and four megabytes."""
    server = (
        "import socket,hashlib\n"
        f"s=socket.create_server(('::',{BULK_PORT}),family=socket.AF_INET6,dualstack_ipv6=True)\n"
        "print('ready',flush=True)\n"
        "while True:\n"
        " c,_=s.accept(); h=hashlib.sha256(); n=0\n"
        " try:\n"
        "  while n<4<<20 and (d:=c.recv(65536)): h.update(d); n+=len(d)\n"
        "  if n==4<<20: c.sendall(h.digest()+bytes(4<<20))\n"
        " except OSError: pass\n"
        " c.close()\n"
    )
    text = lab.config.read_text()
    if "bulk" in text:
        return
    for node in lab.topology.real_servers:
        child = lab.popen(node.name, sys.executable, "-c", server)
        assert child.stdout is not None
        child.stdout.readline()
    lab.config.write_text(text + bulk_service(lab, BULK_PORT))
    lab.piranha("reload")
    wait_until(lambda: all(s["up"] == 2 for s in servers_up(lab)))


def bulk_arrives(lab: LabUnderTest, version: int, before: str = "") -> bool:
    """Do four megabytes go to a server and come back? `before` is code for the socket `s` before it connects."""
    family = "AF_INET" if version == 4 else "AF_INET6"
    client = (
        "import socket,hashlib,os\n"
        f"s=socket.socket(socket.{family}); s.settimeout(20)\n"
        f"{before}\n"
        f"s.connect(('{VIP[version]}',{BULK_PORT}))\n"
        "data=os.urandom(4<<20); s.sendall(data)\n"
        "got=b''\n"
        "while (d:=s.recv(1<<20)): got+=d\n"
        "print(got[:32]==hashlib.sha256(data).digest(), len(got)-32)\n"
    )
    return lab.run("client", sys.executable, "-c", client, timeout_s=60).split() == ["True", str(4 << 20)]


def bulk_service(lab: LabUnderTest, port: int) -> str:
    """Virtual servers for the bulk test, as they would be added by hand."""
    blocks = []
    for version in (4, 6):
        servers = "".join(
            f"    server {node.name} {{\n        address = {node.address(version)}\n        active = 1\n"
            f"        weight = 1\n        port = {port}\n    }}\n"
            for node in lab.topology.real_servers
        )
        blocks.append(
            f"virtual bulk{version} {{\n    active = 1\n    address = {VIP[version]} eth0:0\n    port = {port}\n"
            f"    scheduler = rr\n    protocol = tcp\n    timeout = 6\n    reentry = 15\n{servers}}}\n"
        )
    return "\n" + "".join(blocks)
