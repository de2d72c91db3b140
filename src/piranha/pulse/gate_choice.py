"""Which gate: the BPF programs, or nftables rules where the kernel refuses those. Never both."""

from __future__ import annotations

import logging

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.pulse import gate_nft
from piranha.pulse.gate import Gate
from piranha.pulse.gate_nft import NftGate

logger = logging.getLogger(__name__)


def open_gate(paths: Paths) -> Gate | NftGate:
    """The gate of this network namespace, adopted where an earlier life left one. Raises PiranhaError with both reasons."""
    try:
        gate = Gate.open(paths)
    except PiranhaError as refused:
        try:
            rules = NftGate.open()
        except PiranhaError as error:
            raise PiranhaError(
                f"no gate for the VIPs: {refused.message}; {error.message}", mend=refused.mend or error.mend
            ) from error
        logger.warning("the gate is made of nftables rules: the kernel refuses its programs error=%s", refused)
        return rules
    # Rules of a life that had no BPF would stay shut for ever.
    gate_nft.unload()
    return gate
