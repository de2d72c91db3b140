"""keepalived.conf: what becomes of its services, of VRRP, and of each line."""

from __future__ import annotations

from ipaddress import ip_address

from tests.unit.importing_world import (
    entry_with,
    imported,
    imported_text,
    remarks_of,
    table,
    unexplained,
    usable,
    verdict_of,
)

from piranha.importers.importing import Dialect
from piranha.importers.ledger import Verdict
from piranha.importers.options import ImportOptions
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import DeviceAddress, RealServer
from piranha.model.service import ForwardingMethod

KEEPALIVED = Dialect.KEEPALIVED


def of_text(text: str, **others: str):
    return imported_text(KEEPALIVED, text, options=ImportOptions(config_id="main", device="eth0"), **others)


def one_server(inside: str = "", virtual: str = "", address: str = "10.0.0.11 80") -> str:
    return (
        f"virtual_server 192.0.2.100 80 {{\n delay_loop 6\n protocol TCP\n {virtual}\n"
        f" real_server {address} {{\n  weight 1\n {inside}\n }}\n}}\n"
    )


def test_the_table_of_a_plain_pair() -> None:
    outcome = imported(KEEPALIVED, "keepalived/plain.conf")
    assert table(outcome) == [
        "tcp 192.0.2.100:80 wrr persistent 50 mask 24",
        "  10.0.0.11:80 masq 3 1000-800",
        "  10.0.0.12:80 masq 1",
        "tcp 192.0.2.101:25 wlc",
        "  10.0.0.13:25 masq 1",
    ]
    assert not outcome.warnings
    assert not unexplained(outcome)


def test_vrrp_becomes_the_pair() -> None:
    found = imported(KEEPALIVED, "keepalived/plain.conf").configuration
    assert found is not None
    assert (found.primary, found.backup, found.backup_active) == (
        ip_address("192.0.2.1"),
        ip_address("192.0.2.2"),
        True,
    )
    assert (found.keepalive_s, found.deadtime_s) == (2, 8)
    assert (found.failback, found.failback_delay_s) == (True, 45)
    assert found.nat_router == DeviceAddress(address=ip_address("10.0.0.254"), device="eth1")
    assert found.active_cmd == "/etc/keepalived/master.sh VI_1"
    assert found.inactive_cmd == "/etc/keepalived/backup.sh VI_1"
    assert (found.syncdaemon, found.syncd_iface, found.syncd_id) == (True, "eth1", 3)
    assert (found.tcp_timeout_s, found.tcpfin_timeout_s, found.udp_timeout_s) == (900, 60, 200)
    assert found.monitor_links == 1
    first = found.virtuals[0]
    assert first.address == DeviceAddress(address=ip_address("192.0.2.100"), device="eth0:1")
    assert first.vip_nmask == ip_address("255.255.255.0")
    assert first.sorry_server == ip_address("10.0.0.99")
    assert first.quiesce_server


def test_the_backup_sees_the_same_pair() -> None:
    text = (
        "vrrp_instance A {\n state BACKUP\n interface eth0\n unicast_src_ip 192.0.2.2\n"
        " unicast_peer {\n  192.0.2.1\n }\n virtual_ipaddress {\n  192.0.2.100\n }\n}\n" + one_server()
    )
    found = usable(of_text(text)).configuration
    assert found is not None
    assert (found.primary, found.backup) == (ip_address("192.0.2.1"), ip_address("192.0.2.2"))


def test_http_checks() -> None:
    found = imported(KEEPALIVED, "keepalived/plain.conf").configuration
    assert found is not None
    web, mail = found.virtuals
    (page,) = web.checks
    assert (page.kind, page.path, page.host) == (CheckKind.HTTP, "/health?full=1", "www.example.com")
    assert [str(status) for status in page.status] == ["200", "301-302"]
    assert (web.interval_s, web.timeout_s, web.fall, web.reentry_s) == (6, 3, 4, 6)
    assert [(check.kind, check.helo) for check in mail.checks] == [(CheckKind.SMTP, "balancer.example.com")]


