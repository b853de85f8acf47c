"""What a cycle can be, and what it can become: one table."""

from enum import StrEnum

__all__ = ["ACTIVE", "ENDS", "FINISHED", "PUBLISHED", "TRANSITIONS", "Stage", "State", "Stream", "allowed"]


class Stream(StrEnum):
    """The delayed stream owns the cycle; the early one runs ahead of it to the present and feeds nothing."""

    DELAYED = "delayed"
    EARLY = "early"


class Stage(StrEnum):
    """The stages of a cycle, in their order."""

    INGEST = "ingest"
    FORECAST = "forecast"
    ASSIMILATE = "assimilate"
    REINITIALISE = "reinitialise"
    PUBLISH = "publish"


class State(StrEnum):
    """Where a cycle stands."""

    PENDING = "pending"
    WAITING_OBS = "waiting_obs"
    INGESTING = "ingesting"
    FORECASTING = "forecasting"
    ASSIMILATING = "assimilating"
    REINITIALISING = "reinitialising"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    PUBLISHED_FREE_FORECAST = "published_free_forecast"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


STATE_OF = {
    Stage.INGEST: State.INGESTING,
    Stage.FORECAST: State.FORECASTING,
    Stage.ASSIMILATE: State.ASSIMILATING,
    Stage.REINITIALISE: State.REINITIALISING,
    Stage.PUBLISH: State.PUBLISHING,
}
"""The state of a cycle whose stage is running."""

ACTIVE = frozenset(STATE_OF.values())
PUBLISHED = frozenset({State.PUBLISHED, State.PUBLISHED_FREE_FORECAST})
FINISHED = PUBLISHED | {State.EXPIRED, State.SUPERSEDED}
"""States that nothing but a rerun leaves."""
ENDS = FINISHED | {State.FAILED}
"""States that are worth counting."""

_STOPPED = {State.PENDING, State.FAILED}  # an interrupted stage waits for the next start; one that broke says why
TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.INGESTING, State.WAITING_OBS, State.EXPIRED, State.SUPERSEDED}),
    State.WAITING_OBS: frozenset({State.INGESTING, State.EXPIRED, State.SUPERSEDED}),
    State.INGESTING: frozenset({State.FORECASTING, State.WAITING_OBS} | _STOPPED),
    State.FORECASTING: frozenset({State.ASSIMILATING, State.REINITIALISING} | _STOPPED),  # the latter: free forecast
    State.ASSIMILATING: frozenset({State.REINITIALISING} | _STOPPED),
    State.REINITIALISING: frozenset({State.PUBLISHING} | _STOPPED),
    State.PUBLISHING: PUBLISHED | _STOPPED,
    State.PUBLISHED: frozenset({State.SUPERSEDED}),
    State.PUBLISHED_FREE_FORECAST: frozenset({State.SUPERSEDED}),
    State.FAILED: frozenset({State.INGESTING, State.WAITING_OBS, State.EXPIRED, State.SUPERSEDED}),
    State.EXPIRED: frozenset({State.INGESTING, State.SUPERSEDED}),  # a command revives what the daemon gave up
    State.SUPERSEDED: frozenset(),
}


def allowed(old: State, new: State) -> bool:
    """Whether a cycle may go from one state to the other; staying is always allowed."""
    return new == old or new in TRANSITIONS[old]
