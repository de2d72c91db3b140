"""What runs inside the guest: reads work as JSON from standard input, does it on the kernel's IPVS, writes results out.

Work: `{"scenarios": [...], "ipvsadm": [...]}` (`scenario.py`, `ipvsadm_record.py`). Results: the same keys, and `kernel`.
Each scenario and each group of command lines has a thread with a network namespace of its own, one after the other.
"""

from __future__ import annotations

import json
import platform
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.uml.ipvsadm_record import prepare_names, record_group
from tests.uml.kernel_plane import KernelPlane
from tests.uml.play import Player, wire_for
from tests.uml.scenario import Scenario
from tests.uml.wire import enter_new_network, set_kernel

ICMP_PER_SECOND = 1_000_000


def in_new_network(work: Callable[[], Any]) -> Any:
    """The result of `work`, run in a thread with a fresh network namespace; a failure as `{"failed": traceback}`."""
    box: list[Any] = []

    def body() -> None:
        try:
            enter_new_network()
            box.append(work())
        except Exception:
            box.append({"failed": traceback.format_exc()})

    thread = threading.Thread(target=body, name="network")
    thread.start()
    thread.join()
    return box[0]


def play(data: Any) -> Any:
    scenario = Scenario.from_json(data)
    # Conntrack leaves a sum over the IPv6 header behind, which IPVS takes for the TCP header's and drops FTP over IPv6; a
    # network card that has looked at checksums itself never lets it come to that, and a tap has not.
    set_kernel("net.netfilter.nf_conntrack_checksum", 0)
    wire = wire_for(scenario)
    plane = KernelPlane()
    try:
        return Player(plane, wire).play(scenario)
    finally:
        plane.close()
        wire.close()


def main() -> None:
    work = json.load(sys.stdin)
    for name in ("net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst"):
        set_kernel(name, ICMP_PER_SECOND)
    results: dict[str, Any] = {"kernel": platform.release(), "scenarios": {}, "ipvsadm": {}}
    for item in work.get("scenarios", []):
        results["scenarios"][item["name"]] = in_new_network(partial(play, item))
    if work.get("ipvsadm"):
        prepare_names()
    for group in work.get("ipvsadm", []):
        results["ipvsadm"][group["name"]] = in_new_network(partial(record_group, group))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
