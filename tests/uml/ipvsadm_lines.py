"""The command lines whose exact behaviour `record.py` takes down, in groups; `ipvsadm_record.py` says what a line may be."""

from __future__ import annotations

from typing import Any


def group(name: str, about: str, lines: str) -> dict[str, Any]:
    return {
        "name": name,
        "about": about,
        "lines": [line.strip() for line in lines.strip().splitlines() if line.strip()],
    }


SOME_TABLE = r"""
-A -t 10.9.0.1:80 -s wrr
-a -t 10.9.0.1:80 -r 10.2.0.1:8080 -m -w 3
-a -t 10.9.0.1:80 -r 10.2.0.2:8080 -m -w 0
-a -t 10.9.0.1:80 -r 10.2.0.3 -g -w 65535
-A -u 10.9.0.1:53 -s rr -o
-a -u 10.9.0.1:53 -r 10.2.0.1 -i
-A -t 10.9.0.2:443 -s sh -p 600 -M 255.255.255.0 -b sh-port,sh-fallback
-a -t 10.9.0.2:443 -r 10.2.0.4 -g -x 100 -y 50
-A -f 7 -s lc -p
-a -f 7 -r 10.2.0.5 -m
-A -f 8 -6 -s wlc
-a -f 8 -6 -r [fd02::5] -g
-A -t [fd09::1]:80 -s mh -b mh-port -p 30 -M 64
-a -t [fd09::1]:80 -r [fd02::1]:8080 -m -w 5
--add-service --sctp-service 10.9.0.3:5000 --scheduler sed
-a --sctp-service 10.9.0.3:5000 -r 10.2.0.6:5000 -m
"""

