"""What `-h` and `-v` print. The version line is ipvsadm's: programs read it to find out what they may use."""

from __future__ import annotations

import piranha

VERSION = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)"
IPVS_VERSION = "1.2.1"

_FORMS = (
    "-A|-E SERVICE [-s scheduler] [-p [seconds]] [-M mask] [--pe engine] [-b flags] [-o]",
    "-D SERVICE",
    "-a|-e SERVICE -r SERVER [-g|-i|-m] [-w weight] [-x upper] [-y lower] [tunnel options]",
    "-d SERVICE -r SERVER",
    "-L|-l [SERVICE] [how to list]",
    "-L -c | --timeout | --daemon",
    "-Z [SERVICE]",
    "-C",
    "-S [-n]",
    "-R",
    "--set TCP TCPFIN UDP",
    "--start-daemon master|backup [daemon options]",
    "--stop-daemon master|backup",
    "-h | -v",
)

_SECTIONS = (
    (
        "Commands (the first word, in short or in full)",
        (
            ("-A, --add-service", "make a virtual service"),
            ("-E, --edit-service", "change a virtual service; options left out return to their defaults"),
            ("-D, --delete-service", "remove a virtual service with its real servers"),
            ("-C, --clear", "remove every virtual service"),
            ("-a, --add-server", "give a virtual service a real server"),
            ("-e, --edit-server", "change a real server; options left out return to their defaults"),
            ("-d, --delete-server", "take a real server out of a virtual service"),
            ("-L, -l, --list", "show the table, one service, connections, timeouts or daemons"),
            ("-Z, --zero", "let the counters of one service or of all begin at 0"),
            ("-S, --save", "write the table as lines for --restore"),
            ("-R, --restore", "carry out command lines from standard input"),
            ("--set", "the timeouts of TCP, TCP after FIN, and UDP in seconds; 0 keeps one"),
            ("--start-daemon", "start a connection synchronisation daemon"),
            ("--stop-daemon", "stop it"),
            ("-h, --help", "this text"),
            ("-v, --version", "the version of ipvsadm that this is compatible with"),
        ),
    ),
    (
        "SERVICE is one of",
        (
            ("-t, --tcp-service", "host[:port]; port 0 or none is every port of a persistent service"),
            ("-u, --udp-service", "host[:port]"),
            ("--sctp-service", "host[:port]"),
            ("-f, --fwmark-service", "a firewall mark above 0; -6 after it for IPv6 packets"),
        ),
    ),
    (
        "Options of services",
        (
            (
                "-s, --scheduler",
                "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos none (default wlc)",
            ),
            ("-p, --persistent", "keep a client at its server for so many seconds (360)"),
            ("-M, --netmask", "clients of one network stay together: 255.255.255.0, or 64 for IPv6"),
            ("--pe", "persistence engine: sip"),
            ("-b, --sched-flags", "sh-fallback,sh-port or mh-fallback,mh-port; flag-1,flag-2,flag-3"),
            ("-o, --ops", "schedule each datagram on its own (UDP, firewall marks)"),
            ("-6, --ipv6", "the firewall mark before it is for IPv6"),
        ),
    ),
    (
        "Options of real servers",
        (
            ("-r, --real-server", "host[:port]; the service's port where none is given"),
            ("-g, --gatewaying", "direct routing (default)"),
            ("-i, --ipip", "tunnel"),
            ("-m, --masquerading", "network address translation"),
            ("-w, --weight", "share of new connections (1); 0 takes no new ones"),
            ("-x, --u-threshold", "connections at most; 0 is no limit"),
            ("-y, --l-threshold", "connections below which a full server takes new ones again"),
            ("--tun-type", "ipip, gue or gre (default ipip)"),
            ("--tun-port", "port of a gue tunnel"),
            ("--tun-nocsum, --tun-csum, --tun-remcsum", "checksum of the outer header: none, full, remote"),
        ),
    ),
    (
        "How to list",
        (
            ("-n, --numeric", "addresses and ports as numbers"),
            ("-c, --connection", "the connections"),
            ("--stats, --rate", "counters; the same per second"),
            ("--thresholds, --persistent-conn, --tun-info", "other columns"),
            ("-X, --exact", "counters in full"),
            ("--nosort", "in the order of the table"),
            ("--sort", "nothing: sorted is the default"),
            ("--timeout, --daemon", "the timeouts; the synchronisation daemons"),
        ),
    ),
    (
        "Daemon options",
        (
            ("--mcast-interface", "where to send and listen (eth0)"),
            ("--syncid", "0 to 255; a backup with 0 takes all (0)"),
            ("--mcast-group, --mcast-port, --mcast-ttl", "224.0.0.81, 8848, 1"),
            ("--sync-maxlen", "bytes of a message at most (what the interface takes)"),
        ),
    ),
)
_WIDTH = 24


def version_line() -> str:
    return VERSION + "\n"


def help_text(program: str) -> str:
    lines = [f"Usage: {program} {_FORMS[0]}", *(f"       {program} {form}" for form in _FORMS[1:])]
    for title, rows in _SECTIONS:
        lines += ["", f"{title}:"]
        for words, meaning in rows:
            if len(words) < _WIDTH:
                lines.append(f"  {words:<{_WIDTH}}{meaning}")
            else:
                lines += [f"  {words}", f"  {'':<{_WIDTH}}{meaning}"]
    lines += ["", f"This is Piranha {piranha.__version__}, compatible with ipvsadm 1.31."]
    return "\n".join(lines) + "\n"
