"""Logging of the daemons: lines to stderr, with priorities where the journal reads them."""

from __future__ import annotations

import logging
import os
import sys

# sd-daemon(3): a line that begins with <N> has syslog priority N.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def log_to_stderr(*, verbose: bool = False) -> None:
    """Send every logger of this process to stderr: INFO and above, DEBUG of ours too when `verbose`.

    On a terminal or in a file each line has its time; under systemd the journal adds that itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("piranha").setLevel(logging.DEBUG if verbose else logging.INFO)
    for chatty in ("uvicorn", "asyncio", "pyroute2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
