"""Where the cells and interactions of a job go, for the page and the store."""

from __future__ import annotations

from eth_utils.crypto import keccak

from executor.execute import ExecutedBatch
from executor.trace import ExecutionTrace
from prover import costs as prover_costs
from service.models import Costs, TableCost, TransactionCost

#: Most transactions of a list, those with the most steps.
MAX_TRANSACTIONS = 1000


def costs_document(costs: prover_costs.Costs, executed: ExecutedBatch, trace: ExecutionTrace) -> Costs:
    """The costs of all segments together, and what each transaction executes.

    Args:
        costs: of all segments (`prover.costs.total`).
        executed, trace: the batch.
    """
    return Costs(
        tables=[
            TableCost(
                name=table.name,
                rows=table.rows,
                cells=table.cells,
                interactions=table.messages,
                is_instruction=table.is_instruction,
            )
            for table in costs.tables
        ],
        instructions=[
            TableCost(name=own.name, rows=own.steps, cells=own.cells, interactions=own.messages, is_instruction=True)
            for own in costs.instructions
        ],
        transactions=_transactions(executed, trace),
    )


def _transactions(executed: ExecutedBatch, trace: ExecutionTrace) -> list[TransactionCost]:
    table = trace.transactions
    steps = (table.end_step.astype("int64") - table.first_step.astype("int64")).tolist()
    gas = table.gas_used.tolist()
    places = [
        (block, number, raw)
        for block, (_, transactions) in enumerate(executed.blocks)
        for number, raw in enumerate(transactions)
    ]
    order = sorted(range(len(places)), key=lambda row: (-steps[row], row))[:MAX_TRANSACTIONS]
    found = []
    for row in order:
        block, number, raw = places[row]
        found.append(
            TransactionCost(
                block=block,
                transaction=number,
                hash="0x" + keccak(raw).hex(),
                steps=steps[row],
                gas_used=int(gas[row]),
            )
        )
    return found