GROUPS = (
    group(
        "listings",
        "one table with everything in it, in every view",
        SOME_TABLE
        + r"""
-L
-l
-L -n
-Ln
-ln
-l -n
--list
--list --numeric
-L --stats
-Ln --stats
-Ln --stats --exact
-Ln --rate
-Ln --rate --exact
-Ln -X
-Ln --thresholds
-L --thresholds
-Ln --persistent-conn
-Ln --sort
-Ln --tun-info
-Ln --stats --rate
-Ln --stats --thresholds
-Ln --rate --thresholds
-Ln --thresholds --persistent-conn
-Ln --stats --rate --thresholds --persistent-conn
-Ln -t 10.9.0.1:80
-L -t 10.9.0.1:80
-L -n -t 10.9.0.1:80 --stats
-Ln -t 10.9.0.1:http
-Ln -t www.example:http
-Ln -u 10.9.0.1:53
-Ln -f 7
-Ln -f 8
-Ln -f 8 -6
-Ln -6 -f 8
-Ln -t [fd09::1]:80
-Ln --sctp-service 10.9.0.3:5000
-Ln -t 10.9.0.1:81
-Ln -f 99
-Ln -u 10.9.0.1:80
-Lc
-Lcn
-L -c -n
-Lnc --persistent-conn
-L --timeout
-Ln --timeout
-L --daemon
-Ln --daemon
-S
-S -n
-Sn
--save
--save --numeric
@program ipvsadm-save
@program ipvsadm-save -n
@nobody -Ln
@nobody -A -t 10.9.0.9:80
-Z
-Z -t 10.9.0.1:80
-Z -t 10.9.0.1:81
--zero
-Ln --stats
""",
    ),
    group(
        "empty",
        "the empty table",
        r"""
-L

-Ln
-Ln --stats
-Ln --rate
-Ln --thresholds
-Ln --persistent-conn
-Ln --tun-info
-Lnc
-Lc
-Lnc --persistent-conn
-L --timeout
-L --daemon
-S
-Sn
-C
--clear
-Z
-Ln -t 10.9.0.1:80
-D -t 10.9.0.1:80
-E -t 10.9.0.1:80
-a -t 10.9.0.1:80 -r 10.2.0.1
-e -t 10.9.0.1:80 -r 10.2.0.1
-d -t 10.9.0.1:80 -r 10.2.0.1
-Z -t 10.9.0.1:80
-R
""",
    ),
    group(
        "no-arguments",
        "called without a command, for help and for the version",
        r"""
@program ipvsadm
-h
--help
-v
--version
-n
-t 10.9.0.1:80
-L -h
-h -L
-v -L
-x
-q
--unknown
-
--
foo
-L foo
-A foo
-C foo
-L -L
-A -D -t 10.9.0.1:80
-AD -t 10.9.0.1:80
-L -C
-t 10.9.0.1:80 -A
""",
    ),
    group(
        "add-service",
        "adding services: forms, defaults, refusals",
        r"""
-A -t 10.9.0.1:80
-A -t 10.9.0.1:80
-A -t 10.9.0.1:81 -s rr
-At 10.9.0.1:82
-A -t10.9.0.1:83
--add-service --tcp-service 10.9.0.1:84
--add-service --tcp-service=10.9.0.1:85 --scheduler=lc
-A --udp-service 10.9.0.1:53
-A -u 10.9.0.1:54 --ops
-A -u 10.9.0.1:55 -o
-A -t 10.9.0.1:86 -o
-A --sctp-service 10.9.0.1:5000
-A --sctp-service 10.9.0.1:5001 -o
-A -f 1
-A --fwmark-service 2
-A -f 3 -o
-A -f 4 -6
-A -f 5 --ipv6
-A -6 -f 6
-A -6 -t [fd09::1]:80
-A -t [fd09::1]:80 -6
-A -t [fd09::1]:81
-A -t [fd09::1]
-A -t fd09::1
-A -t fd09::1:80
-A -t [fd09::1]:
-A -t [fd09::1
-A
-A -s rr
-A -t
-A -t 10.9.0.1
-A -t 10.9.0.1:
-A -t :80
-A -t 10.9.0.1:0
-A -t 10.9.0.1:0 -p
-A -t 10.9.0.2 -p
-A -t 10.9.0.1:65535
-A -t 10.9.0.1:65536
-A -t 10.9.0.1:-1
-A -t 10.9.0.1:http
-A -t 10.9.0.1:https
-A -t 10.9.0.1:nosuchservice
-A -t www.example:443
-A -t nosuchhost.example:80
-A -t 10.9.0.256:80
-A -t 10.9.1:87
-A -t 0.0.0.0:80
-A -t 224.0.0.1:80
-A -t 127.0.0.1:80
-A -t localhost:http
-A -t 10.9.0.1:80x
-A -t 10.9.0.1:0x50
-A -t 10.9.0.1:0120
-A -t '10.9.0.1: 88'
-A -f 0
-A -f -1
-A -f abc
-A -f 4294967295
-A -f 4294967296
-A -f 0x10
-A -f 2147483648
-A -f
-A -t 10.9.0.1:90 -u 10.9.0.1:90
-A -t 10.9.0.1:90 -t 10.9.0.1:91
-A -t 10.9.0.1:90 -f 9
-A -t 10.9.0.1:90 -s
-A -t 10.9.0.1:90 -s nosuch
-A -t 10.9.0.1:90 -s ''
-A -t 10.9.0.1:90 -s averyveryverylongschedulername
-A -t 10.9.0.1:90 -s RR
-A -t 10.9.0.1:90 -s none
-A -t 10.9.0.1:90 -s rr -s lc
-A -t 10.9.0.1:91 -s twos
-A -t 10.9.0.1:92 -r 10.2.0.1
-A -t 10.9.0.1:92 -w 1
-A -t 10.9.0.1:92 -g
-A -t 10.9.0.1:92 -m
-A -t 10.9.0.1:92 -x 5
-A -t 10.9.0.1:92 -n
-A -t 10.9.0.1:92 -c
-A -t 10.9.0.1:92 --stats
-A -t 10.9.0.1:92 --timeout
-A -t 10.9.0.1:92 --syncid 5
-A -t 10.9.0.1:92 --tun-type gre
-A -t 10.9.0.1:92 extra
-Ln
-Sn
""",
    ),
    group(
        "schedulers",
        "every scheduler by name, and their flags",
        r"""
-A -t 10.9.0.1:1 -s rr
-A -t 10.9.0.1:2 -s wrr
-A -t 10.9.0.1:3 -s lc
-A -t 10.9.0.1:4 -s wlc
-A -t 10.9.0.1:5 -s lblc
-A -t 10.9.0.1:6 -s lblcr
-A -t 10.9.0.1:7 -s dh
-A -t 10.9.0.1:8 -s sh
-A -t 10.9.0.1:9 -s sed
-A -t 10.9.0.1:10 -s nq
-A -t 10.9.0.1:11 -s fo
-A -t 10.9.0.1:12 -s ovf
-A -t 10.9.0.1:13 -s mh
-A -t 10.9.0.1:14
-A -t 10.9.0.1:20 -s sh -b sh-fallback
-A -t 10.9.0.1:21 -s sh -b sh-port
-A -t 10.9.0.1:22 -s sh -b sh-fallback,sh-port
-A -t 10.9.0.1:23 -s sh --sched-flags sh-port,sh-fallback
-A -t 10.9.0.1:24 -s mh -b mh-fallback
-A -t 10.9.0.1:25 -s mh -b mh-port
-A -t 10.9.0.1:26 -s mh -b mh-fallback,mh-port
-A -t 10.9.0.1:27 -s mh -b sh-port
-A -t 10.9.0.1:28 -s rr -b sh-port
-A -t 10.9.0.1:29 -s rr -b flag-1
-A -t 10.9.0.1:30 -s rr -b flag-2
-A -t 10.9.0.1:31 -s rr -b flag-3
-A -t 10.9.0.1:32 -s rr -b flag-1,flag-2,flag-3
-A -t 10.9.0.1:33 -s sh -b flag-1
-A -t 10.9.0.1:34 -s sh -b flag-3
-A -t 10.9.0.1:35 -b sh-port -s sh
-A -t 10.9.0.1:36 -s sh -b nosuch
-A -t 10.9.0.1:37 -s sh -b ''
-A -t 10.9.0.1:38 -s sh -b
-A -t 10.9.0.1:39 -s sh -b sh-port -b sh-fallback
-A -t 10.9.0.1:40 -s sh -b sh-port,nosuch
-A -t 10.9.0.1:41 -b flag-2
-E -t 10.9.0.1:20 -s sh
-E -t 10.9.0.1:21 -s sh -b sh-fallback
-E -t 10.9.0.1:1 -s wlc
-Ln
-Sn
""",
    ),
    group(
        "persistence",
        "persistent services, masks and engines",
        r"""
-A -t 10.9.0.1:1 -p
-A -t 10.9.0.1:2 -p 1
-A -t 10.9.0.1:3 -p 2678400
-A -t 10.9.0.1:4 -p 2678401
-A -t 10.9.0.1:5 -p 0
-A -t 10.9.0.1:6 -p -1
-A -t 10.9.0.1:7 -p abc
-A -t 10.9.0.1:8 -p 60 -p 70
-A -t 10.9.0.1:9 -p60
-A -t 10.9.0.1:10 --persistent 90
-A -t 10.9.0.1:11 --persistent=90
-A -t 10.9.0.1:12 --persistent
-A -t 10.9.0.1:13 -p 60 -M 255.255.255.0
-A -t 10.9.0.1:14 -p 60 --netmask 255.255.0.0
-A -t 10.9.0.1:15 -p 60 -M 24
-A -t 10.9.0.1:16 -p 60 -M 0.0.0.0
-A -t 10.9.0.1:17 -p 60 -M 255.255.255.255
-A -t 10.9.0.1:18 -p 60 -M 255.0.255.0
-A -t 10.9.0.1:19 -p 60 -M abc
-A -t 10.9.0.1:20 -M 255.255.255.0
-A -t 10.9.0.1:21 -M 255.255.255.0 -p
-A -t 10.9.0.1:22 -p 60 -M
-A -t 10.9.0.1:23 -p 60 -M 255.255.255.0 -M 255.255.0.0
-A -t [fd09::1]:1 -p 60 -M 64
-A -t [fd09::1]:2 -p 60 -M 128
-A -t [fd09::1]:3 -p 60 -M 129
-A -t [fd09::1]:4 -p 60 -M 0
-A -t [fd09::1]:5 -p 60 -M 1
-A -t [fd09::1]:6 -p 60 -M ffff::
-A -t [fd09::1]:7 -p 60
-A -t [fd09::1]:8 -M 64 -p 60
-A -f 5 -6 -p 60 -M 64
-A -f 6 -p 60 -M 255.255.255.0
-A -M 64 -f 7 -6 -p 60
-A -t 10.9.0.1:0 -p 60
-A -t 10.9.0.2:0 -p
-A -u 10.9.0.1:5060 --pe sip -p 60 -s rr
-A -u 10.9.0.1:5061 --pe sip
-A -t 10.9.0.1:5060 --pe sip -p 60
-A -u 10.9.0.1:5062 --pe nosuch -p 60
-A -u 10.9.0.1:5063 --pe '' -p 60
-A -u 10.9.0.1:5064 --pe
-A -u 10.9.0.1:5065 --pe sip -p 60 -o
-A -u 10.9.0.1:5066 -p 60 -o
-E -t 10.9.0.1:1
-E -t 10.9.0.1:2 -p 5
-E -u 10.9.0.1:5060 -p 60
-E -t 10.9.0.1:0
-Ln
-L
-Sn
-Ln --persistent-conn
""",
    ),
    group(
        "edit-service",
        "editing and deleting services",
        r"""
-A -t 10.9.0.1:80 -s rr
-E -t 10.9.0.1:80 -s wrr
-Ln
-E -t 10.9.0.1:80
-Ln
-E -t 10.9.0.1:81 -s rr
-E -t 10.9.0.1:80 -s nosuch
-E -t 10.9.0.1:80 -p 100
--edit-service -t 10.9.0.1:80 -s lc
-E
-E -s rr
-E -t 10.9.0.1:80 -o
-E -t 10.9.0.1:80 -r 10.2.0.1
-A -u 10.9.0.1:53 -o
-E -u 10.9.0.1:53
-Ln
-D -t 10.9.0.1:81
-D -t 10.9.0.1:80 -s rr
-D -t 10.9.0.1:80 -r 10.2.0.1
-D -t 10.9.0.1:80 -n
-D
-D -t 10.9.0.1:80
-D -t 10.9.0.1:80
--delete-service --udp-service 10.9.0.1:53
-A -f 1
-D -f 1 -6
-D -f 1
-D -f 1
-A -t [fd09::1]:80
-D -t [fd09::1]:80
-A -t 10.9.0.1:80
-A -t 10.9.0.2:80
-C -t 10.9.0.1:80
-C -n
-C
-Ln
""",
    ),
    group(
        "destinations",
        "adding, editing and deleting destinations: forms, defaults, refusals",
        r"""
-A -t 10.9.0.1:80
-a -t 10.9.0.1:80 -r 10.2.0.1
-a -t 10.9.0.1:80 -r 10.2.0.1
-a -t 10.9.0.1:80 -r 10.2.0.1:80
-a -t 10.9.0.1:80 -r 10.2.0.1:81 -m
-a -t 10.9.0.1:80 -r 10.2.0.2:8080 -g
-a -t 10.9.0.1:80 -r 10.2.0.3:8080 -i
-a -t 10.9.0.1:80 -r 10.2.0.4:8080 -m
-a -t 10.9.0.1:80 -r 10.2.0.5 -m -w 10
-a -t 10.9.0.1:80 -r 10.2.0.254:80 -g
-a -t 10.9.0.1:80 -r 10.2.0.254:81 -m
-a -t 10.9.0.1:80 -r 127.0.0.1:80 -m
-a -t 10.9.0.1:80 -r localhost:http -m
--add-server --tcp-service 10.9.0.1:80 --real-server 10.2.0.6 --gatewaying --weight 7
--add-server --tcp-service=10.9.0.1:80 --real-server=10.2.0.7 --masquerading --weight=8
-a -t 10.9.0.1:80 -r 10.2.0.8 --ipip
-at 10.9.0.1:80 -r 10.2.0.9 -mw 2
-a -t 10.9.0.1:80 -r one.example:81 -m
-a -t 10.9.0.1:80 -r one.example:82 -m
-a -t 10.9.0.1:80 -r nosuch.example:80
-a -t 10.9.0.1:80 -r 10.2.0.11:http -m
-a -t 10.9.0.1:80 -r 10.2.0.12: -m
-a -t 10.9.0.1:80 -r :80 -m
-a -t 10.9.0.1:80 -r 10.2.0.13:0 -m
-a -t 10.9.0.1:80 -r 10.2.0.14:65536 -m
-a -t 10.9.0.1:80 -r 0.0.0.0 -m
-a -t 10.9.0.1:80 -r 224.0.0.1 -m
-a -t 10.9.0.1:80 -r 255.255.255.255 -m
-a -t 10.9.0.1:80 -r 10.2.0.15 -w 0
-a -t 10.9.0.1:80 -r 10.2.0.16 -w 65535
-a -t 10.9.0.1:80 -r 10.2.0.17 -w 65536
-a -t 10.9.0.1:80 -r 10.2.0.18 -w -1
-a -t 10.9.0.1:80 -r 10.2.0.19 -w abc
-a -t 10.9.0.1:80 -r 10.2.0.20 -w
-a -t 10.9.0.1:80 -r 10.2.0.21 -w 1 -w 2
-a -t 10.9.0.1:80 -r 10.2.0.22 -w 1x
-a -t 10.9.0.1:80 -r 10.2.0.23 -x 10
-a -t 10.9.0.1:80 -r 10.2.0.24 -x 10 -y 5
-a -t 10.9.0.1:80 -r 10.2.0.25 -x 5 -y 10
-a -t 10.9.0.1:80 -r 10.2.0.26 -y 10
-a -t 10.9.0.1:80 -r 10.2.0.27 -x 2147483647
-a -t 10.9.0.1:80 -r 10.2.0.28 -x 2147483648
-a -t 10.9.0.1:80 -r 10.2.0.29 -x -1
-a -t 10.9.0.1:80 -r 10.2.0.30 -x abc
-a -t 10.9.0.1:80 -r 10.2.0.31 -y abc
-a -t 10.9.0.1:80 -r 10.2.0.32 --u-threshold 9 --l-threshold 3
-a -t 10.9.0.1:80 -r 10.2.0.33 -g -m
-a -t 10.9.0.1:80 -r 10.2.0.33 -i -m
-a -t 10.9.0.1:80 -r 10.2.0.33 -m -m
-a -t 10.9.0.1:80 -r 10.2.0.34 -r 10.2.0.35
-a -t 10.9.0.1:80
-a -r 10.2.0.1
-a
-a -t 10.9.0.1:80 -r
-a -t 10.9.0.1:81 -r 10.2.0.1
-a -t 10.9.0.1:80 -r 10.2.0.36 -s rr
-a -t 10.9.0.1:80 -r 10.2.0.36 -p
-a -t 10.9.0.1:80 -r 10.2.0.36 -M 255.255.255.0
-a -t 10.9.0.1:80 -r 10.2.0.36 -o
-a -t 10.9.0.1:80 -r 10.2.0.36 -n
-a -t 10.9.0.1:80 -r 10.2.0.36 -b sh-port
-a -t 10.9.0.1:80 -r 10.2.0.36 extra
-Ln
-Ln --thresholds
-e -t 10.9.0.1:80 -r 10.2.0.1 -w 5
-e -t 10.9.0.1:80 -r 10.2.0.1 -m
-e -t 10.9.0.1:80 -r 10.2.0.1 -x 7
-e -t 10.9.0.1:80 -r 10.2.0.1
-e -t 10.9.0.1:80 -r 10.2.0.99
-e -t 10.9.0.1:81 -r 10.2.0.1
-e -t 10.9.0.1:80 -r 10.2.0.2:8080 -m -w 4
-e -t 10.9.0.1:80
--edit-server -t 10.9.0.1:80 -r 10.2.0.5 -m -w 0
-d -t 10.9.0.1:80 -r 10.2.0.5
-d -t 10.9.0.1:80 -r 10.2.0.5
-d -t 10.9.0.1:80 -r 10.2.0.4:8080
-d -t 10.9.0.1:80 -r 10.2.0.6 -w 1
-d -t 10.9.0.1:80 -r 10.2.0.6 -m
-d -t 10.9.0.1:80
-d -t 10.9.0.1:81 -r 10.2.0.1
--delete-server -t 10.9.0.1:80 --real-server 10.2.0.6
-d -r 10.2.0.1
-Ln
-L
-Sn
""",
    ),
    group(
        "tunnels",
        "tunnel types and their options",
        r"""
-A -t 10.9.0.1:80
-a -t 10.9.0.1:80 -r 10.2.0.1 -i --tun-type ipip
-a -t 10.9.0.1:80 -r 10.2.0.2 -i --tun-type gue --tun-port 6080
-a -t 10.9.0.1:80 -r 10.2.0.3 -i --tun-type gue --tun-port 6080 --tun-nocsum
-a -t 10.9.0.1:80 -r 10.2.0.4 -i --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.9.0.1:80 -r 10.2.0.5 -i --tun-type gue --tun-port 6080 --tun-remcsum
-a -t 10.9.0.1:80 -r 10.2.0.6 -i --tun-type gre
-a -t 10.9.0.1:80 -r 10.2.0.7 -i --tun-type gre --tun-csum
-a -t 10.9.0.1:80 -r 10.2.0.8 -i --tun-type gre --tun-nocsum
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type gue
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type gre --tun-port 5
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type gre --tun-remcsum
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type ipip --tun-port 5
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type ipip --tun-csum
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type nosuch
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-type
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-port 5
-a -t 10.9.0.1:80 -r 10.2.0.9 -i --tun-csum
-a -t 10.9.0.1:80 -r 10.2.0.9 -m --tun-type gre
-a -t 10.9.0.1:80 -r 10.2.0.9 -g --tun-type gre
-a -t 10.9.0.1:80 -r 10.2.0.9 --tun-type gre
-a -t 10.9.0.1:80 -r 10.2.0.10 -i --tun-type gue --tun-port 0
-a -t 10.9.0.1:80 -r 10.2.0.10 -i --tun-type gue --tun-port 65536
-a -t 10.9.0.1:80 -r 10.2.0.10 -i --tun-type gue --tun-port abc
-a -t 10.9.0.1:80 -r 10.2.0.10 -i --tun-type gue --tun-port 1 --tun-csum --tun-nocsum
-a -t 10.9.0.1:80 -r [fd02::1] -i
-a -t 10.9.0.1:80 -r [fd02::2] -m
-a -t 10.9.0.1:80 -r [fd02::3]
-a -t 10.9.0.1:80 -r fd02::4 -i
-A -t [fd09::1]:80
-a -t [fd09::1]:80 -r 10.2.0.1 -i
-a -t [fd09::1]:80 -r 10.2.0.2 -m
-a -t [fd09::1]:80 -r [fd02::1]:80 -i --tun-type gre
-a -t [fd09::1]:80 -r [fd02::2]:8080 -m
-a -t [fd09::1]:80 -r [fd02::2]:8080 -m
-a -t [fd09::1]:80 -r [fd02::3] -g
-a -t [fd09::1]:80 -r fd02::4 -g
-a -t [fd09::1]:80 -r [fe80::1] -g
-a -t [fd09::1]:80 -r [ff02::1] -g
-a -t [fd09::1]:80 -r [::1] -g
-e -t 10.9.0.1:80 -r 10.2.0.2 -i --tun-type gre
-e -t 10.9.0.1:80 -r 10.2.0.6 -i
-Ln
-Ln --tun-info
-L --tun-info
-Ln --tun-info --stats
-Sn
-S
--start-daemon master --mcast-interface server0
""",
    ),
    group(
        "mark-destinations",
        "destinations of firewall marks",
        r"""
-A -f 1
-a -f 1 -r 10.2.0.1
-a -f 1 -r 10.2.0.2:80 -m
-a -f 1 -r 10.2.0.3:80 -g
-a -f 1 -r 10.2.0.4:0 -m
-a -f 1 -r [fd02::1] -i
-A -f 1 -6
-a -f 1 -6 -r [fd02::1]
-a -f 1 -6 -r [fd02::2]:80 -m
-a -6 -f 1 -r [fd02::3]
-a -f 2 -r 10.2.0.1
-e -f 1 -r 10.2.0.1 -w 9
-d -f 1 -r 10.2.0.2:80
-d -f 1 -6 -r [fd02::2]:80
-Ln
-L
-Sn
-D -f 1 -6
-Ln
""",
    ),
    group(
        "timeouts",
        "--set and the timeouts shown",
        r"""
-L --timeout
--set 100 200 300
-L --timeout
--set 0 0 50
-L --timeout
--set 2678400 2678400 2678400
-L --timeout
--set 2678401 0 0
--set 0 2678401 0
--set 0 0 2678401
--set -1 0 0
--set a 0 0
--set 1 b 0
--set 1 2 c
--set 1 2
--set 1
--set
--set 1 2 3 4
--set 0 0 0
--set 10 20 30 -n
-n --set 10 20 30
-L --timeout -t 10.9.0.1:80
-L --timeout -c
-L --timeout --daemon
-L --timeout --stats
-L --timeout -n
-L --timeout
""",
    ),
    group(
        "daemons",
        "the synchronisation daemons",
        r"""
--start-daemon master --mcast-interface server0
-L --daemon
--start-daemon master --mcast-interface server0
--start-daemon backup --mcast-interface server0 --syncid 7
-L --daemon
-Ln --daemon
--stop-daemon master
--stop-daemon master
--stop-daemon backup --syncid 7
-L --daemon
--start-daemon=master --mcast-interface=server0 --syncid=255
-L --daemon
--stop-daemon master --syncid 255
--start-daemon master --mcast-interface server0 --syncid 256
--start-daemon master --mcast-interface server0 --syncid -1
--start-daemon master --mcast-interface server0 --syncid abc
--start-daemon master
-L --daemon
--start-daemon nosuch
--start-daemon
--start-daemon mast --mcast-interface server0
-L --daemon
--stop-daemon mast
--stop-daemon nosuch
--stop-daemon
--start-daemon master --mcast-interface nosuch0
--start-daemon master --mcast-interface averyveryverylonginterfacename0
--start-daemon backup --mcast-interface server0 --mcast-group 224.0.0.82 --mcast-port 9000 --mcast-ttl 3 --sync-maxlen 1200
-L --daemon
--stop-daemon backup
--start-daemon backup --mcast-interface server0 --mcast-group 10.0.0.1
--start-daemon backup --mcast-interface server0 --mcast-group abc
--start-daemon backup --mcast-interface server0 --mcast-port 0
--start-daemon backup --mcast-interface server0 --mcast-port 65536
--start-daemon backup --mcast-interface server0 --mcast-ttl 0
--start-daemon backup --mcast-interface server0 --mcast-ttl 256
--start-daemon backup --mcast-interface server0 --sync-maxlen 0
--start-daemon backup --mcast-interface server0 --sync-maxlen 100
-L --daemon
--stop-daemon backup
--start-daemon backup --mcast-interface server0 --sync-maxlen 70000
--start-daemon backup --mcast-interface server0 --mcast-group ff02::51
-L --daemon
--stop-daemon backup
--start-daemon master --mcast-interface server0 --mcast-interface server0
--start-daemon master -n
--start-daemon master extra
--stop-daemon master --mcast-interface server0
-L --daemon --syncid 3
-L --daemon -t 10.9.0.1:80
-L --daemon -c
--start-daemon master backup
""",
    ),
    group(
        "list-refusals",
        "options that a listing does not take, or not together",
        r"""
-A -t 10.9.0.1:80 -s rr
-L -c -t 10.9.0.1:80
-L -c --stats
-L -c --rate
-L -c --thresholds
-L -c --sort
-L -c --exact
-L -c --timeout
-L -c --daemon
-L -c -n -n
-L -s rr
-L -r 10.2.0.1
-L -w 1
-L -p
-L -p 5
-L -M 255.255.255.0
-L -g
-L -i
-L -m
-L -o
-L -6
-L -x 1
-L --syncid 1
-L --mcast-interface server0
-L --pe sip
-L -b sh-port
-L --tun-type gre
-L -n --stats --stats
-L --sort --nosort
-L --exact
-Ln -t 10.9.0.1:80 -u 10.9.0.1:80
-L -t
-L -t 10.9.0.1
-L -t nosuch.example:80
-Ln -t 10.9.0.1:80 --thresholds
-Ln -t 10.9.0.1:80 --rate
-Ln -t 10.9.0.1:80 --persistent-conn
-Ln -t 10.9.0.1:80 --sort
-Ln -t 10.9.0.1:80 --nosort
-Ln -t 10.9.0.1:80 extra
-Z -n
-Z -r 10.2.0.1
-Z --stats
-Z -f 5
-S -t 10.9.0.1:80
-S -c
-S --stats
-S extra
-R -n
-R -t 10.9.0.1:80
-R extra
-L --connection
-L --connection --numeric
-Ln --conn
-Ln --st
-Ln --t
-Ln --thres
-Ln --sor
""",
    ),
    group(
        "save-and-restore",
        "tables from standard input",
        r"""
-R <<< '-A -t 10.9.0.1:80 -s rr\n-a -t 10.9.0.1:80 -r 10.2.0.1:80 -m -w 2\n'
-Sn
-R <<< 'ipvsadm -A -t 10.9.0.1:81 -s lc\nipvsadm -a -t 10.9.0.1:81 -r 10.2.0.1:80 -m\n'
-Ln
-R <<< '\n\n-A -t 10.9.0.1:82\n\n'
-R <<< '# a comment\n-A -t 10.9.0.1:83\n'
-R <<< '-A -t 10.9.0.1:84 # a comment\n'
-R <<< '-A -t 10.9.0.1:85 #comment\n-A -t 10.9.0.1:86#comment\n'
-R <<< '  -A   -t   10.9.0.1:87   -s   rr  \n'
-R <<< '\t-A\t-t\t10.9.0.1:88\n'
-R <<< '-A -t 10.9.0.1:89'
-R <<< '-A -t 10.9.0.1:80\n-A -t 10.9.0.1:90\n'
-R <<< '-A -t 10.9.0.1:91\n-A -t 10.9.0.1:80\n'
-R <<< '-A -t 10.9.0.1:92\n-A -t nonsense\n-A -t 10.9.0.1:93\n'
-R <<< '-A -t 10.9.0.1:94\n-Q\n-A -t 10.9.0.1:95\n'
-R <<< 'nonsense\n'
-R <<< '-A -t 10.9.0.1:96\nnonsense\n-A -t 10.9.0.1:97\n'
-R <<< '-C\n-A -t 10.9.0.2:80\n'
-R <<< '-L -n\n'
-R <<< '-Ln\n-A -t 10.9.0.2:81\n-Ln\n'
-R <<< '-E -t 10.9.0.2:80 -s rr\n-D -t 10.9.0.2:81\n-Z\n--set 10 20 30\n'
-L --timeout
-R <<< '-R\n'
-R <<< '-S -n\n'
-R <<< '-A -t 10.9.0.3:80 -p\n-a -t 10.9.0.3:80 -r 10.2.0.1 -g -w 1\n-A -t 10.9.0.3:81\n'
-R <<< '-A -t "10.9.0.4:80" -s rr\n'
-R <<< "-A -t 10.9.0.4:81 -s 'rr'\n"
-R <<< '-A -t 10.9.0.5:80 -s rr\r\n'
--restore <<< '-A -t 10.9.0.6:80 -s rr\n'
@program ipvsadm-restore <<< '# kept from somewhere\n-A -t 10.9.0.7:80 -s rr\n\n-a -t 10.9.0.7:80 -r 10.2.0.7:80 -m -w 1\n'
-Sn
@program ipvsadm-save -n
@program ipvsadm-save --nosuch
@program ipvsadm-restore -h <<< ''
@program ipvsadm-save -h
-R <<< '-A -t 10.9.0.8:80 -s mh -b mh-port,mh-fallback -p 60 -M 255.255.255.0\n-a -t 10.9.0.8:80 -r 10.2.0.1 -i --tun-type gue --tun-port 6080 --tun-csum -x 5 -y 2\n'
-Sn
-S
""",
    ),
    group(
        "names",
        "names instead of numbers",
        r"""
-A -t www.example:http -s rr
-A -t localhost:https -s rr
-A -t a-virtual-service-with-a-very-long-name.example:zabbix-trapper -s rr
-A -u www.example:domain -s rr
-A -t www.example:domain -s rr
-A -u www.example:http -s rr
-A -u www.example:sip -s rr -p 60 -M 255.255.255.0
-A -t www6.example:http -s rr
-A -t [www6.example]:http -s rr
-A -t [fd09::1]:http -s rr
-A -t [fd09::1]:zabbix-trapper -s rr
-a -t www.example:http -r one.example:http -m
-a -t www.example:http -r a-real-server-with-a-very-long-name.example:zabbix-trapper -m
-a -t www.example:http -r a-real-server-with-a-very-long-name.example:1 -m
-a -t www.example:http -r 10.2.0.3:8000 -m
-a -t localhost:https -r localhost:https -m
-a -u www.example:domain -r 10.2.0.1:53 -m
-a -t [fd09::1]:http -r [fd02::1]:http -m
-a -t [fd09::1]:http -r [fd02:1:2:3:4:5:6:7]:65000 -m
-a -t [fd09::1]:http -r [fd02::2]:http -m
-L
-Ln
-L -t www.example:http
-Ln -t www.example:http
-L --stats
-L --rate
-L --thresholds
-L --persistent-conn
-L --tun-info
-S
-Sn
@open tcp 10.9.0.1:80 count=3 client=10.2.0.1
@open tcp 10.9.0.1:80 count=3 client=192.0.2.77 port=53
-L -c
-L -c -n
-D -t www.example:http
-L
""",
    ),
    group(
        "counters",
        "traffic in every view",
        r"""
-A -t 10.9.0.1:80 -s rr
-a -t 10.9.0.1:80 -r 10.2.0.1:80 -m
-a -t 10.9.0.1:80 -r 10.2.0.2:80 -m
-A -u 10.9.0.1:53 -s rr
-a -u 10.9.0.1:53 -r 10.2.0.1:53 -m
-A -t 10.9.0.2:80 -s wlc -p 360
-a -t 10.9.0.2:80 -r 10.2.0.3:80 -g
-A -u 10.9.0.3:53 -s rr -o
-a -u 10.9.0.3:53 -r 10.2.0.4:53 -m
-A -t [fd09::1]:80 -s rr -p 300 -M 64
-a -t [fd09::1]:80 -r [fd02::1]:80 -m
-A -t 10.9.0.4:0 -s rr -p 60
-a -t 10.9.0.4:0 -r 10.2.0.5:0 -m
@open tcp 10.9.0.1:80 count=5 establish=1
@open tcp 10.9.0.1:80 count=4 establish=1 close=1 port=2000
@open tcp 10.9.0.1:80 count=3 port=3000
@open udp 10.9.0.1:53 count=6
@open tcp 10.9.0.2:80 count=4 establish=1 client_step=1
@open udp 10.9.0.3:53 count=6
@open tcp [fd09::1]:80 count=3 establish=1 client=2001:db8:c::1
@open tcp 10.9.0.4:80 count=2 establish=1
@open tcp 10.9.0.4:443 count=2
-Ln
-Ln --thresholds
-Ln --persistent-conn
-Lnc
-Lc
-Lnc --persistent-conn
-Lnc --sort
@settle
-Ln --stats
-L --stats
-Ln --stats --exact
-Ln --stats -t 10.9.0.1:80
-Z -t 10.9.0.1:80
-Ln --stats
-Z
-Ln --stats
-Ln
-d -t 10.9.0.1:80 -r 10.2.0.2:80
-Ln
-a -t 10.9.0.1:80 -r 10.2.0.2:80 -m
-Ln
-C
-Ln
-Lnc
""",
    ),
    group(
        "large-counters",
        "numbers too wide for their columns",
        r"""
-A -t 10.9.0.1:80 -s rr
-a -t 10.9.0.1:80 -r 10.2.0.1:80 -m
@open tcp 10.9.0.1:80 count=1200
-Ln
@settle
-Ln --stats
-Ln --stats --exact
""",
    ),
    group(
        "sip",
        "the persistence engine in the connection listing",
        r"""
-A -u 10.9.0.1:5060 -s rr -p 60 --pe sip
-a -u 10.9.0.1:5060 -r 10.2.0.1:5060 -m
-a -u 10.9.0.1:5060 -r 10.2.0.2:5060 -m
-Ln
-L
-Sn
@open udp 10.9.0.1:5060 sip=1
@open udp 10.9.0.1:5060 sip=2 port=1001
@open udp 10.9.0.1:5060 sip=1 port=1002
@open udp 10.9.0.1:5060 port=1003
-Lnc
-Lnc --persistent-conn
-Lc --persistent-conn
-Ln --persistent-conn
""",
    ),
    group(
        "order",
        "how services and destinations are sorted",
        r"""
-A -t 10.9.0.2:80 -s rr
-A -t 10.9.0.1:443 -s rr
-A -t 10.9.0.1:80 -s rr
-A -u 10.9.0.1:80 -s rr
-A -u 10.9.0.0:80 -s rr
-A --sctp-service 10.9.0.1:80 -s rr
-A -f 20 -s rr
-A -f 3 -s rr
-A -f 3 -6 -s rr
-A -t [fd09::2]:80 -s rr
-A -t [fd09::1]:80 -s rr
-A -t [fd09::1]:79 -s rr
-A -u [fd09::1]:79 -s rr
-A -t 9.255.0.1:80 -s rr
-A -t 192.168.0.1:80 -s rr
-a -t 10.9.0.1:80 -r 10.2.0.3:80 -m
-a -t 10.9.0.1:80 -r 10.2.0.1:81 -m
-a -t 10.9.0.1:80 -r 10.2.0.1:80 -m
-a -t 10.9.0.1:80 -r 192.168.1.1:80 -m
-a -t 10.9.0.1:80 -r 9.1.1.1:80 -m
-a -t 10.9.0.1:80 -r [fd02::1] -i
-a -t [fd09::1]:80 -r [fd02::2]:80 -m
-a -t [fd09::1]:80 -r [fd02::1]:80 -m
-Ln
-Ln --sort
-Ln --stats
-Sn
-Ln -t 10.9.0.1:80 --nosort
""",
    ),
)
