"""Documents that make a batch together, as nodes write them: what becomes of damaged ones beside others."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from functools import cache

import rlp
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.inputs import read_batch
from scripts.batches.builder import Builder
from scripts.batches.nodes import answer, geth_witness, raw_block, reth_witness, rpc_block
from scripts.fuzzing.batches import LIMITS, disguised
from scripts.fuzzing.target import Target, run_command, scratch_file
from scripts.fuzzing.trees import Tree, damaged, from_json, json_leaves, rlp_leaves, spoiled, to_json, to_rlp


@cache
def _executed() -> ExecutedBatch:
    """A block of transactions of several types and a withdrawal."""
    building = Builder()
    entry = {"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "01" * 32]}
    executed: ExecutedBatch = building.block(
        building.transfer(0, data="0x1234", gas=30_000),
        building.transfer(1, type=1, accessList=[entry], gas=40_000),
        building.transfer(2, type=2, maxFeePerGas=2000, maxPriorityFeePerGas=1),
        withdrawals=[{"index": 5, "validatorIndex": 6, "address": "0x" + "77" * 20, "amount": 8}],
    ).execute()
    return executed


@cache
def _genesis() -> bytes:
    document = Builder().document["genesis"] | {"config": {"chainId": Builder.CHAIN_ID, "cancunTime": 0}}
    return json.dumps(document).encode()


@cache
def _documents() -> list[Tree]:
    executed = _executed()
    documents = [reth_witness(executed), answer(geth_witness(executed)), rpc_block(executed, 0), json.loads(_genesis())]
    return [from_json(document) for document in [*documents, [answer(rpc_block(executed, 0))]]]


def damaged_documents() -> SearchStrategy[bytes]:
    """Documents with changed members, and blocks with changed items."""
    documents = st.sampled_from(_documents()).flatmap(lambda tree: damaged(tree, json_leaves)).map(to_json)
    block: Tree = rlp.decode(raw_block(_executed(), 0))
    return documents | damaged(block, rlp_leaves).map(to_rlp)


def spoiled_documents() -> SearchStrategy[bytes]:
    """Documents and blocks with changed bytes, in other encodings, or packed."""
    texts = st.sampled_from(_documents()).map(to_json)
    block = raw_block(_executed(), 0)
    forms = st.sampled_from([block, b"0x" + block.hex().encode(), block + block])
    return texts.flatmap(spoiled) | texts.flatmap(disguised) | forms.flatmap(spoiled)


def check_documents(content: bytes) -> None:
    """A document makes a batch by itself or with another one, which is executed or stopped, or they are refused."""
    executed = _executed()
    with ExitStack() as stack:
        document = stack.enter_context(scratch_file(content))
        for other in (None, raw_block(executed, 0), _genesis(), json.dumps(reth_witness(executed)).encode()):
            beside = [] if other is None else [stack.enter_context(scratch_file(other))]
            with suppress(BatchError, LimitExceeded, UnsupportedFeature):
                execute(read_batch([document, *beside]), limits=LIMITS)


def check_command(content: bytes) -> None:
    """`zkevm execute` ends with a documented status."""
    with scratch_file(content) as document, scratch_file(raw_block(_executed(), 0)) as block:
        run_command("execute", str(document), str(block), "--seconds", "0.5", "--memory", "100")


TARGETS = (
    Target("document: damaged members", damaged_documents, check_documents, seconds=2.0, examples=20),
    Target("document: damaged bytes", spoiled_documents, check_documents, seconds=2.0, examples=20),
    Target("document: damaged members, by command", damaged_documents, check_command, seconds=2.0, examples=6),
)
