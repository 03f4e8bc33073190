"""The life of a job: every state and every transition, in one table.

Nothing else decides what may follow what. The queue asks `after` in the transaction that stores the new state, so that
two processes cannot both make a transition that only one may.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class Event(StrEnum):
    """What happens to a job."""

    TAKEN = "taken"
    """A process has it in its hands, for as long as its lease lasts."""
    FINISHED = "finished"
    """Its proof is verified and stored."""
    REFUSED = "refused"
    """It cannot succeed however often it is tried: its input is malformed, invalid, or cannot be proved."""
    INTERRUPTED = "interrupted"
    """The process lost it, by its death, its stop or an error that may pass; it has tries left."""
    EXHAUSTED = "exhausted"
    """The same, and no try is left."""
    CANCELLED = "cancelled"
    """Somebody does not want it any more."""
    REORGANISED = "reorganised"
    """Its blocks are no longer those of the chain that is followed."""
    EXPIRED = "expired"
    """Its deadline passed."""
    RETRIED = "retried"
    """Somebody wants it after all."""


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.QUEUED: {
        Event.TAKEN: State.RUNNING,
        Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.FAILED,
        Event.REORGANISED: State.ABANDONED,
    },
    State.RUNNING: {
        Event.FINISHED: State.DONE,
        Event.REFUSED: State.FAILED,
        Event.INTERRUPTED: State.QUEUED,
        Event.EXHAUSTED: State.FAILED,
        Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.FAILED,
        Event.REORGANISED: State.ABANDONED,
    },
    State.DONE: {Event.REORGANISED: State.ABANDONED},
    State.FAILED: {Event.RETRIED: State.QUEUED, Event.REORGANISED: State.ABANDONED},
    State.CANCELLED: {Event.RETRIED: State.QUEUED, Event.REORGANISED: State.ABANDONED},
    State.ABANDONED: {},
}

#: States in which nothing goes on until somebody asks for it.
SETTLED: Final = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.ABANDONED})


class Stage(StrEnum):
    """What a running job is at, in this order; only those that get one proof of all segments aggregate."""

    FETCH = "fetch"
    EXECUTE = "execute"
    PLAN = "plan"
    PROVE = "prove"
    VERIFY = "verify"
    AGGREGATE = "aggregate"
    STORE = "store"


class ImpossibleTransition(Exception):  # noqa: N818 - it says what is impossible
    """What was asked for cannot happen to a job in its state."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"a job that is {state} cannot be {event}")
        self.state = state
        self.event = event


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        ImpossibleTransition.
    """
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise ImpossibleTransition(state, event)
    return following
