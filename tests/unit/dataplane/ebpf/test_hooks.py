"""Which interfaces are served, and by which hooks."""

from __future__ import annotations

import pytest

from piranha.dataplane.ebpf.hooks import Hook, choose_hooks
from piranha.dataplane.ebpf.interfaces import InterfaceInfo, served
from piranha.model.configuration import HookChoice

TC, BOTH = frozenset({Hook.TC}), frozenset({Hook.TC, Hook.XDP})
CARD = InterfaceInfo(index=2, name="eth0", driver="ice", physical=True, has_address=True)
VETH = InterfaceInfo(index=3, name="veth0", kind="veth", driver="veth", has_address=True)
VIRTIO = InterfaceInfo(index=4, name="eth1", driver="virtio_net", has_address=True)
LOOPBACK = InterfaceInfo(index=1, name="lo", loopback=True, has_address=True)
TUN = InterfaceInfo(index=5, name="tun0", kind="tun", ethernet=False, has_address=True)


@pytest.mark.parametrize(
    ("interface", "choice", "hooks"),
    [
        (CARD, HookChoice.AUTO, BOTH),
        (CARD, HookChoice.XDP, BOTH),
        (CARD, HookChoice.TC, TC),
        (VETH, HookChoice.AUTO, TC),
        (VETH, HookChoice.XDP, BOTH),
        (VIRTIO, HookChoice.AUTO, TC),
        (LOOPBACK, HookChoice.XDP, TC),
        (TUN, HookChoice.XDP, TC),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_hooks(interface: InterfaceInfo, choice: HookChoice, hooks: frozenset[Hook]) -> None:
    assert choose_hooks(interface, choice) == hooks


def variant(**changes: object) -> InterfaceInfo:
    plain: dict[str, object] = {"index": 9, "name": "x", "has_address": True}
    return InterfaceInfo(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("interface", "is_served"),
    [
        (CARD, True),
        (VETH, True),
        (LOOPBACK, False),
        (TUN, False),
        (variant(up=False), False),
        (variant(has_address=False), False),
        (variant(master=7, master_kind="bridge"), False),
        (variant(master=7, master_kind="bond"), False),
        (variant(master=7, master_kind="vrf"), True),
    ],
)
def test_who_is_served_when_nobody_is_named(interface: InterfaceInfo, is_served: bool) -> None:
    assert (served([interface]) == (interface,)) is is_served


def test_names_override_everything() -> None:
    assert served([CARD, LOOPBACK, VETH], ["lo", "veth0", "absent"]) == (LOOPBACK, VETH)
