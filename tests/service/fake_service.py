"""A service that proves nothing: it says that it does, in little time, so that the page has something to show.

What a job does is written in the name of its file: `refused...` fails while it is executed, `rejected...` is refused
by the verifier, `long...` stays where four of its eight segments are proved until it is let go on, all else is done
after a while. Its answers are those of `service.models`. Run as a script it listens at a port:
`python -m tests.service.fake_service 8000`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from service.models import (
    Check,
    Code,
    Costs,
    Estimate,
    Following,
    JobDetail,
    JobEvent,
    Options,
    Overview,
    Page,
    Place,
    Problem,
    Segment,
    SegmentState,
    TableCost,
    TransactionCost,
    Verification,
    Worker,
)
from service.page import Page as Files
from service.states import SETTLED, Event, ImpossibleTransition, Stage, State, after
from verifier.errors import Rejected, UnusableInput
from verifier.verify import CHECKS, verify

BEGINNING = datetime.now(UTC)
STAGES = (Stage.EXECUTE, Stage.PLAN, Stage.PROVE, Stage.VERIFY, Stage.STORE)
WORKERS = 2


class Refused(Exception):  # noqa: N818 - what happened
    """An answer that is a problem."""

    def __init__(self, status: int, code: Code, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.problem = Problem(title=code.value.replace("_", " "), status=status, code=code, detail=detail, hint=hint)


class Fake:
    """Jobs, their events and what moves them.

    Args:
        second: how many seconds one of the script's takes.
        key: the API key that is wanted; none if empty.
        proof: what every job's proof is.
    """

    def __init__(self, second: float = 0.1, key: str = "", proof: bytes = b"no proof") -> None:
        self.second, self.key, self.proof = second, key, proof
        self.jobs: dict[str, JobDetail] = {}
        self.batches: dict[str, bytes] = {}
        self.keys: dict[str, str] = {}
        self.events: list[JobEvent] = []
        self.streams: list[str | None] = []  # the `Last-Event-ID` of each
        self.cut = 0  # so many of them are over
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.happened = asyncio.Condition()
        self.going_on = asyncio.Event()
        self.proving = asyncio.Semaphore(1)

    async def say(self, job: JobDetail, kind: Any, data: dict[str, Any]) -> None:
        self.events.append(
            JobEvent(number=len(self.events) + 1, job=job.id, time=datetime.now(UTC), kind=kind, data=data)
        )
        async with self.happened:
            self.happened.notify_all()

    async def news(self, number: int, stream: int) -> None:
        """Wait for an event after one, or the end of a stream."""
        async with self.happened:
            await self.happened.wait_for(lambda: len(self.events) > number or self.cut >= stream)

    async def go_on(self) -> None:
        """Let the jobs go on that stay where they are."""
        self.going_on.set()

    async def break_streams(self) -> None:
        """End all that are open."""
        async with self.happened:
            self.cut = len(self.streams)
            self.happened.notify_all()

    async def change(self, job: JobDetail, kind: str, **fields: Any) -> None:
        """Change fields of a job and say so."""
        for name, value in fields.items():
            setattr(job, name, value)
        data = job.model_dump(mode="json")
        await self.say(job, kind, {name: data[name] for name in fields})

    async def turn(self, job: JobDetail, event: Event, **fields: Any) -> None:
        state = after(job.state, event)
        if state in SETTLED:
            fields |= {"finished": datetime.now(UTC), "stage": None, "remaining": None}
        await self.change(job, "state", state=state, **fields)

    async def submit(self, name: str, batch: bytes, **fields: Any) -> JobDetail:
        job = JobDetail(
            id=uuid4().hex,
            name=name,
            state=State.QUEUED,
            created=datetime.now(UTC),
            tries=0,
            max_tries=3,
            options=Options(),
            batch_bytes=len(batch) or None,
            **{"priority": 0} | fields,
        )
        self.jobs[job.id] = job
        self.batches[job.id] = batch
        await self.say(job, "state", {"state": job.state.value})
        self.tasks[job.id] = asyncio.create_task(self.run(job))
        return job

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self.second)

    async def run(self, job: JobDetail) -> None:
        """What a job lives through."""
        async with self.proving:
            await self.rest(1)
            job.segments, job.checks, job.stage_seconds = [], [], {}
            await self.turn(job, Event.TAKEN, tries=job.tries + 1, started=datetime.now(UTC), problem=None)
            begun = datetime.now(UTC)
            for number, stage in enumerate(STAGES):
                entered = datetime.now(UTC)
                await self.change(job, "stage", stage=stage, stage_done=0, stage_total=0)
                await getattr(self, stage.value)(job)
                if job.state is not State.RUNNING:
                    return
                job.stage_seconds[stage] = (datetime.now(UTC) - entered).total_seconds()
                progress = (0.1, 0.15, 0.85, 0.97, 1.0)[number]
                await self.change(job, "progress", progress=progress, stage_seconds=job.stage_seconds)
            digest = "0x" + random.Random(job.name).randbytes(32).hex()
            await self.turn(
                job,
                Event.FINISHED,
                progress=1.0,
                proof_bytes=len(self.proof),
                statement=statement(job),
                statement_digest=digest,
                started=begun,
            )

    async def execute(self, job: JobDetail) -> None:
        blocks = 5
        for block in range(blocks):
            await self.change(job, "progress", stage_done=block, stage_total=blocks, progress=0.02 * block)
            await self.rest(1)
        if job.name.startswith("refused"):
            problem = Problem(
                title="unsupported",
                status=422,
                code=Code.UNSUPPORTED,
                detail="a memory of 17,301,504 bytes, more than the 16,777,216 that the circuits hold",
                hint="Leave the transaction out, or split what it does.",
                place=Place(block=3, transaction=12, pc=500),
            )
            await self.turn(job, Event.REFUSED, problem=problem)
            return
        await self.change(job, "progress", blocks=5, transactions=100, gas_used=3_412_880, steps=29_169)

    async def plan(self, job: JobDetail) -> None:
        await self.rest(1)
        chance = random.Random(job.id)
        start = 0
        job.segments = []
        for index in range(8 if job.name.startswith("long") else 4):
            cells = chance.randrange(900_000, 1_600_000)
            job.segments.append(
                Segment(
                    index=index,
                    state=SegmentState.WAITING,
                    first_operation=start,
                    end_operation=start + 25,
                    cells=cells,
                    interactions=cells // 9,
                    memory=cells * 900,
                )
            )
            start += 25
        for segment in job.segments:
            await self.say(job, "segment", segment.model_dump(mode="json"))
        cells = sum(s.cells for s in job.segments)
        messages = sum(s.interactions for s in job.segments)
        await self.change(job, "progress", segments_total=len(job.segments), cells=cells, interactions=messages)

    async def prove(self, job: JobDetail) -> None:
        waiting = list(job.segments)
        done = 0

        async def work(worker: str) -> None:
            nonlocal done
            while waiting:
                segment = waiting.pop(0)
                segment.state, segment.worker, segment.started = SegmentState.PROVING, worker, datetime.now(UTC)
                await self.say(job, "segment", segment.model_dump(mode="json"))
                await self.rest(5 * segment.cells / 1e6)
                if job.name.startswith("long") and done >= 4:
                    await self.going_on.wait()
                segment.state, segment.proof_bytes = SegmentState.PROVED, 554_000 + segment.cells % 1000
                segment.seconds = (datetime.now(UTC) - segment.started).total_seconds()
                done += 1
                await self.say(job, "segment", segment.model_dump(mode="json"))
                left = self.second * 5 * (len(job.segments) - done) / WORKERS
                progress = 0.15 + 0.7 * done / len(job.segments)
                fields = {"stage_done": done, "stage_total": len(job.segments), "segments_done": done}
                await self.change(job, "progress", **fields, remaining=left, progress=progress)

        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(work(f"worker {number}"))

    async def verify(self, job: JobDetail) -> None:
        for number, check in enumerate(CHECKS):
            await self.rest(0.5)
            if job.name.startswith("rejected") and check.name == "state roots":
                detail = "block 3: state root is not the one that its writes give"
                problem = Problem(title="refused", status=422, code=Code.REJECTED, detail=detail, check=check.name)
                await self.turn(job, Event.REFUSED, problem=problem)
                return
            passed = Check(name=check.name, establishes=check.establishes, seconds=0.004 * (number % 7) + 0.001)
            job.checks.append(passed)
            await self.say(job, "check", passed.model_dump(mode="json"))
            done = {"stage_done": number + 1, "stage_total": len(CHECKS)}
            await self.change(job, "progress", **done, progress=0.85 + 0.12 * (number + 1) / len(CHECKS))

    async def store(self, job: JobDetail) -> None:
        await self.rest(0.5)

    async def act(self, job: JobDetail, event: Event) -> None:
        try:
            await self.turn(job, event, **({"finished": None, "progress": 0.0} if event is Event.RETRIED else {}))
        except ImpossibleTransition as error:
            raise Refused(409, Code.CONFLICT, str(error)) from error
        self.tasks[job.id].cancel()
        if event is Event.RETRIED:
            self.tasks[job.id] = asyncio.create_task(self.run(job))

    def overview(self) -> Overview:
        queue = {state: sum(job.state is state for job in self.jobs.values()) for state in State}
        running = [job.id for job in self.jobs.values() if job.state is State.RUNNING]
        now = datetime.now(UTC)
        chance = random.Random(7)
        history = []
        queued = 2
        for minute in range(60):
            queued = max(0, queued + chance.choice((-1, 0, 0, 1, 2, -1)))
            history.append((now - timedelta(minutes=60 - minute), queued, min(2, 1 + queued)))
        history.append((now, queue[State.QUEUED], queue[State.RUNNING]))
        return Overview(
            version="0.1.0",
            queue=queue,
            workers=[
                Worker(
                    id="fake-1",
                    host="prover-1",
                    started=BEGINNING,
                    seen=now,
                    jobs=running,
                    memory=24 << 30,
                    threads=2,
                )
            ],
            following=Following(rpc="http://localhost:8545", head=1200, next_block=1185, confirmations=12),
            proofs_per_hour=37.2,
            cells_per_second=1_900_000,
            queue_history=history,
        )


def statement(job: JobDetail) -> dict[str, Any]:
    """A statement about nothing."""
    chance = random.Random(job.name)
    hashes = ("pre_state_root", "post_state_root", "first_block_hash", "last_block_hash")
    numbers = {"chain_id": 1337, "fork": "prague", "first_block_number": 1, "last_block_number": 5}
    commitments = {f"{what}_commitment": "0x" + chance.randbytes(32).hex() for what in ("transactions", "receipts")}
    return (
        numbers | {name: "0x" + chance.randbytes(32).hex() for name in hashes} | commitments | {"gas_used": 3_412_880}
    )


def costs() -> Costs:
    """Something to look at."""
    chance = random.Random(3)
    tables = (
        "stack push memory_word arithmetic jump keccak access_tree storage comparison bitwise shift copy transaction"
    )
    names = (
        "PUSH1 DUP1 SWAP1 ADD MSTORE JUMPI JUMPDEST SLOAD SSTORE KECCAK256 ISZERO LT AND SHR CALLDATALOAD LOG3 RETURN"
    )

    def some(listed: str) -> list[TableCost]:
        found = []
        for number, name in enumerate(listed.split()):
            cells = 1.2e6 * 0.78**number * chance.uniform(0.8, 1.2)
            rows = int(cells / chance.uniform(20, 90))
            share = cells * chance.uniform(0.02, 0.3)
            steps = number % 3 != 2
            found.append(TableCost(name=name, rows=rows, cells=cells, interactions=share, is_instruction=steps))
        return found

    transactions = [
        TransactionCost(
            block=n // 20,
            transaction=n % 20,
            hash="0x" + chance.randbytes(32).hex(),
            steps=chance.randrange(90, 900),
            gas_used=chance.randrange(21_000, 90_000),
        )
        for n in range(100)
    ]
    return Costs(tables=some(tables), instructions=some(names), transactions=transactions)


def judged(proof: bytes) -> Verification:
    """The verifier's own verdict."""
    passed: list[Check] = []
    try:
        report = verify(proof)
    except Rejected as error:
        names = [check.name for check in CHECKS]
        passed = [
            Check(name=c.name, establishes=c.establishes, seconds=0.001) for c in CHECKS[: names.index(error.check)]
        ]
        problem = Problem(title="refused", status=422, code=Code.REJECTED, detail=str(error.reason), check=error.check)
        return Verification(accepted=False, checks=passed, seconds=0.1, problem=problem)
    except UnusableInput as error:
        problem = Problem(title="unusable", status=422, code=Code.MALFORMED, detail=str(error))
        return Verification(accepted=False, seconds=0.0, problem=problem)
    passed = [Check(name=c.name, establishes=c.establishes, seconds=c.seconds) for c in report.checks]
    return Verification(
        accepted=True,
        statement=report.statement.to_dict(),
        statement_digest="0x" + report.statement.digest.hex(),
        security_bits=report.security_bits,
        checks=passed,
        seconds=report.seconds,
    )


