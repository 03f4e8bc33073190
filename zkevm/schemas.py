"""JSON schemas of what the command line reads and prints, made of the models: `zkevm schema`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from executor.batch import BatchFile
from zkevm.reports import (
    AcceptedReport,
    AggregateReport,
    BuildReport,
    CheckReport,
    ConformanceReport,
    ErrorReport,
    ExecuteReport,
    FetchReport,
    InspectBatchReport,
    InspectProofReport,
    NewReport,
    ProveReport,
    RefusedSecurityReport,
    RejectedReport,
    SecurityReport,
    Statement,
)

Subject = Literal["batch", "report", "statement"]
"""What there is a schema of: the batch file, what commands print with `--json`, the statement in it."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What a command prints is one of these.
Report = (
    ExecuteReport
    | CheckReport
    | FetchReport
    | NewReport
    | BuildReport
    | ProveReport
    | AggregateReport
    | AcceptedReport
    | RejectedReport
    | InspectBatchReport
    | InspectProofReport
    | SecurityReport
    | RefusedSecurityReport
    | ConformanceReport
    | ErrorReport
)

_SUBJECTS: dict[Subject, tuple[Any, str]] = {
    "batch": (BatchFile, "A batch file of zkevm"),
    "report": (Report, "What a command of zkevm prints with --json"),
    "statement": (Statement, "What a proof of zkevm says"),
}


class _Generate(GenerateJsonSchema):
    """Defaults that are bytes are written as files write them, and no field has its name as a title, too."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        return f"0x{dft.hex()}" if isinstance(dft, bytes) else super().encode_default(dft)


def schema(of: Subject) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a batch file, of what commands print with `--json`, or of a statement."""
    model, title = _SUBJECTS[of]
    made = TypeAdapter(model).json_schema(schema_generator=_Generate)
    return {"$schema": DIALECT, **made, "title": title}
