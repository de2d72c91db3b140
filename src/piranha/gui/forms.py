"""Forms made of the directives as data: which fields a page has, what they hold, what a filled-in form changes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

CHECKS = (
    "send_program", "send", "expect", "use_regex", "timeout", "interval", "reentry", "rise", "fall", "check", "quiesce_server",
    "load_monitor", "client_monitor",
)  # fmt: skip
"""What the sub-tab MONITORING SCRIPTS has."""
REDUNDANCY = (
    "backup", "backup_private", "backup_active", "heartbeat", "heartbeat_port", "heartbeat_auth", "profile", "keepalive",
    "deadtime", "failback", "failback_delay", "start_delay", "monitor_links", "syncdaemon", "syncd_iface", "syncd_id",
    "syncd_group", "syncd_port", "syncd_ttl", "syncd_maxlen", "syncd_link_port", "sync_threshold", "sync_period",
    "sync_refresh_period", "sync_persist_mode", "active_cmd", "inactive_cmd", "hard_shutdown", "backup_shared", "primary_shared",
    "primary_private", "reservation_conflict_action",
)  # fmt: skip
LABELS = {
    "primary": "Primary server public IP",
    "primary_private": "Primary server private IP",
    "service": "Service",
    "network": "LVS type",
    "nat_router": "NAT router IP and device",
    "nat_nmask": "NAT router netmask",
    "tcp_timeout": "TCP timeout",
    "tcpfin_timeout": "TCP FIN timeout",
    "udp_timeout": "UDP timeout",
    "backup": "Redundant server public IP",
    "backup_private": "Redundant server private IP",
    "backup_active": "Redundancy enabled",
    "keepalive": "Heartbeat interval",
    "deadtime": "Assume dead after",
    "heartbeat_port": "Heartbeat runs on port",
    "monitor_links": "Monitor NIC links for failures",
    "syncdaemon": "Use sync daemon",
    "syncd_iface": "Sync daemon interface",
    "syncd_id": "Sync daemon id",
    "dataplane": "Data plane",
    "hook": "Hook",
    "port": "Application port",
    "protocol": "Protocol",
    "address": "Virtual IP address and device",
    "vip_nmask": "Virtual IP network mask",
    "sorry_server": "Sorry server",
    "fwmark": "Firewall mark",
    "reentry": "Re-entry time",
    "timeout": "Service timeout",
    "quiesce_server": "Quiesce server",
    "load_monitor": "Load monitoring tool",
    "scheduler": "Scheduling",
    "persistent": "Persistence",
    "pmask": "Persistence network mask",
    "active": "Active",
    "send": "Send",
    "expect": "Expect",
    "use_regex": "Treat expect as a regular expression",
    "send_program": "Sending program",
    "weight": "Weight",
}
_SERVER_LABELS = {"address": "Address", "port": "Port on the real server"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One directive in a form. `value` is what the file says, empty where it is as left out; `typed` what a person gave
    instead; `theirs` what somebody else gave meanwhile."""

    name: str
    label: str
    value: str
    default: str
    meaning: str
    example: str
    type: str
    words: tuple[str, ...]
    least: float | None
    most: float | None
    repeatable: bool
    original: bool
    inert: str
    typed: str | None = None
    theirs: str | None = None
    fault: str = ""

    @property
    def shown(self) -> str:
        return self.value if self.typed is None else self.typed

    @property
    def is_changed(self) -> bool:
        return self.typed is not None and _tidy(self.typed) != _tidy(self.value)

    @property
    def is_switch(self) -> bool:
        return self.type == "0 or 1"

    @property
    def effective(self) -> str:
        """What holds where nothing is given, in words."""
        return self.default


Directive = Mapping[str, Any]


def directives_of(document: Mapping[str, Any], scope: str) -> list[Directive]:
    return [directive for directive in document["directives"] if directive["scope"] == scope]


def fields_of(
    directives: Iterable[Directive], values: Mapping[str, Any], names: Sequence[str] | None = None
) -> list[Field]:
    """Fields for these directives, or those of them in `names`. `values` is a block of the configuration as plain data."""
    return [_field(one, values) for one in directives if names is None or one["name"] in names]


