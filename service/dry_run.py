"""An estimate of anybody's batch in a confined process: `python -m service.dry_run REQUEST`, a JSON file."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.confined import Bounds, main
from service.models import Code, Estimate, Options, Problem, Source
from service.settings import Settings


class Request(BaseModel):
    """What is to be estimated.

    Attributes:
        file: of the batch; without it, blocks of a node.
        rate: cells that a worker proves in a second, None if that was not measured.
        settings: those on which it depends.
    """

    file: Path | None = None
    source: Source | None = None
    options: Options
    rate: float | None = None
    settings: dict[str, Any] = {}


class Answer(BaseModel):
    """An estimate, or why there is none."""

    estimate: Estimate | None = None
    problem: Problem | None = None


def answer(request: Request, folder: Path) -> Answer:
    """The estimate, or the problem with the batch; `folder` takes what is fetched."""
    from service.estimating import estimate
    from service.refusals import problem_of

    try:
        file = request.file
        if file is None:
            assert request.source is not None, "a file or blocks of a node"
            file = folder / "fetched"
            file.write_text(json.dumps(_fetched(request.source)))
        settings = Settings.model_validate(request.settings)
        return Answer(estimate=estimate(file, settings, request.options, request.rate))
    except Exception as error:
        problem = problem_of(error)
        if problem.code is Code.INTERNAL:
            traceback.print_exc()
        return Answer(problem=problem)


def _fetched(source: Source) -> dict[str, Any]:
    from executor.fetch import Node, fetch, parse_range

    return fetch(Node(source.rpc), *parse_range(f"{source.first}..{source.last}")).document


def _work(bounds: Bounds) -> str:
    request = Path(sys.argv[1])
    return answer(Request.model_validate_json(request.read_bytes()), request.parent).model_dump_json()


if __name__ == "__main__":
    main(_work)
