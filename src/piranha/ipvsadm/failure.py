"""How a command line fails before anything is asked of the data plane."""

from __future__ import annotations

USAGE = 2
REFUSED = 255
"""What the shell sees of ipvsadm's -1: the option parser or the kernel refused."""


class CommandLineError(Exception):
    """`text` goes to standard error as it is. `ends` is False where a restore goes on with its next line."""

    def __init__(self, text: str, *, exit_code: int = USAGE, ends: bool = True) -> None:
        super().__init__(text)
        self.text = text + "\n"
        self.exit_code = exit_code
        self.ends = ends


def try_help(program: str) -> CommandLineError:
    """The hint after a first word that is no command."""
    return CommandLineError(f"Try `{program} -h' or '{program} --help' for more information.", exit_code=REFUSED)
