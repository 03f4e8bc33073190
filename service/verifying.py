"""Judging anybody's proof, in a confined process: `python -m service.verifying FILE ENGINE`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from service.confined import Bounds, main
from service.models import Check, Verification


def judge(file: Path, engine: str) -> Verification:
    """The verdict about a proof file; what is not one is refused, too."""
    from service.refusals import problem_of
    from verifier.errors import VerifierError
    from verifier.verify import verify_file

    start = time.perf_counter()
    try:
        report = verify_file(file, engine)
    except VerifierError as error:
        return Verification(accepted=False, seconds=time.perf_counter() - start, problem=problem_of(error))
    return Verification(
        accepted=True,
        statement=report.statement.to_dict(),
        statement_digest="0x" + report.statement.digest.hex(),
        security_bits=report.security_bits,
        checks=[Check(name=c.name, establishes=c.establishes, seconds=c.seconds) for c in report.checks],
        seconds=time.perf_counter() - start,
    )


def _work(bounds: Bounds) -> str:
    return judge(Path(sys.argv[1]), sys.argv[2]).model_dump_json()


if __name__ == "__main__":
    main(_work)