def filled(fields: Iterable[Field], form: Mapping[str, Any], before: Mapping[str, str] | None = None) -> list[Field]:
    """The fields with what a person typed. `before`: the values that the person saw, to find what others changed since."""
    result = []
    for field in fields:
        given = form.get(f"set.{field.name}")
        seen = (before or {}).get(field.name, field.value)
        if not isinstance(given, str):
            result.append(field)
        elif _tidy(seen) == _tidy(field.value):
            result.append(replace(field, typed=given))
        elif _tidy(given) == _tidy(seen):
            # Untouched by this person: what the others gave stands.
            result.append(replace(field, theirs=field.value))
        else:
            result.append(replace(field, typed=given, theirs=field.value))
    return result


def changes_of(fields: Iterable[Field]) -> dict[str, Any]:
    """`set` and `remove` of one change; both empty where nothing is different."""
    put: dict[str, Any] = {}
    remove: list[str] = []
    for field in fields:
        if not field.is_changed:
            continue
        text = (field.typed or "").replace("\r\n", "\n")
        if (not text.strip() and field.type != "quoted text") or not text:
            remove.append(field.name)
        elif field.repeatable:
            put[field.name] = [line.strip() for line in text.split("\n") if line.strip()]
        else:
            put[field.name] = text if field.type == "quoted text" else text.strip()
    return {"set": put, "remove": remove}


def with_faults(fields: Iterable[Field], faults: Mapping[str, str]) -> list[Field]:
    return [replace(field, fault=faults[field.name]) if field.name in faults else field for field in fields]


def faults_of(problem: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What a refusal says of fields, and what it says besides."""
    by_field: dict[str, str] = {}
    others: list[str] = []
    for error in problem.get("errors", ()):
        _, _, name = str(error.get("pointer", "")).rpartition("/set/")
        text = sentence(error.get("detail", ""), error.get("mend", ""))
        if name and "/" not in name:
            by_field[name.replace("~1", "/").replace("~0", "~")] = text
        else:
            others.append(text)
    for finding in problem.get("problems", ()):
        if finding.get("severity") != "warning":
            others.append(f"line {finding['line']}: {sentence(finding['message'], finding.get('suggestion', ''))}")
    if not by_field and not others:
        others.append(sentence(problem.get("detail", "refused"), problem.get("mend", "")))
    return by_field, others


def sentence(message: object, mend: object) -> str:
    return f"{message}: {mend}" if mend else str(message)


def seen_of(form: Mapping[str, Any]) -> dict[str, str]:
    """The values that the form showed at first, which it carries along."""
    try:
        document = json.loads(str(form.get("seen", "{}")))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in document.items()} if isinstance(document, dict) else {}


def seen_text(fields: Iterable[Field]) -> str:
    return json.dumps({field.name: field.value for field in fields}, ensure_ascii=True)


def _field(directive: Directive, values: Mapping[str, Any]) -> Field:
    name, kind = directive["name"], directive["type"]
    labels = {**LABELS, **(_SERVER_LABELS if directive["scope"] == "server" else {})}
    value = text_of(values.get(f"{name}_s" if kind == "time" and f"{name}_s" in values else name), directive)
    default = directive["default"]
    written = "" if default is None else _tidy(str(default).strip('"'))
    return Field(
        name=name,
        label=labels.get(name) or name.replace("_", " ").capitalize(),
        value="" if _tidy(value) == written else value,
        default=directive["default_text"] or written,
        meaning=directive["meaning"],
        example=str(directive["example"]),
        type=kind,
        words=tuple(directive["words"]),
        least=directive["least"],
        most=directive["most"],
        repeatable=directive["repeatable"],
        original=directive["original"],
        inert=directive["inert"],
    )


def text_of(value: object, directive: Directive | None = None) -> str:
    """A value of the configuration as a person types it."""
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case float():
            return f"{value:.15g}"
        case list():
            inner = "\n" if directive is not None and directive["repeatable"] else " "
            return inner.join(text_of(item) for item in value)
        case dict() if "address" in value:
            return f"{value['address']} {value.get('device') or ''}".strip()
        case dict():
            return " ".join(text_of(item) for item in value.values())
    return str(value)


def _tidy(text: str) -> str:
    """Equal where two texts say the same in a form."""
    return "\n".join(line.strip() for line in text.replace("\r\n", "\n").strip().strip("[]").strip().split("\n"))
