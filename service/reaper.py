"""Watches a service process, and clears away what it leaves when it is killed: its processes and temporary files.

It uses nothing but the standard library: it is a process of its own, which has to be small.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

#: In the environment of every process that a service process starts: the name of its scratch folder, and of a part.
MARK: Final = "ZKEVM_SCRATCH"

#: The file in a scratch folder that its service process has locked for as long as it lives.
LOCK: Final = "lock"


def marked(mark: str) -> list[int]:
    """Processes whose environment has this mark, but this one: of a scratch folder, or of a part of it."""
    wanted = (f"{MARK}={mark}\0".encode(), f"{MARK}={mark}/".encode())
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if any(each in environment for each in wanted) and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def kill_marked(mark: str) -> list[int]:
    """Kill them, and what they start meanwhile.

    Returns:
        Those that do not end: there should be none.
    """
    left: list[int] = []
    for _ in range(100):
        left = [pid for pid in marked(mark) if is_alive(pid)]
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return left


def start_ticks(pid: int) -> int | None:
    """When a process was started, clock ticks since the machine was; None if there is none, or it only waits for its
    parent to hear that it has ended."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZXx" else int(fields[19])


def is_alive(pid: int, ticks: int | None = None) -> bool:
    """Whether a process is there, and was started then."""
    found = start_ticks(pid)
    return found is not None and ticks in (None, found)


def clear(folder: Path) -> None:
    """Kill what was started with a scratch folder, and remove it."""
    kill_marked(folder.name)
    # A process that was just killed may have made another file.
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.05)


def main(folder: Path) -> None:
    """Wait until the process that has locked the scratch folder ends, and clear it."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    fcntl.flock(lock, fcntl.LOCK_EX)
    clear(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
