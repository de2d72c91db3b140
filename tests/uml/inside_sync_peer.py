"""Runs inside the guest: a director with the kernel's IPVS, which does what the test tells it by TCP.

Arguments: address and port to listen at. A request is a line of JSON, a command line for the shell; the answer is a line
with its exit status and output. The guest ends with the connection.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

DEVICES = {"vec0": ("10.77.1.2/24", "fd77:1::2/64"), "vec1": ("10.77.2.2/24", "fd77:2::2/64")}
KERNEL = {
    "/proc/sys/net/ipv4/ip_forward": "1",
    "/proc/sys/net/ipv6/conf/all/forwarding": "1",
    "/proc/sys/net/ipv4/conf/all/rp_filter": "0",
    "/proc/sys/net/ipv4/conf/all/send_redirects": "0",
}


def main() -> None:
    for device, addresses in DEVICES.items():
        lines = [f"link set {device} up"]
        lines += [f"addr add {a} dev {device}" + (" nodad" if ":" in a else "") for a in addresses]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    for path, value in KERNEL.items():
        Path(path).write_text(value)
    with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listener:
        connection, _ = listener.accept()
    with connection, connection.makefile("rw") as lines_in:
        for line in lines_in:
            done = subprocess.run(json.loads(line), shell=True, text=True, capture_output=True, timeout=60)
            lines_in.write(json.dumps([done.returncode, done.stdout + done.stderr]) + "\n")
            lines_in.flush()


if __name__ == "__main__":
    main()
