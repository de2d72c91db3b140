"""A keepalived.conf as a draft."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.importers.draft import Draft
from piranha.importers.keepalived.blocks import Statement, statements
from piranha.importers.keepalived.lines import Preprocessor
from piranha.importers.keepalived.pair import PairReader
from piranha.importers.keepalived.reasons import GLOBAL_LEFT, NO_TRACKING
from piranha.importers.keepalived.services import ServiceReader
from piranha.importers.keepalived.walk import walk
from piranha.importers.ledger import Ledger
from piranha.importers.options import ImportOptions
from piranha.importers.source import Source
from piranha.importers.values import Values

_TOP_LEFT = {
    "vrrp_script": NO_TRACKING,
    "vrrp_track_process": NO_TRACKING,
    "vrrp_track_file": NO_TRACKING,
    "track_file": NO_TRACKING,
    "static_ipaddress": "the system's own configuration brings up addresses that stay",
    "static_routes": "the system's own configuration has the routes that stay",
    "static_rules": "the system's own configuration has the rules that stay",
    "track_group": "the system's own configuration has what stays",
    "static_track_group": "the system's own configuration has what stays",
    "bfd_instance": "there is no BFD",
    "linkbeat_interfaces": "links are watched by netlink",
    "interface_up_down_delays": "links are watched by netlink",
    "garp_group": "the takeover's announcements follow a rhythm of their own",
    "SSL": "TLS is not spoken by the checks of lvs.cf",
    "include_check": "a missing file is told here, always",
    **GLOBAL_LEFT,
}
_SECRETS = ("auth_pass", "password", "auth_hmac_key")


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Fill the draft from the files, read one after the other as one. Raises SourceError."""
    preprocessor = Preprocessor(source, ledger, options.config_id)
    found: list[Statement] = []
    for file in files:
        found.extend(statements(preprocessor.read(file), ledger))
    preprocessor.finish()
    _hide(found, ledger)
    values = Values(ledger, options)
    services, pair = ServiceReader(draft, ledger, values), PairReader(draft, ledger, values, options)
    groups = [statement for statement in found if statement.keyword == "virtual_server_group"]
    for group in groups:
        services.take_group(group)
    handlers = {
        "global_defs": pair.take_globals,
        "vrrp_instance": pair.take_instance,
        "vrrp_sync_group": pair.take_group,
        "virtual_server": services.take_virtual,
        "virtual_server_group": lambda statement: None,
    }
    walk(found, handlers, _TOP_LEFT, ledger)
    services.finish_groups(groups)
    pair.finish()


def _hide(found: Sequence[Statement], ledger: Ledger) -> None:
    """Keep the values of secret keywords out of the report, wherever they came from."""
    for statement in found:
        if statement.keyword in _SECRETS:
            for word in statement.arguments:
                ledger.hide(word)
        _hide(statement.inner, ledger)