def test_old_names_and_groups() -> None:
    outcome = imported(KEEPALIVED, "keepalived/old-names.conf")
    assert table(outcome) == [
        "tcp 192.0.2.100:80 wlc",
        "  10.0.0.11:80 route 1",
        "  10.0.0.12:80 route 2",
        *(
            line
            for vip in (110, 111, 112)
            for line in (f"tcp 192.0.2.{vip}:8080 wlc", "  10.0.0.11:8080 route 1", "  10.0.0.12:8080 route 2")
        ),
        "fwmark 7 wlc",
        "  10.0.0.11:0 route 1",
        "  10.0.0.12:0 route 2",
        "tcp [2001:db8::100]:443 sh flags 0x10",
        "  [2001:db8:1::11]:443 tunnel 1",
    ]
    assert verdict_of(outcome, "nat_mask 255") is Verdict.LEFT
    assert "fall = 3" in str([entry.remarks for entry in outcome.entries if "nb_get_retry 2" in entry.text])
    assert outcome.configuration is not None
    assert outcome.configuration.failback is False
    assert outcome.configuration.active_cmd == "/etc/keepalived/notify.sh INSTANCE VI_1 MASTER 100"
    assert not unexplained(outcome)


def test_definitions_conditions_and_includes() -> None:
    outcome = imported(KEEPALIVED, "keepalived/macros.conf", options=ImportOptions(config_id="main"))
    assert table(outcome) == [
        "tcp 192.0.2.102:25 lc",
        "  10.0.0.21:25 route 1",
        *(
            line
            for vip in (100, 101)
            for line in (f"tcp 192.0.2.{vip}:80 rr", "  10.0.0.11:80 route 1", "  10.0.0.12:80 route 1")
        ),
    ]
    assert outcome.configuration is not None
    assert outcome.configuration.virtuals[1].send_program == "/usr/local/bin/check %h #1"
    assert verdict_of(outcome, "$UNUSED") is Verdict.LEFT
    assert verdict_of(outcome, "@spare $ROLE") is Verdict.LEFT
    assert not unexplained(outcome)


