"""`python -m tests.simulation --seeds N [--first M]`: play many seeds, print what they showed; exit 1 where anything broke."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from piranha.cluster.commands import Command, SendHeartbeats, SendProbe, SetTimer
from tests.simulation.host import Host
from tests.simulation.scenario import History, play
from tests.simulation.variants import VARIANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, metavar="M", help="the first one (0)")
    parser.add_argument("--variant", choices=sorted(VARIANTS), help="play with a rule switched off, to see it break")
    parser.add_argument("--show", type=int, default=10, metavar="K", help="how many broken seeds to show (10)")
    parser.add_argument("--tell", action="store_true", help="print what the directors do")
    options = parser.parse_args()
    machine, host = VARIANTS[options.variant or "all rules"]
    began = time.process_time()
    histories = []
    for seed in range(options.first, options.first + options.seeds):
        histories.append(play(seed, machine, host=host, tells=_tell if options.tell else None))
        if len(histories) % 2000 == 0:
            print(f"  {len(histories)} seeds, {time.process_time() - began:.0f} CPU-s", file=sys.stderr, flush=True)
    _report(histories, time.process_time() - began, options.show)
    return 1 if any(history.findings.broken for history in histories) else 0


def _tell(host: Host, command: Command) -> None:
    if not isinstance(command, SetTimer | SendProbe | SendHeartbeats):
        print(f"{host.world.now / 1e9:9.4f} s  director {host.index}  {command}")


def _report(histories: list[History], cpu_s: float, show: int) -> None:
    simulated_s = sum(history.lasted_ns for history in histories) / 1e9
    print(
        f"{len(histories)} seeds, {simulated_s:.0f} cluster-seconds in {cpu_s:.1f} CPU-s: {simulated_s / cpu_s:.0f} a CPU-s"
    )
    print()
    print("both gates open, ms, by cause        seeds     p50     p99   p99.9     max")
    for name, group in _causes(histories):
        longest = [max(h.findings.dual_ns, h.findings.lossy_dual_ns) / 1e6 for h in group]
        print(f"  {name:<32} {len(group):>7} {_quantiles(longest)}")
    print("nobody open though somebody could, ms")
    for profile in sorted({history.profile for history in histories}):
        group = [history for history in histories if history.profile is profile]
        print(f"  {profile:<32} {len(group):>7} {_quantiles([h.findings.outage_ns / 1e6 for h in group])}")
    print("claims in a seed")
    print(f"  {'':<32} {len(histories):>7} {_quantiles([float(h.findings.claims) for h in histories])}")
    broken = [history for history in histories if history.findings.broken]
    print()
    print(f"{len(broken)} seeds broke an invariant" if broken else "no invariant was broken")
    for history in broken[:show]:
        print(f"  seed {history.seed} ({history.profile}; {', '.join(history.faults)})")
        for text in (*history.findings.calendar, *history.findings.broken[:5]):
            print(f"    {text}")


def _causes(histories: list[History]) -> Iterable[tuple[str, list[History]]]:
    def has_loss(history: History) -> bool:
        return any(fault.startswith("loss") for fault in history.faults)

    for profile in sorted({history.profile for history in histories}):
        group = [history for history in histories if history.profile is profile]
        yield f"{profile}, no packet loss", [history for history in group if not has_loss(history)]
        yield f"{profile}, 10 to 50 % loss", [history for history in group if has_loss(history)]


def _quantiles(values: list[float]) -> str:
    if not values:
        return "      -       -       -       -"
    ordered = sorted(values)
    picks = [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.99, 0.999)]
    return " ".join(f"{value:>7.1f}" for value in [*picks, ordered[-1]])


if __name__ == "__main__":
    sys.exit(main())