def create_app(fake: Fake) -> FastAPI:
    """The application, with the page."""
    app = FastAPI()

    @app.exception_handler(Refused)
    async def refuse(_: Request, error: Refused) -> JSONResponse:
        document = error.problem.model_dump(mode="json")
        return JSONResponse(document, error.problem.status, media_type="application/problem+json")

    @app.middleware("http")
    async def wants_key(request: Request, follow: Any) -> Response:
        given = request.headers.get("Authorization", "")
        if fake.key and request.url.path.startswith("/v1/") and given != f"Bearer {fake.key}":
            return await refuse(request, Refused(401, Code.UNAUTHORIZED, "no API key, or one that is not known"))
        answer: Response = await follow(request)
        return answer

    def found(id: str) -> JobDetail:
        if id not in fake.jobs:
            raise Refused(404, Code.NOT_FOUND, f"there is no job {id}")
        return fake.jobs[id]

    @app.post("/v1/jobs")
    async def submit(request: Request, response: Response, name: str = "", priority: int = 0) -> JobDetail:
        body = await request.body()
        response.status_code = 201
        key = request.headers.get("Idempotency-Key", uuid4().hex)
        if key in fake.keys:
            response.status_code = 200
            return fake.jobs[fake.keys[key]]
        if request.headers["Content-Type"] == "application/json":
            document = json.loads(body)
            fields = {"source": document.get("source"), "priority": document.get("priority", 0)}
            job = await fake.submit(document.get("name", ""), b"", **fields)
        else:
            job = await fake.submit(name, body, priority=priority)
        fake.keys[key] = job.id
        return job

    @app.get("/v1/jobs")
    async def jobs(
        state: State | None = None, q: str = "", sort: str = "-created", limit: int = 20, cursor: int = 0
    ) -> Page[JobDetail]:
        found = [j for j in fake.jobs.values() if (not state or j.state is state) and q in j.name + j.id]
        found.sort(key=lambda job: getattr(job, sort.lstrip("-")), reverse=sort.startswith("-"))
        following = str(cursor + limit) if cursor + limit < len(found) else None
        return Page[JobDetail](items=found[cursor : cursor + limit], next=following, total=len(found))

    @app.get("/v1/events")
    async def events(request: Request) -> StreamingResponse:
        given = request.headers.get("Last-Event-ID")
        fake.streams.append(given)
        stream = len(fake.streams)

        async def lines(number: int) -> AsyncIterator[str]:
            yield ": live\n\n"
            while fake.cut < stream:
                for event in fake.events[number:]:
                    yield f"id: {event.number}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
                    number = event.number
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(fake.news(number, stream), 15)
                yield ": still here\n\n"

        first = len(fake.events) if given is None else int(given)
        return StreamingResponse(lines(first), media_type="text/event-stream")

    @app.get("/v1/jobs/{id}")
    async def detail(id: str) -> JobDetail:
        return found(id)

    @app.post("/v1/jobs/{id}/cancel")
    async def cancel(id: str) -> JobDetail:
        await fake.act(found(id), Event.CANCELLED)
        return found(id)

    @app.post("/v1/jobs/{id}/retry")
    async def retry(id: str) -> JobDetail:
        await fake.act(found(id), Event.RETRIED)
        return found(id)

    @app.get("/v1/jobs/{id}/costs")
    async def costs_of(id: str) -> Costs:
        found(id)
        return costs()

    @app.get("/v1/jobs/{id}/proof")
    async def proof(id: str) -> Response:
        if found(id).state is not State.DONE:
            raise Refused(409, Code.CONFLICT, "the job is not done")
        return Response(fake.proof, media_type="application/octet-stream")

    @app.get("/v1/jobs/{id}/{what}")
    async def document(id: str, what: str) -> Response:
        if what == "batch":
            return Response(fake.batches[found(id).id])
        return JSONResponse(found(id).statement)

    @app.post("/v1/verify")
    async def verdict(request: Request) -> Verification:
        return await asyncio.to_thread(judged, await request.body())

    @app.post("/v1/estimate")
    async def estimate(request: Request) -> Estimate:
        await request.body()
        figures = {"blocks": 5, "transactions": 100, "steps": 29_169, "gas_used": 3_412_880}
        planned = {"segments": 4, "cells": 5_290_000, "interactions": 580_000, "memory": 4_100_000_000, "seconds": 11.0}
        return Estimate(**figures, fork="prague", **planned, statement={}, costs=costs())

    @app.get("/v1/overview")
    async def overview() -> Overview:
        return fake.overview()

    app.mount("/", Files())
    return app


def main() -> None:
    """Serve at the port that is given."""
    import uvicorn

    fake = Fake(second=1.0)
    app = create_app(fake)

    @app.get("/begin")
    async def begin() -> str:
        for name in ("erc20.json", "refused.json", "rejected.json", "uniswap.json", "long-mainnet.json", "nft.json"):
            await fake.submit(name, b"{}")
        return "begun"

    app.router.routes.insert(0, app.router.routes.pop())
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
