"""The files that stages hand to each other: whole or absent, hashed, known to the ledger.

``work/2005-08-26T00-delayed-1/`` below the state directory holds what one version of one cycle made. A file is
written beside its place, renamed into it, and then entered in the ledger; one that the ledger does not know, or knows
with another hash, is made again.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import Artefact, CycleRecord
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.products.atomic import describe, write_atomically
from dacycle.obs.batch import ObservationBatch

__all__ = ["Kept", "Workspace"]

Observer = Callable[[str, str], None]


class Kept:
    """Reads what one cycle made."""

    def __init__(self, state: Path, history: History, record: CycleRecord) -> None:
        self.state, self.history, self.record = state, history, record
        self.folder = state / "work" / f"{record.time:%Y-%m-%dT%H}-{record.stream}-{record.version}"

    def intact(self, stage: Stage) -> bool:
        """Whether all files that the stage made and still needs are what they were."""
        return all(map(self._is, self.history.artefacts(self.record.id, stage).values()))

    def has(self, name: str) -> bool:
        """Whether an artefact of that name is there and whole."""
        known = self.history.artefacts(self.record.id)
        return name in known and self._is(known[name])

    def sha256(self, name: str) -> str:
        """What the ledger says of an artefact's content; empty for one that it does not know."""
        known = self.history.artefacts(self.record.id)
        return known[name].sha256 if name in known else ""

    def _is(self, artefact: Artefact) -> bool:
        path = self.state / artefact.path
        try:
            return path.stat().st_size == artefact.bytes and describe(path).sha256 == artefact.sha256
        except OSError:
            return False

    def array(self, name: str) -> npt.NDArray[Any]:
        """The array kept under that name."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False))

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays kept under that name."""
        with np.load(self.folder / name, allow_pickle=False) as file:
            return dict(file)

    def batch(self, name: str) -> ObservationBatch:
        """The observations kept under that name."""
        values = self.arrays(name)
        time = datetime.fromtimestamp(int(values.pop("analysis_time")), tz=UTC)
        names = {f.name for f in fields(ObservationBatch)} - {"analysis_time"}
        return ObservationBatch(analysis_time=time, **{key: values[key] for key in names})

    def json(self, name: str) -> Any:
        """The value kept under that name."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


class Workspace(Kept):
    """Makes artefacts, too; ``observer`` is told ``renamed`` and ``recorded`` with the name."""

    def __init__(self, state: Path, ledger: Ledger, record: CycleRecord, observer: Observer) -> None:
        super().__init__(state, ledger, record)
        self.ledger, self.observer = ledger, observer

    def keep(self, stage: Stage, name: str, write: Callable[[Path], None]) -> None:
        """Make a file by ``write`` and enter it."""
        made = write_atomically(self.folder / name, write)
        self.observer("renamed", name)
        self.enter(stage, name, made.path, made.sha256, made.bytes)

    def enter(self, stage: Stage, name: str, path: Path, sha256: str, size: int) -> None:
        """Tell the ledger of a file that is in its place, here or elsewhere below the state directory."""
        relative = path.relative_to(self.state).as_posix()
        self.ledger.add_artefact(self.record.id, Artefact(stage, name, relative, sha256, size))
        self.observer("recorded", name)

    def keep_array(self, stage: Stage, name: str, values: npt.NDArray[Any]) -> None:
        """An array as ``.npy``."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, values, allow_pickle=False)

        self.keep(stage, name, write)

    def keep_arrays(self, stage: Stage, name: str, values: dict[str, npt.NDArray[Any]]) -> None:
        """Arrays as ``.npz``."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **values)  # type: ignore[arg-type]

        self.keep(stage, name, write)

    def keep_batch(self, stage: Stage, name: str, batch: ObservationBatch) -> None:
        """Observations as ``.npz``."""
        time = np.int64(batch.analysis_time.timestamp())
        self.keep_arrays(stage, name, {**batch.arrays(), "analysis_time": np.asarray(time)})

    def keep_json(self, stage: Stage, name: str, value: Any) -> None:
        """A value as JSON."""
        text = json.dumps(value, indent=1, sort_keys=True) + "\n"

        def write(path: Path) -> None:
            path.write_text(text, encoding="utf-8")

        self.keep(stage, name, write)

    def discard(self, *names: str) -> None:
        """Let files go that nothing needs any more; the ledger first, so that it never promises what is gone."""
        self.ledger.forget_artefacts(self.record.id, names)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder; the ledger has already forgotten what was in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
