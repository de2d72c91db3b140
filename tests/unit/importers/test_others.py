"""ldirectord, ipvsadm, nginx, HAProxy, and the rules that set marks: tables, and single lines."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.importing_world import (
    imported,
    imported_text,
    remarks_of,
    table,
    unexplained,
    usable,
    verdict_of,
)

from piranha.config.names import FixedNames
from piranha.importers.importing import Dialect
from piranha.importers.ledger import Verdict
from piranha.importers.options import ImportOptions
from piranha.model.check_block import CheckKind
from piranha.model.configuration import VirtualServer
from piranha.model.service import ForwardingMethod

ETH0 = ImportOptions(device="eth0")
OPEN = ImportOptions(device="eth0", vip=ip_address("192.0.2.105"))


def test_the_table_of_ldirectord() -> None:
    outcome = imported(Dialect.LDIRECTORD, "ldirectord.cf", options=ETH0)
    assert table(outcome) == [
        "tcp 192.0.2.100:80 wlc persistent 300 mask 24",
        "  10.0.0.11:80 masq 3",
        "  10.0.0.12:80 masq 1",
        "  10.0.0.13:80 masq 1",
        "tcp 192.0.2.101:3306 wrr",
        "  10.0.0.21:3306 route 2 80-50",
        "  10.0.0.22:3306 route 1",
        "tcp [2001:db8::100]:25 rr",
        "  [2001:db8:1::11]:25 tunnel 1",
        "udp 192.0.2.102:53 wrr",
        "  10.0.0.31:53 masq 1",
        "fwmark 5 sh",
        "  10.0.0.11:0 route 1",
    ]
    assert not unexplained(outcome)


def test_the_checks_of_ldirectord() -> None:
    found = imported(Dialect.LDIRECTORD, "ldirectord.cf", options=ETH0).configuration
    assert found is not None
    web, database, mail, names, _, off = found.virtuals
    (page,) = web.checks
    assert (page.kind, page.path, page.host) == (CheckKind.HTTP, "/health", "www.example.com")
    assert (page.expect, page.use_regex) == ("I am (well|fine)", True)
    assert (web.fall, web.quiesce_server, database.quiesce_server) == (2, False, True)
    assert [check.kind for check in (*mail.checks, *database.checks)] == [CheckKind.SMTP, CheckKind.MYSQL]
    assert names.name == "names/udp"
    assert names.send_program == "/usr/local/bin/check-dns 192.0.2.102 53 %h %p"
    assert not off.active
    assert web.sorry_server == ip_address("10.0.0.99")


def test_ldirectords_passwords_are_never_shown() -> None:
    outcome = imported(Dialect.LDIRECTORD, "ldirectord.cf", options=ETH0)
    assert "open-sesame" not in "".join(f"{entry.text}{entry.remarks}" for entry in outcome.entries)
    assert verdict_of(outcome, "database=") is Verdict.LEFT


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("\tscheduler=wlcc\n", "did you mean `wlc`?"),
        ("\tchecktype=negotate\n", "did you mean `negotiate`?"),
        ("\tservice=htpp\n", "did you mean `http`?"),
        ("\tschedular=wlc\n", "did you mean `scheduler`?"),
        ("\treal=10.0.0.11:80 gate # three\n", "nothing behind it"),
        ("\treal=10.0.0.11:80 direct\n", "gate|masq|ipip"),
        ("\tquiescent=true\n", "yes or no"),
        ("\treal=10.0.0.11->10.9.0.11:80 gate\n", "at most 256"),
    ],
)
def test_what_ldirectord_refuses_is_an_error(lines: str, said: str) -> None:
    outcome = imported_text(Dialect.LDIRECTORD, f"virtual=192.0.2.100:80\n{lines}")
    assert outcome.text is None
    (error,) = outcome.errors
    assert said in error.remarks[0]


def test_the_table_of_ipvsadm() -> None:
    outcome = imported(Dialect.IPVSADM, "ipvsadm.save", options=ETH0)
    assert table(outcome) == [
        "tcp 192.0.2.100:80 wrr persistent 300 mask 24",
        "  10.0.0.11:8080 masq 3 1000-800",
        "  10.0.0.12:8080 masq 0",
        "udp 192.0.2.100:53 rr ops",
        "  10.0.0.13:53 route 1",
        "tcp [2001:db8::100]:443 mh flags 0x18",
        "  [2001:db8:1::11]:443 tunnel 1 gue:6080",
        "fwmark 80 sh flags 0x8",
        "  10.0.0.11:0 route 1",
    ]
    assert "send_program" in remarks_of(outcome, "-a -f 80")
    assert verdict_of(outcome, "-L -n") is Verdict.LEFT
    assert not unexplained(outcome)


def test_a_mark_without_a_checked_port_takes_that_of_its_rules() -> None:
    options = ImportOptions(device="eth0")
    text = "-A -f 53 -s rr\n-a -f 53 -r 10.0.0.11:0 -g -w 1\n"
    outcome = imported_text(Dialect.IPVSADM, text, options=options)
    assert outcome.configuration is not None
    assert outcome.configuration.virtuals[0].send_program == "/bin/true"


@pytest.mark.parametrize(
    "line",
    [
        "-A -t 192.0.2.100:80 -s bogus",
        "-A -t 192.0.2.100:80 -s",
        "-a -t 192.0.2.9:80 -r 10.0.0.1:80 -g",
        "-A -f 5 -6 -s rr",
        "hello",
        "-A -t www.example.com:80 -s rr",
    ],
)
def test_wrong_lines_of_ipvsadm(line: str) -> None:
    outcome = imported_text(Dialect.IPVSADM, f"\n{line}\n")
    assert outcome.text is None
    assert [entry.place.line for entry in outcome.errors] == [2]


def test_the_table_of_nginx() -> None:
    outcome = imported(Dialect.NGINX_STREAM, "nginx.conf", options=OPEN)
    assert table(outcome) == [
        "tcp 192.0.2.100:3306 wlc",
        "  10.0.0.21:3306 masq 5",
        "  10.0.0.22:3306 masq 1 100-0",
        "tcp 192.0.2.101:3307 wlc",
        "  10.0.0.21:3306 masq 5",
        "  10.0.0.22:3306 masq 1 100-0",
        "udp 192.0.2.105:53 mh",
        "  10.0.0.31:53 masq 1",
        "  10.0.0.32:53 masq 1",
    ]
    assert outcome.configuration is not None
    first = outcome.configuration.virtuals[0]
    assert (first.interval_s, first.fall, first.reentry_s, first.timeout_s) == (4, 2, 12, 2)
    assert first.sorry_server == ip_address("10.0.0.29")
    assert verdict_of(outcome, "http {") is Verdict.LEFT
    assert verdict_of(outcome, "443 ssl") is Verdict.LEFT
    assert not unexplained(outcome)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stream { upstream a { least_time connect; server 10.0.0.1:1; } }", "no scheduler is like"),
        ("stream { upstream a { random; server 10.0.0.1:1; } }", "no scheduler picks"),
        ("stream { upstream a { hash $ssl_preread_server_name; } }", "no scheduler hashes"),
        ("stream { server { listen 80; proxy_pass 10.0.0.1:80; } }", "--vip"),
        ("stream { upstream a { server db.example.com:1; } }", "no host of this name"),
        ("stream { server { listen 80", "missing"),
        ("stream { server {", "never closed"),
        ("}", "without its"),
        ("stream { 'x", "quotes"),
    ],
)
def test_what_nginx_says_and_lvs_cf_cannot(text: str, said: str) -> None:
    outcome = imported_text(Dialect.NGINX_STREAM, text)
    assert outcome.text is None
    assert said in outcome.errors[0].remarks[0]


def test_nginx_files_include_each_other_once() -> None:
    inner = "upstream a { server db.example.com:1; }"
    options = ImportOptions(device="eth0", names=FixedNames(hosts={"db.example.com": "10.0.0.5"}))
    text = "stream { include up.conf; server { listen 192.0.2.100:1; proxy_pass a; } }"
    outcome = imported_text(Dialect.NGINX_STREAM, text, options=options, up_conf=inner)
    assert table(outcome) == ["tcp 192.0.2.100:1 wrr", "  10.0.0.5:1 masq 1"]
    assert "does not follow the name" in remarks_of(outcome, "upstream a")
    looped = imported_text(Dialect.NGINX_STREAM, text, options=options, up_conf="include main;")
    assert "includes itself" in looped.errors[0].remarks[0]


def test_the_table_of_haproxy() -> None:
    outcome = imported(Dialect.HAPROXY_TCP, "haproxy.cfg", options=OPEN)
    pool = ["  10.0.0.21:3306 masq 10", "  10.0.0.22:3306 masq 5 100-0"]
    assert table(outcome) == [
        "tcp 192.0.2.100:3306 wlc persistent 1800",
        *pool,
        "tcp 192.0.2.101:3306 wlc persistent 1800",
        *pool,
        "tcp 192.0.2.101:3307 wlc persistent 1800",
        *pool,
        "tcp 192.0.2.105:6379 wrr",
        "  10.0.0.31:6379 masq 1",
        "tcp 192.0.2.103:80 sh",
        "  10.0.0.41:80 masq 1",
        "  10.0.0.42:80 masq 1",
    ]
    assert outcome.configuration is not None
    by_name = {virtual.name: virtual for virtual in outcome.configuration.virtuals}
    assert (by_name["redis"].send, by_name["redis"].expect) == (r"PING\r\n", "+PONG")
    (page,) = by_name["web"].checks
    assert (page.path, page.host, page.port) == ("/health", "www.example.com", 8080)
    assert by_name["db_in"].sorry_server == ip_address("10.0.0.23")
    shown = "".join(f"{entry.text}{entry.remarks}" for entry in outcome.entries)
    assert "wonderland1" not in shown
    assert "letmein99" not in shown
    assert verdict_of(outcome, "listen stats") is Verdict.LEFT
    assert not unexplained(outcome)


def of_haproxy(servers: str, *, above: str = "") -> VirtualServer:
    text = f"listen a\n mode tcp\n bind 192.0.2.1:81\n{above}{servers}"
    found = usable(imported_text(Dialect.HAPROXY_TCP, text, options=ETH0)).configuration
    assert found is not None
    (virtual,) = found.virtuals
    return virtual


def test_slow_start_of_haproxy() -> None:
    virtual = of_haproxy(" server s 10.0.0.1:1 check slowstart 30s\n server t 10.0.0.2:1 check weight 3\n")
    assert (virtual.slow_start_s, [server.weight for server in virtual.servers]) == (30, [100, 300])
    heavy = of_haproxy(" server s 10.0.0.1:1 check weight 50 slowstart 5000\n")
    assert (heavy.slow_start_s, [server.weight for server in heavy.servers]) == (5, [50])


def test_checks_of_haproxy_inside_tls_and_elsewhere() -> None:
    for above, kind, tls in (
        ("", CheckKind.TLS, False),
        (" option httpchk GET /up\n", CheckKind.HTTPS, False),
        (" option redis-check\n", CheckKind.REDIS, True),
    ):
        virtual = of_haproxy(" server s 10.0.0.1:1 check check-ssl check-sni a.example addr 10.9.9.9\n", above=above)
        (check,) = virtual.checks
        assert (check.kind, check.tls, check.sni, check.address) == (kind, tls, "a.example", ip_address("10.9.9.9"))


def test_headers_of_haproxys_checks() -> None:
    send = " http-check send meth GET uri /up hdr Host a.example hdr X-Probe one hdr Authorization letmein99\n"
    (check,) = of_haproxy(" server s 10.0.0.1:1 check\n", above=f" option httpchk\n{send}").checks
    assert (check.host, check.headers) == ("a.example", ("X-Probe: one",))


def test_servers_of_haproxy_with_a_rhythm_of_their_own() -> None:
    virtual = of_haproxy(" server s 10.0.0.1:1 check\n server t 10.0.0.2:1 check inter 500 rise 4 fall 5\n")
    assert (virtual.interval_s, virtual.reentry_s, virtual.fall) == (None, 4, 3)
    first, second = (server.checks[0] for server in virtual.servers)
    assert (first.interval_s, first.rise) == (None, None)
    assert (second.interval_s, second.timeout_s, second.rise, second.fall) == (0.5, 0.5, 4, 5)


def test_a_proxys_method_may_be_chosen() -> None:
    options = ImportOptions(device="eth0", vip=ip_address("192.0.2.105"), method=ForwardingMethod.DIRECT)
    outcome = imported(Dialect.HAPROXY_TCP, "haproxy.cfg", options=options)
    assert "  10.0.0.41:80 route 1" in table(outcome)
    assert outcome.configuration is not None
    assert outcome.configuration.network is ForwardingMethod.DIRECT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen a\n balance first\n bind 192.0.2.1:1\n server s 10.0.0.1:1\n", "no scheduler is like"),
        ("listen a\n bind 192.0.2.1:1 ssl crt x\n server s 10.0.0.1:1\n", "TLS"),
        ("listen a\n bind 192.0.2.1:1\n server s 10.0.0.1:+5\n", "fixed port"),
        ("listen a\n bind 192.0.2.1:1\n server s 10.0.0.1:1 check inter soon\n", "no time"),
        ("listen a\n option imap-check\n bind 192.0.2.1:1\n server s 10.0.0.1:1 check\n", "no check that is called"),
        (".if defined(X)\nlisten a\n", "conditions"),
        ("bind :1\n", "before every section"),
        ("listen 'a\n", "quotes"),
    ],
)
def test_what_haproxy_says_and_lvs_cf_cannot(text: str, said: str) -> None:
    outcome = imported_text(Dialect.HAPROXY_TCP, text)
    assert outcome.text is None
    assert said in outcome.errors[0].remarks[0]


def test_marks_of_iptables() -> None:
    outcome = imported(Dialect.MARKS, "rules.iptables")
    assert outcome.configuration is not None
    assert [
        (block.mark, [str(network) for network in block.addresses], block.protocol.word, [str(p) for p in block.ports])
        for block in outcome.configuration.marks
    ] == [
        (80, ["192.0.2.100/32"], "tcp", ["443", "8000-8010"]),
        (80, ["192.0.2.100/32"], "tcp", ["80"]),
    ]
    assert "interface" in remarks_of(outcome, "-i eth9")
    assert "icmp" in remarks_of(outcome, "-p icmp")
    assert "not" in remarks_of(outcome, "! -d")
    assert verdict_of(outcome, "-A INPUT") is Verdict.LEFT
    assert not unexplained(outcome)


def test_marks_of_nft() -> None:
    outcome = imported(Dialect.MARKS, "rules.nft")
    assert outcome.configuration is not None
    assert [
        (block.mark, block.protocol.word, [str(p) for p in block.ports]) for block in outcome.configuration.marks
    ] == [
        (80, "tcp", ["80"]),
        (53, "tcp", ["53"]),
        (53, "udp", ["53"]),
        (80, "tcp", ["80", "443", "8000-8010"]),
    ]
    assert verdict_of(outcome, "iifname") is Verdict.LEFT
    assert not unexplained(outcome)


def test_of_two_filter_rules_the_last_counts() -> None:
    text = (
        "*mangle\n-A PREROUTING -d 192.0.2.0/24 -p tcp -j MARK --set-mark 1\n"
        "-A PREROUTING -d 192.0.2.9 -p tcp --dport 80 -j MARK --set-mark 2\nCOMMIT\n"
    )
    outcome = imported_text(Dialect.MARKS, text)
    assert outcome.configuration is not None
    assert [block.mark for block in outcome.configuration.marks] == [2, 1]


def test_chains_that_jump_in_a_circle() -> None:
    text = "*mangle\n:A - [0:0]\n-A PREROUTING -j A\n-A A -j A\n-A A -j A\nCOMMIT\n"
    outcome = usable(imported_text(Dialect.MARKS, text))
    assert "circle" in "".join(remark for entry in outcome.entries for remark in entry.remarks)


def test_unknown_bits_of_a_mark_are_told() -> None:
    text = "*mangle\n-A PREROUTING -d 192.0.2.9 -p tcp -j MARK --set-xmark 0x1/0xff\nCOMMIT\n"
    outcome = usable(imported_text(Dialect.MARKS, text))
    assert "other bits" in remarks_of(outcome, "--set-xmark")


def test_a_long_list_of_ports_becomes_several_blocks() -> None:
    ports = ",".join(str(port) for port in range(1000, 1200, 2))
    rule = f"ip daddr 192.0.2.9 tcp dport {{ {ports} }} meta mark set 5"
    text = f"table ip x {{\n chain c {{\n type filter hook prerouting priority 0\n {rule}\n }}\n}}\n"
    outcome = imported_text(Dialect.MARKS, text)
    assert usable(outcome).configuration is not None
    assert outcome.configuration is not None
    assert [len(block.ports) for block in outcome.configuration.marks] == [90, 10]
