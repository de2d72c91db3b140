"""Where files live. An environment variable moves each, so that several directors fit on one machine (the lab)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Every path the product uses outside its own package."""

    config: Path
    run: Path
    state: Path
    etc: Path

    @property
    def api_socket(self) -> Path:
        return self.run / "api.sock"

    @property
    def bpffs(self) -> Path:
        return self.run / "bpf"

    @property
    def pulse_socket(self) -> Path:
        return self.run / "pulse.sock"

    @property
    def pulse_lock(self) -> Path:
        return self.run / "pulse.lock"

    @property
    def fos_lock(self) -> Path:
        return self.run / "fos.lock"

    @property
    def lvsd_lock(self) -> Path:
        return self.run / "lvsd.lock"

    @property
    def events(self) -> Path:
        """What happened, kept over restarts."""
        return self.state / "events.jsonl"

    @property
    def unconfirmed(self) -> Path:
        """The change of lvs.cf that waits to be confirmed."""
        return self.state / "unconfirmed.json"

    @property
    def by_hand(self) -> Path:
        """Which services ipvsadm made: lvsd shows them and leaves them alone."""
        return self.state / "by-hand.json"

    @property
    def edits_by_hand(self) -> Path:
        """What ipvsadm changed of services that lvs.cf names, and may stay."""
        return self.state / "edits-by-hand.json"

    @property
    def overrides(self) -> Path:
        """What operators said of servers: disabled, draining, weights."""
        return self.state / "servers.json"

    @property
    def gui_state(self) -> Path:
        """Accounts, tokens and the audit log of piranha-gui."""
        return self.state / "gui"

    @staticmethod
    def from_environment(environment: dict[str, str] | None = None) -> Paths:
        """`PIRANHA_CONFIG`, `PIRANHA_RUN_DIR`, `PIRANHA_STATE_DIR` and `PIRANHA_ETC_DIR` override the defaults."""
        env = os.environ if environment is None else environment
        return Paths(
            config=Path(env.get("PIRANHA_CONFIG", "/etc/sysconfig/ha/lvs.cf")),
            run=Path(env.get("PIRANHA_RUN_DIR", "/run/piranha")),
            state=Path(env.get("PIRANHA_STATE_DIR", "/var/lib/piranha")),
            etc=Path(env.get("PIRANHA_ETC_DIR", "/etc/piranha")),
        )
