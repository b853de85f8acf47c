"""Cycles without soundings: how old the next analysis takes its background to be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dacycle.cycler.assimilation.ageing import YOUNG, Age
from dacycle.cycler.cycle.early import run_early
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.executor import Check, Chunk, Executor, Known
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.task import FloatArray
from tests.cycle.small_world import config, hours, soundings


@dataclass
class Listening:
    """Draws as the executor inside does, and keeps the ages that it was told."""

    inside: Executor
    ages: list[Age] = field(default_factory=list)

    def draw(self, known: Known, chunks: Sequence[Chunk], check: Check) -> Iterator[tuple[Chunk, FloatArray]]:
        self.ages.append(known.age)
        return self.inside.draw(known, chunks, check)

    def close(self) -> None:
        self.inside.close()


def test_background_ages_until_soundings_have_a_say_again(tmp_path: Path, tiny_bundle_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0), hours(36), hours(48)])
    chosen = config(tmp_path, source, tiny_bundle_path, ensemble={"members": 2})
    with open_engine(chosen, hours(0)) as engine:
        engine.models.executor = listening = Listening(engine.models.executor)
        records = [engine.run(hours(hour), hours(200)) for hour in (0, 12, 24, 36, 48)]
        assert [r.state == State.PUBLISHED for r in records] == [True, False, False, True, True]
        assert listening.ages == [YOUNG, Age(36, 36), Age(12, 12)], "a free forecast draws nothing"
        listening.ages.clear()
        run_early(engine, hours(84), hours(200))
        assert listening.ages == [Age(12, 12), Age(24, 12), Age(36, 12)], "the prior calibrates what it refines"
        engine.ledger.expire([hours(60)], hours(200), "skipped")
        soundings(source, [hours(0), hours(36), hours(48), hours(72)])
        engine.run(hours(72), hours(200))
        assert listening.ages[-1] == Age(24, 24), "over the gap"
