"""Start a program that dies with its parent: `bound.py PARENT PROGRAM ARGUMENT…`.

A file of its own, run in place of the program and then replaced by it, because a process can only
ask this for itself. Where the system cannot do it, `Household` cleans up at the next start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have this process killed as soon as the thread of `parent` that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before we could ask.
        sys.exit(1)


def main() -> None:
    """Tie this process to its parent and become the program."""
    parent, *command = sys.argv[1:]
    die_with(int(parent))
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
