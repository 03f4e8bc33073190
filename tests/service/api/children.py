"""Confined processes that misbehave: `python -m tests.service.api.children KIND`."""

import os
import subprocess
import sys
import time

from service.confined import Bounds, main


def work(bounds: Bounds) -> str:
    """Do as the first argument says."""
    kind = sys.argv[1]
    if kind == "answer":
        print("this is no part of the answer", file=sys.stderr)
        return " ".join(sys.argv[2:])
    if kind == "sleep":
        time.sleep(3600)
    elif kind == "spin":
        while True:
            pass
    elif kind == "allocate":
        return str(len(bytearray(4 << 30)))
    elif kind == "flood":
        while True:
            os.write(1, b"x" * (1 << 16))
    elif kind == "errors":
        for _ in range(1000):
            os.write(2, b"e" * (1 << 16))
        return "done"
    elif kind == "fork":
        subprocess.Popen(["sleep", sys.argv[2]])
        time.sleep(3600)
    elif kind == "segfault":
        os.abort()
    elif kind == "pid":
        with open(sys.argv[2], "w") as file:
            file.write(str(os.getpid()))
        time.sleep(3600)
    return ""


if __name__ == "__main__":
    main(work)
