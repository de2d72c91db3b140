"""The table is whole, agrees with the model, and every entry of it works."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from piranha.config.check_directives import NEEDED
from piranha.config.directives import BY_SCOPE, DIRECTIVES, Directive, Scope, ValueType
from piranha.config.names import FixedNames
from piranha.config.parser import Parsed, parse
from piranha.config.problem import Kind
from piranha.config.writer import format_value
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.mark import MarkBlock
from piranha.model.rules import PlaneRules

ROOT = Path(__file__).parents[3]
NAMES = FixedNames()
MODELS: dict[Scope, type] = {
    Scope.GLOBAL: Configuration,
    Scope.VIRTUAL: VirtualServer,
    Scope.SERVER: RealServer,
    Scope.MARK: MarkBlock,
    Scope.CHECK: CheckBlock,
}

# What piranha 0.8.6 took, with the value that a file without the directive has.
ORIGINAL_DEFAULTS: dict[Scope, dict[str, str | None]] = {
    Scope.GLOBAL: {
        **dict.fromkeys(("primary", "primary_private", "primary_shared", "backup", "backup_private", "backup_shared")),
        **dict.fromkeys(("nat_router", "nat_nmask", "active_cmd", "inactive_cmd", "reservation_conflict_action")),
        **dict.fromkeys(("serial_no", "backup_active", "heartbeat", "monitor_links", "syncdaemon", "syncd_id"), "0"),
        **dict.fromkeys(("tcp_timeout", "tcpfin_timeout", "udp_timeout", "sync"), "0"),
        "service": "lvs",
        "heartbeat_port": "539",
        "keepalive": None,
        "deadtime": None,
        "network": "nat",
        "debug_level": "NONE",
        "hard_shutdown": "1",
        "ipvsadm": "/sbin/ipvsadm",
        "rsh_command": "rsh",
        "syncd_iface": "eth0",
    },
    Scope.VIRTUAL: {
        **dict.fromkeys(("address", "vip_nmask", "sorry_server", "pmask", "send", "expect", "send_program")),
        **dict.fromkeys(("load_monitor", "client_monitor", "start_cmd", "stop_cmd", "master", "dirs")),
        **dict.fromkeys(("active", "fwmark", "persistent", "use_regex", "quiesce_server"), "0"),
        "protocol": "tcp",
        "port": "80",
        "scheduler": "wlc",
        "timeout": "10",
        "reentry": "180",
    },
    Scope.SERVER: {"address": None, "active": "0", "weight": "1", "port": "80"},
    Scope.MARK: {},
    Scope.CHECK: {},
}
# IPVS's sysctls stand with IPVS's defaults.
OURS: dict[Scope, dict[str, str | None]] = {
    Scope.GLOBAL: {
        "dataplane": "auto",
        "interfaces": "[ ]",
        "hook": "auto",
        "table_edits": "show",
        "api_group": None,
        "profile": "default",
        "heartbeat_auth": "sealed",
        "pair_port": None,
        "failback": "0",
        "failback_delay": "30",
        "start_delay": "0",
        **dict.fromkeys(("syncd_group", "sync_threshold")),
        **dict.fromkeys(("syncd_maxlen", "syncd_link_port", "sync_refresh_period", "sync_persist_mode"), "0"),
        "syncd_port": "8848",
        "syncd_ttl": "1",
        "sync_period": "50",
        "conn_reuse_mode": "1",
        "pmtu_disc": "1",
        **dict.fromkeys(("expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp", "sloppy_sctp"), "0"),
        **dict.fromkeys(("cache_bypass", "nat_icmp_send", "schedule_icmp"), "0"),
        **dict.fromkeys(("drop_entry", "drop_packet", "secure_tcp"), "0"),
        "amemthresh": "1024",
        "am_droprate": "10",
        **dict.fromkeys(("lblc_expiration", "lblcr_expiration"), "86400"),
    },
    Scope.VIRTUAL: {
        **dict.fromkeys(("interval", "rise", "fall", "persistence_engine")),
        "scheduler_flags": "[ ]",
        "one_packet": "0",
        **dict.fromkeys(("slow_start", "quorum_hysteresis", "depool_threshold", "drain_timeout"), "0"),
        **dict.fromkeys(("flap_window", "flap_hold"), "60"),
        **dict.fromkeys(("quorum_up", "quorum_down")),
        **dict.fromkeys(("load_port", "load_lifetime"), "0"),
        **dict.fromkeys(("load_path", "load_key")),
        "load_interval": "20",
        "load_formula": "original",
        "slow_start_form": "linear",
        "flap_limit": "3",
        "quorum": "1",
        "checks_needed": "all",
    },
    Scope.SERVER: {
        "forward": None,
        "checks_needed": None,
        "processors": "1",
        "tunnel": "ipip",
        "tunnel_checksum": "nocsum",
        **dict.fromkeys(("upper_threshold", "lower_threshold", "tunnel_port"), "0"),
    },
    Scope.MARK: {"address": None, "protocol": "any", "port": "[ ]"},
    Scope.CHECK: {
        **dict.fromkeys(("address", "port", "source", "timeout", "interval", "rise", "fall", "send", "send_hex")),
        **dict.fromkeys(("expect", "expect_hex", "reject", "path", "host", "header", "digest", "sni", "ca")),
        **dict.fromkeys(("certificate", "key", "name", "helo", "login", "password", "secret", "database", "query")),
        **dict.fromkeys(("base", "service", "command")),
        **dict.fromkeys(("packet_mark", "use_regex", "redirects", "tls", "starttls", "verify", "dynamic_weight"), "0"),
        "method": "GET",
        "status": "[ ]",
        "http_version": "1.1",
        "record": "SOA",
    },
}
LINE_OF = {Scope.GLOBAL: 1, Scope.VIRTUAL: 2, Scope.SERVER: 3, Scope.MARK: 2, Scope.CHECK: 3}


def check_block(directive: Directive, line: str) -> str:
    """A block of a kind that takes the directive, with what that kind cannot do without."""
    kind = min(directive.kinds, key=lambda kind: (len(NEEDED.get(kind, ())), kind), default=CheckKind.TCP)
    needed = [BY_SCOPE[Scope.CHECK][name] for name in NEEDED.get(kind, ()) if name != directive.name]
    more = "".join(f"{one.assignment_example}\n" for one in needed)
    return f"virtual farm {{\ncheck {kind} {{\n{line}{more}}}\n}}\n"


def read(directive: Directive, value: str, *, strict: bool = False) -> Parsed:
    line = f"{directive.name} = {value}\n"
    if directive.scope is Scope.VIRTUAL:
        line = f"virtual farm {{\n{line}}}\n"
    elif directive.scope is Scope.SERVER:
        line = f"virtual farm {{\nserver web1 {{\n{line}}}\n}}\n"
    elif directive.scope is Scope.MARK:
        line = f"mark 5 {{\n{line}}}\n"
    elif directive.scope is Scope.CHECK:
        line = check_block(directive, line)
    return parse(line, strict=strict, names=NAMES)


def value_of(parsed: Parsed, directive: Directive) -> object:
    assert directive.field is not None
    holder: object = parsed.configuration
    if directive.scope is Scope.MARK:
        holder = parsed.configuration.marks[0]
    elif directive.scope is not Scope.GLOBAL:
        holder = parsed.configuration.virtuals[0]
    if directive.scope is Scope.SERVER:
        holder = parsed.configuration.virtuals[0].servers[0]
    elif directive.scope is Scope.CHECK:
        holder = parsed.configuration.virtuals[0].checks[0]
    value = getattr(holder, directive.field)
    return value[0] if directive.repeatable else value


def test_the_table_has_31_23_and_4_directives_of_the_original() -> None:
    assert [len(ORIGINAL_DEFAULTS[scope]) for scope in Scope] == [31, 23, 4, 0, 0]
    for scope in Scope:
        names = {directive.name for directive in BY_SCOPE[scope].values() if directive.original}
        assert names == set(ORIGINAL_DEFAULTS[scope])
        added = {directive.name for directive in BY_SCOPE[scope].values() if not directive.original}
        assert added == set(OURS[scope])
    assert len(DIRECTIVES) == sum(len(table) for table in BY_SCOPE.values()), "a name stands twice in one scope"


@pytest.mark.parametrize("directive", DIRECTIVES, ids=lambda directive: f"{directive.scope}-{directive.name}")
def test_every_directive(directive: Directive) -> None:
    default = {**ORIGINAL_DEFAULTS[directive.scope], **OURS[directive.scope]}[directive.name]
    is_left_out = directive.default is None or directive.repeatable
    shown = None if is_left_out else format_value(directive, directive.default)
    assert shown == default
    parsed = read(directive, directive.example)
    assert parsed.errors == ()
    strict = read(directive, directive.example, strict=True)
    assert strict.is_usable is directive.original
    if not directive.original:
        assert strict.errors[0].kind is Kind.UNKNOWN_COMMAND
    if directive.field is not None:
        assert directive.field in {field.name for field in dataclasses.fields(MODELS[directive.scope])}
        value = value_of(parsed, directive)
        assert value is not None
        again = read(directive, format_value(directive, value))
        assert value_of(again, directive) == value
    for is_strict in (False, True):
        empty = read(directive, "", strict=is_strict)
        line = LINE_OF[directive.scope]
        if is_strict and directive.scope in (Scope.MARK, Scope.CHECK):
            line = {Scope.MARK: 1, Scope.CHECK: 2}[directive.scope]
        assert [problem.line for problem in empty.errors] == [line]
        assert empty.errors[0].kind is (
            Kind.UNKNOWN_COMMAND if is_strict and not directive.original else Kind.MISSING_ARGUMENTS
        )
    assert f"write `{directive.assignment_example}`" in read(directive, "").errors[0].suggestion


@pytest.mark.parametrize(
    "directive",
    [directive for directive in DIRECTIVES if directive.least is not None],
    ids=lambda directive: f"{directive.scope}-{directive.name}",
)
def test_values_out_of_range_are_errors_in_the_tolerant_mode_alone(directive: Directive) -> None:
    assert directive.least is not None
    below = "-1" if directive.least >= 0 and directive.least != 1 else "0"
    values = [below] if directive.most is None or directive.most >= 2**63 - 1 else [below, str(int(directive.most) + 1)]
    for value in values:
        tolerant = read(directive, value)
        assert not tolerant.is_usable
        assert "must be" in tolerant.errors[0].message
        assert tolerant.errors[0].suggestion
        if directive.original:
            assert read(directive, value, strict=True).is_usable


def test_every_field_of_the_model_has_a_directive() -> None:
    for scope, model in MODELS.items():
        fields = {field.name for field in dataclasses.fields(model)}
        given = {directive.field for directive in BY_SCOPE[scope].values()}
        blocks = {"virtuals", "failovers", "marks", "servers", "checks"}
        headers = {Scope.MARK: {"mark"}, Scope.CHECK: {"kind"}, Scope.GLOBAL: set()}.get(scope, {"name"})
        assert fields - given == (blocks & fields) | headers


def test_the_rules_have_the_defaults_of_a_file_without_them() -> None:
    assert parse("keepalive = 6\n", names=NAMES).configuration.rules == PlaneRules()
    text = "".join(
        f"{rule.name} = {abs(1 - int(getattr(PlaneRules(), rule.name)))}\n" for rule in dataclasses.fields(PlaneRules)
    )
    changed = parse(text, names=NAMES).configuration.rules
    assert len(list(PlaneRules().changes_to(changed))) == len(dataclasses.fields(PlaneRules)) == 16


def test_an_automatic_defence_in_force_is_the_same_rule() -> None:
    """IPVS turns a 1 to 2 by itself; a file that says 2 must not quarrel with it each second."""
    rules = parse("drop_entry = 2\ndrop_packet = 3\nsecure_tcp = 1\n", names=NAMES).configuration.rules
    assert (rules.drop_entry, rules.drop_packet, rules.secure_tcp) == (1, 3, 1)


def test_words_are_taken_from_the_model_s_enums() -> None:
    for directive in DIRECTIVES:
        assert (directive.type in (ValueType.WORD, ValueType.WORDS)) is bool(directive.words)


def test_the_reference_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "generate_reference.py"))["page"]()
    assert (ROOT / "docs" / "reference" / "lvs.cf.md").read_text(encoding="utf-8") == page
    for directive in DIRECTIVES:
        assert f"| `{directive.name}`" in page
