"""The table of states and transitions."""

import pytest

from service.states import SETTLED, TRANSITIONS, Event, ImpossibleTransition, State, after


def test_every_state_has_its_row_and_is_reached() -> None:
    assert TRANSITIONS.keys() == set(State)
    reached = {State.QUEUED}
    while more := {following for state in reached for following in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert reached == set(State)


def test_every_event_happens_to_some_state() -> None:
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_only_a_job_that_is_taken_can_be_done() -> None:
    sources = {state for state, row in TRANSITIONS.items() if State.DONE in row.values()}
    assert sources == {State.RUNNING}
    assert {state for state, row in TRANSITIONS.items() if State.RUNNING in row.values()} == {State.QUEUED}


def test_settled_jobs_wait_for_somebody() -> None:
    """From a settled state a job gets on only if somebody retries it, or its blocks are gone."""
    for state in SETTLED:
        assert set(TRANSITIONS[state]) <= {Event.RETRIED, Event.REORGANISED}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_is_not_in_the_table_is_impossible(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) == TRANSITIONS[state][event]
    else:
        with pytest.raises(ImpossibleTransition, match=f"{state} cannot be {event}"):
            after(state, event)