def test_another_configuration_id() -> None:
    outcome = imported(KEEPALIVED, "keepalived/macros.conf", options=ImportOptions(config_id="spare"))
    found = usable(outcome).configuration
    assert found is not None
    assert (found.primary, found.backup) == (ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert verdict_of(outcome, "@main MISC_CHECK") is Verdict.LEFT


def test_secrets_are_never_shown() -> None:
    for name in ("plain", "macros"):
        outcome = imported(KEEPALIVED, f"keepalived/{name}.conf", options=ImportOptions(config_id="main"))
        shown = "\n".join(f"{entry.text} {entry.remarks}" for entry in outcome.entries) + str(outcome.text)
        assert "hunter22" not in shown
        assert "sesame99" not in shown


def test_a_mark_and_its_rules() -> None:
    outcome = imported(KEEPALIVED, "keepalived/marks.conf", marks=("rules.nft",))
    assert table(outcome) == ["fwmark 80 wlc persistent 360", "  10.0.0.11:0 route 5", "  10.0.0.12:0 route 5"]
    assert outcome.configuration is not None
    (virtual,) = outcome.configuration.virtuals
    assert virtual.address == DeviceAddress(address=ip_address("192.0.2.100"), device="eth0")


def test_an_unknown_scheduler_is_an_error() -> None:
    outcome = of_text(one_server(virtual="lvs_sched rrr"))
    assert outcome.text is None
    assert remarks_of(outcome, "lvs_sched") == "no scheduler is called `rrr`: did you mean `rr`?"


def test_an_unknown_word_is_not_carried_over() -> None:
    outcome = usable(of_text(one_server(inside="wieght 3")))
    assert verdict_of(outcome, "wieght") is Verdict.LEFT
    assert "unknown" in remarks_of(outcome, "wieght")


def test_persistence_zero_is_ignored_as_keepalived_does() -> None:
    outcome = usable(of_text(one_server(virtual="persistence_timeout 0")))
    assert "ignored" in remarks_of(outcome, "persistence_timeout")
    assert table(outcome)[0] == "tcp 192.0.2.100:80 wlc"


def test_servers_with_different_checks_have_their_own() -> None:
    text = (
        "virtual_server 192.0.2.100 81 {\n protocol TCP\n"
        " real_server 10.0.0.11 81 {\n  HTTP_GET {\n   url {\n    path /a\n   }\n  }\n }\n"
        " real_server 10.0.0.12 81 {\n  TCP_CHECK {\n  }\n PING_CHECK {\n }\n }\n}\n"
    )
    found = usable(of_text(text)).configuration
    assert found is not None
    (virtual,) = found.virtuals
    assert virtual.checks == ()
    assert [[check.kind for check in server.checks] for server in virtual.servers] == [
        [CheckKind.HTTP],
        [CheckKind.TCP, CheckKind.ICMP],
    ]


def test_checkers_become_blocks() -> None:
    for inside, kind, field, value in (
        ("SSL_GET {\n url {\n path /\n }\n sni_name a.example\n }", CheckKind.HTTPS, "sni", "a.example"),
        ("HTTP_GET {\n url {\n digest 9b3a0c85a887a256d6939da88aabd8cd\n }\n }", CheckKind.HTTP, "path", "/"),
        ("DNS_CHECK {\n type A\n name a.example\n }", CheckKind.DNS, "name", "a.example"),
        ("PING_CHECK {\n connect_ip 10.9.9.9\n }", CheckKind.ICMP, "address", ip_address("10.9.9.9")),
        ("UDP_CHECK {\n payload ab1 2\n }", CheckKind.UDP, "send_hex", "ab 01 02"),
        ("MISC_CHECK {\n misc_path /bin/x\n misc_dynamic\n }", CheckKind.PROGRAM, "dynamic_weight", True),
        ("TCP_CHECK {\n connect_port 8080\n }", CheckKind.TCP, "port", 8080),
    ):
        found = usable(of_text(one_server(inside=inside))).configuration
        assert found is not None
        (check,) = found.virtuals[0].checks
        assert (check.kind, getattr(check, field)) == (kind, value), inside


def test_checks_with_times_of_their_own() -> None:
    text = (
        "virtual_server 192.0.2.100 81 {\n protocol TCP\n delay_loop 6\n"
        " real_server 10.0.0.11 81 {\n  TCP_CHECK {\n  }\n }\n"
        " real_server 10.0.0.12 81 {\n  TCP_CHECK {\n  }\n }\n"
        " real_server 10.0.0.13 81 {\n  TCP_CHECK {\n   delay_loop 2\n   retry 4\n  }\n }\n}\n"
    )
    outcome = usable(of_text(text))
    assert outcome.configuration is not None
    (virtual,) = outcome.configuration.virtuals
    times = [
        (check.interval_s, check.timeout_s, check.fall, check.rise) for (check,) in map(checks_of, virtual.servers)
    ]
    assert (virtual.interval_s, virtual.timeout_s, virtual.fall) == (6, 5, 2)
    assert times == [(None, None, None, None)] * 2 + [(2, 2, 5, 1)]
    assert "own time rules" in remarks_of(outcome, "real_server 10.0.0.13")


def test_replies_of_udp() -> None:
    for reply, expected in (("", "??"), ("a1xx", "A1??"), ("a1 XX", "A1??")):
        text = one_server(inside=f"UDP_CHECK {{\n payload 01\n require_reply {reply}\n }}", virtual="protocol UDP")
        found = usable(of_text(text)).configuration
        assert found is not None
        (check,) = found.virtuals[0].checks
        assert (check.send_hex, check.expect_hex) == ("01", expected)
    wrong = of_text(one_server(inside="UDP_CHECK {\n require_reply zz\n }"))
    assert "hexadecimal" in wrong.errors[0].remarks[0]


def test_an_unchecked_server_beside_checked_ones() -> None:
    text = (
        "virtual_server 192.0.2.100 53 {\n protocol UDP\n"
        " real_server 10.0.0.11 53 {\n  DNS_CHECK {\n  }\n }\n real_server 10.0.0.12 53 {\n }\n}\n"
    )
    found = usable(of_text(text)).configuration
    assert found is not None
    assert [[check.kind for check in checks_of(server)] for server in found.virtuals[0].servers] == [
        [CheckKind.DNS],
        [CheckKind.UDP],
    ]


def checks_of(server: RealServer) -> tuple[CheckBlock, ...]:
    return server.checks


def test_a_checker_without_a_place_in_lvs_cf_is_told() -> None:
    for checker in ("BFD_CHECK", "FILE_CHECK"):
        outcome = usable(of_text(one_server(inside=f"{checker} {{\n }}")))
        assert verdict_of(outcome, checker) is Verdict.LEFT, checker
        assert "instead" in remarks_of(outcome, checker)


def test_a_check_on_port_80_stays_a_connect() -> None:
    outcome = usable(of_text(one_server(inside="TCP_CHECK {\n }")))
    assert outcome.configuration is not None
    assert outcome.configuration.virtuals[0].send == ""


def test_a_vip_without_a_device_is_an_error() -> None:
    outcome = imported_text(KEEPALIVED, one_server(), options=ImportOptions())
    assert outcome.text is None
    assert "--device" in remarks_of(outcome, "virtual_server")


def test_tunnels_and_methods_of_single_servers() -> None:
    text = one_server(inside="lvs_method TUN type gue port 6080 csum", virtual="lvs_method DR")
    assert table(of_text(text))[1] == "  10.0.0.11:80 tunnel 1 gue:6080"
    found = of_text(text).configuration
    assert found is not None
    assert found.network is ForwardingMethod.TUNNEL


def test_broken_braces_and_quotes_are_named() -> None:
    for text, line, what in (
        ("virtual_server 192.0.2.100 80 {\n", 1, "never closed"),
        ("\n}\n", 2, "without its"),
        ('a {\n b "c\n}\n', 2, "quotes"),
        ("{\n}\n", 1, "without a name"),
    ):
        outcome = of_text(text)
        assert outcome.text is None
        assert [entry.place.line for entry in outcome.errors] == [line], text
        assert what in outcome.errors[0].remarks[0]


def test_a_file_that_includes_itself() -> None:
    outcome = of_text("include other.conf\n", other_conf="include main\n")
    assert outcome.text is None
    assert "includes itself" in outcome.errors[0].remarks[0]
    assert outcome.errors[0].place.file == "other.conf"


def test_definitions_that_never_end() -> None:
    for text in (
        "$A=${A}x\n$A\n",
        "$A=${B}\n$B=${A}\nx ${A}\n",
        "$A= \\\n $A\n\n$A\n",
        "$A=${B}${B}\n$B=${C}${C}\n$C=${D}${D}\n$D=${A}\nx ${A}\n",
        "~SEQ(A,1,60000) ~SEQ(B,1,60000) x $A\n",
        "~SEQ(A,1,60000) ~SEQ(B,1,60000)\n",
    ):
        outcome = of_text(text)
        assert outcome.text is None, text
        assert outcome.errors[0].place.file == "main"


def test_escapes_and_quotes() -> None:
    outcome = usable(of_text(one_server(inside="MISC_CHECK {\n misc_path \"/bin/check 'a b' \\x41\\061\"\n }")))
    assert outcome.configuration is not None
    assert outcome.configuration.virtuals[0].send_program == "/bin/check 'a b' A1"
    assert "no shell" in remarks_of(outcome, "MISC_CHECK") or "without a shell" in remarks_of(outcome, "MISC_CHECK")


def test_comments_stop_outside_of_quotes() -> None:
    outcome = usable(of_text(one_server(inside='notify_up "/bin/x !y" ! z', virtual="lvs_sched rr # rrr")))
    assert entry_with(outcome, "lvs_sched").verdict is Verdict.CARRIED


def test_a_range_that_is_too_wide() -> None:
    text = "virtual_server_group G {\n 10.0.0.0/8 80\n}\nvirtual_server group G {\n}\n"
    outcome = of_text(text)
    assert outcome.text is None
    assert "firewall mark" in remarks_of(outcome, "10.0.0.0/8")


def test_an_unknown_checker_is_an_error() -> None:
    outcome = of_text(one_server(inside="HTPP_GET {\n }"))
    assert outcome.text is None
    assert "no checker" in remarks_of(outcome, "HTPP_GET")


def test_a_udp_service_keeps_its_checks_by_tcp() -> None:
    inside = "HTTP_GET {\n url {\n path /\n }\n connect_port 8080\n }"
    found = usable(of_text(one_server(inside=inside, virtual="protocol UDP"))).configuration
    assert found is not None
    (check,) = found.virtuals[0].checks
    assert (check.kind, check.port, found.virtuals[0].servers[0].port) == (CheckKind.HTTP, 8080, 80)


def test_alpha_is_how_it_always_is() -> None:
    assert verdict_of(usable(of_text(one_server(virtual="alpha"))), "alpha") is Verdict.CARRIED
    assert verdict_of(usable(of_text(one_server(inside="alpha off"))), "alpha") is Verdict.LEFT


def test_a_service_without_a_protocol_is_an_error() -> None:
    outcome = of_text(one_server().replace(" protocol TCP\n", ""))
    assert outcome.text is None
    assert "keepalived 2 takes UDP" in remarks_of(outcome, "virtual_server")


def test_the_number_of_an_instance_is_that_of_its_sync_daemon() -> None:
    found = usable(imported(KEEPALIVED, "keepalived/old-names.conf")).configuration
    assert found is not None
    assert (found.syncdaemon, found.syncd_iface, found.syncd_id) == (True, "eth1", 51)
    text = (
        "global_defs {\n lvs_sync_daemon eth1 VI_9\n}\nvrrp_instance VI_9 {\n virtual_router_id 9\n}\n" + one_server()
    )
    found = usable(of_text(text)).configuration
    assert found is not None
    assert found.syncd_id == 9


def test_packets_of_a_mark_keep_their_ports() -> None:
    text = one_server(inside="TCP_CHECK {\n }").replace("192.0.2.100 80", "fwmark 7")
    assert table(of_text(text)) == ["fwmark 7 wlc", "  10.0.0.11:0 masq 1"]
    found = usable(of_text(text)).configuration
    assert found is not None
    assert (found.virtuals[0].port, found.virtuals[0].send_program) == (80, None)
    elsewhere = of_text(text.replace("TCP_CHECK {\n", "TCP_CHECK {\n connect_port 8080\n"))
    assert table(elsewhere) == ["fwmark 7 wlc", "  10.0.0.11:0 masq 1"]
    assert elsewhere.configuration is not None
    assert [check.port for check in elsewhere.configuration.virtuals[0].checks] == [8080]


def test_the_quorum() -> None:
    virtual = 'quorum 3\n hysteresis 1\n quorum_up "/bin/up web"\n quorum_down /bin/down'
    found = usable(of_text(one_server(virtual=virtual))).configuration
    assert found is not None
    (web,) = found.virtuals
    assert (web.quorum, web.quorum_hysteresis, web.quorum_up, web.quorum_down) == (3, 1, "/bin/up web", "/bin/down")
