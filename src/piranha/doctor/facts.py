"""What is known about a machine. None anywhere means that it could not be found out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class HookedProgram:
    """A BPF program on an interface: where (`xdp`, `tcx ingress`, `tcx egress`) and what the kernel calls it."""

    hook: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceFacts:
    """A network device that is up, loopback excepted. `kind` is `veth`, `bridge`, ...; empty for hardware."""

    name: str
    kind: str = ""
    rp_filter: int | None = None
    send_redirects: int | None = None
    tx_checksum_offload: bool | None = None
    programs: tuple[HookedProgram, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A machine, as far as a director depends on it.

    `bpf_error` is the errno of a first bpf(2), 0 when it worked. `bridge_calls` maps the settings of br_netfilter to
    their values. `capabilities` is the effective set as a bit mask. `open_files` is the hard limit.
    """

    kernel_release: str
    architecture: str
    is_root: bool
    capabilities: int
    bpf_error: int | None
    jit: int | None
    has_btf: bool
    has_tcx: bool | None
    libbpf_version: str | None
    has_bpffs: bool
    ip_forward: int | None
    ipv6_forwarding: int | None
    ipv6_default_from_ra: bool
    rp_filter_all: int | None
    send_redirects_all: int | None
    bridge_calls: dict[str, int] = field(default_factory=dict)
    has_bridge: bool = False
    interfaces: tuple[InterfaceFacts, ...] = ()
    clock_source: str | None = None
    clock_synchronised: bool | None = None
    may_run_fifo: bool = False
    open_files: int | None = None
