"""Proofs of the execution of Ethereum blocks: made, looked into, verified.

    import zkevm

    batch = zkevm.read_batch("examples/erc20.json")
    execution = zkevm.execute(batch)
    execution.trace["steps"].to_pandas()                # everything that happened, as Arrow tables
    execution.costs().by("contract").to_pandas()        # what proving it takes, to the cell
    assert execution.check().satisfied                  # all constraints and buses, without proving
    proof = execution.prove("erc20.proof")
    zkevm.verify("erc20.proof", expected={"chain_id": 1337}).statement.post_state_root

Every error about what is given or cannot be done is a `ZkevmError`; files that cannot be written are `OSError`. What
the `zkevm` command does, it does by these names. They are loaded when they are first used; an installation of the
verifier alone has those about proofs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executor.batch import Batch
    from executor.errors import (
        BatchError,
        LimitExceeded,
        MissingState,
        TraceFileError,
        UnsupportedFeature,
        ZkevmError,
    )
    from executor.fetch import Fetched
    from executor.limits import Limits
    from prover.aggregate import NodeEvent
    from prover.attribution import ContractCost, TransactionCost
    from prover.costs import InstructionCost, TableCost
    from prover.errors import ClusterError, CostError, ProverError
    from prover.planner import Budget, SegmentPlan
    from prover.workers import Workers
    from verifier.errors import Rejected, UnusableInput, VerifierError
    from verifier.statement import BatchStatement
    from verifier.verify import CheckResult, VerificationReport
    from zkevm.errors import UsageError
    from zkevm.execution import (
        AggregatedProof,
        By,
        CheckReport,
        Costs,
        Execution,
        ProvedBatch,
        ProvedSegment,
        Summary,
        Violation,
        aggregate,
        execute,
        fetch,
        prove,
        read_batch,
    )
    from zkevm.projects.build import BuiltBatch, BuiltTransaction, build_project
    from zkevm.projects.errors import ProjectError
    from zkevm.projects.new import Language, new_project
    from zkevm.proof import Engine, Expected, Progress, Proof, SegmentSummary, read_proof, verify
    from zkevm.schemas import Subject, schema
    from zkevm.trace import Trace, read_trace

__all__ = [
    "AggregatedProof",
    "Batch",
    "BatchError",
    "BatchStatement",
    "Budget",
    "BuiltBatch",
    "BuiltTransaction",
    "By",
    "CheckReport",
    "CheckResult",
    "ClusterError",
    "ContractCost",
    "CostError",
    "Costs",
    "Engine",
    "Execution",
    "Expected",
    "Fetched",
    "InstructionCost",
    "Language",
    "LimitExceeded",
    "Limits",
    "MissingState",
    "NodeEvent",
    "Progress",
    "ProjectError",
    "Proof",
    "ProvedBatch",
    "ProvedSegment",
    "ProverError",
    "Rejected",
    "SegmentPlan",
    "SegmentSummary",
    "Subject",
    "Summary",
    "TableCost",
    "Trace",
    "TraceFileError",
    "TransactionCost",
    "UnsupportedFeature",
    "UnusableInput",
    "UsageError",
    "VerificationReport",
    "VerifierError",
    "Violation",
    "Workers",
    "ZkevmError",
    "aggregate",
    "build_project",
    "execute",
    "fetch",
    "new_project",
    "prove",
    "read_batch",
    "read_proof",
    "read_trace",
    "schema",
    "verify",
]

#: The modules that the names are in.
_HOMES = {
    "executor.batch": "Batch",
    "executor.errors": "BatchError LimitExceeded MissingState TraceFileError UnsupportedFeature ZkevmError",
    "executor.fetch": "Fetched",
    "executor.limits": "Limits",
    "prover.aggregate": "NodeEvent",
    "prover.attribution": "ContractCost TransactionCost",
    "prover.costs": "InstructionCost TableCost",
    "prover.errors": "ClusterError CostError ProverError",
    "prover.planner": "Budget SegmentPlan",
    "prover.workers": "Workers",
    "verifier.errors": "Rejected UnusableInput VerifierError",
    "verifier.statement": "BatchStatement",
    "verifier.verify": "CheckResult VerificationReport",
    "zkevm.errors": "UsageError",
    "zkevm.execution": (
        "AggregatedProof By CheckReport Costs Execution ProvedBatch ProvedSegment Summary Violation aggregate execute "
        "fetch prove read_batch"
    ),
    "zkevm.projects.build": "BuiltBatch BuiltTransaction build_project",
    "zkevm.projects.errors": "ProjectError",
    "zkevm.projects.new": "Language new_project",
    "zkevm.proof": "Engine Expected Progress Proof SegmentSummary read_proof verify",
    "zkevm.schemas": "Subject schema",
    "zkevm.trace": "Trace read_trace",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF[name]
    try:
        module = import_module(home)
    except ModuleNotFoundError as error:
        if error.name is None or not home.startswith(error.name):
            raise
        raise AttributeError(f"zkevm.{name} is not in zkevm-verifier, which only verifies: install zkevm") from error
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
