"""The proving service with a queue of examples: what `make serve` starts.

`python -m scripts.example_queue --data FOLDER --port PORT` starts `zkevm serve`, submits some of `examples/` as soon as
it answers, says where its page is, and ends when the service ends. Each example is submitted under a key made of its
content, so that the same folder of data never proves it twice.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.models import Options
from zkevm.client import Client, ServiceError

EXAMPLES: Final = Path(__file__).parent.parent / "examples"

#: Names of the examples, and the most operations of a segment: some of one segment, some of several.
QUEUE: Final = (("transfer", None), ("erc20-yul", None), ("erc20", 25), ("nft", None), ("erc20-vyper", 50))

#: Seconds until the service must answer. The first start imports and migrates.
PATIENCE: Final = 120.0

#: A browser is opened where one of these says that there is a screen.
_SCREENS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def submit(client: Client) -> list[str]:
    """Submit the examples; returns the ids of their jobs."""
    jobs = []
    for name, operations in QUEUE:
        file = EXAMPLES / f"{name}.json"
        options = Options(segment_memory=None, segment_operations=operations)
        key = hashlib.sha256(f"{name} {operations}\n".encode() + file.read_bytes()).hexdigest()
        jobs.append(client.submit(file, name=name, options=options, idempotency_key=key).id)
    return jobs


def is_free(port: int) -> bool:
    """Whether nobody listens there. Otherwise another service would be given the examples."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait(client: Client, service: subprocess.Popen[bytes]) -> bool:
    """Until the service answers; False if it ends, or takes too long."""
    until = time.monotonic() + PATIENCE
    while service.poll() is None and time.monotonic() < until:
        try:
            client.overview()
            return True
        except ServiceError:
            time.sleep(0.2)
    return False


def main(arguments: Sequence[str]) -> int:
    """Run the service; the exit status is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the service's data")
    parser.add_argument("--port", type=int, default=8280)
    given = parser.parse_args(arguments)
    if not is_free(given.port):
        print(f"something listens at port {given.port}; name another one: make serve PORT=...", file=sys.stderr)
        return 2
    address = f"http://127.0.0.1:{given.port}"
    command = [sys.executable, "-m", "zkevm", "serve", "--data", given.data, "--port", given.port, "--no-log-json"]
    service = subprocess.Popen([str(part) for part in command])
    # Ctrl-C reaches both; the service ends in its own time, and so does this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    with Client(address) as client:
        if wait(client, service):
            jobs = submit(client)
            print(f"\n    {len(jobs)} examples are in the queue. The page: {address}/\n", flush=True)
            if any(os.environ.get(name) for name in _SCREENS):
                webbrowser.open(address)
        else:
            service.terminate()
    return service.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
