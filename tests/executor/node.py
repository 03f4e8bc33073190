"""A server that stands for a node: it answers about an executed batch as geth and reth do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from executor.execute import ExecutedBatch
from scripts.batches.nodes import geth_witness, rpc_block


@dataclass
class Served:
    """A node that is served, and what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    failures: list[tuple[int, bytes]] = field(default_factory=list)


@contextmanager
def serving(executed: ExecutedBatch) -> Iterator[Served]:
    """A node whose chain is that of the batch; what it tells of each block is what all of them need."""
    served = Served("")
    blocks = {index + 1: rpc_block(executed, index) for index in range(len(executed.blocks))}

    def block(place: str, _full: bool) -> Any:
        number = {"latest": len(blocks), "earliest": 0}.get(place)
        return blocks.get(int(place, 16) if number is None else number)

    served.answers = {
        "eth_chainId": lambda: hex(executed.chain_id),
        "eth_getBlockByNumber": block,
        "debug_executionWitness": lambda _number: geth_witness(executed),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.asked.append(request["method"])
            if served.failures:
                status, content = served.failures.pop(0)
            else:
                status, content = 200, json.dumps(self._answer(request)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
            answer = served.answers.get(request["method"])
            if answer is None:
                return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "the method does not exist"}}
            return {"jsonrpc": "2.0", "id": request["id"], "result": answer(*request["params"])}

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        # Whatever proxy there is, it is not asked for what runs here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
