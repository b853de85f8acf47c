"""``dacycle doctor``: is everything there that a cycle needs, and if not, how to mend it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config, load_config
from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.lock import InUseError, exclusive
from dacycle.cycler.cycle.models import Models, threads
from dacycle.cycler.cycle.repair import damage
from dacycle.cycler.cycle.space import needed_bytes
from dacycle.errors import DacycleError
from dacycle.obs.source import open_source

__all__ = ["Finding", "doctor", "examine"]

CYCLES_AHEAD = 60
OLDEST_SENSIBLE = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is right, and what there is to say."""

    subject: str
    right: bool
    text: str


def doctor(path: Path | None, now: datetime) -> int:
    """Print every finding; 0 when all is right, else 1."""
    right = True
    for finding in examine(path, now):
        right = right and finding.right
        print(f"{'ok  ' if finding.right else 'FAIL'}  {finding.subject:<9}  {finding.text}", flush=True)
    if not right:
        print("dacycle: something is wrong; see FAIL above", file=sys.stderr)
    return 0 if right else 1


def examine(path: Path | None, now: datetime) -> Iterator[Finding]:
    """Every check in turn; those that need what failed are left out."""
    try:
        config = load_config(path)
    except DacycleError as error:
        yield Finding("config", False, str(error))
        return
    yield Finding("config", True, f"{path or 'defaults and environment'}; state in {config.paths.state.absolute()}")
    found: list[Bundle] = []

    def bundle() -> str:
        found.append(open_bundle(config.bundle.path))
        return _card(found[0])

    yield _try("bundle", bundle)
    if found:
        yield _try("networks", lambda: _networks(config, found[0]))
        if config.ensemble.executor == "dask" and config.ensemble.address is not None:
            yield _try("cluster", lambda: _cluster(config, found[0]))
    yield _try("source", lambda: _source(config, now))
    yield _try("state", lambda: _state(config))
    if found:
        yield _disk(config, found[0])
    yield _clock(config, now)


def _try(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except DacycleError as error:
        return Finding(subject, False, str(error))


def _card(bundle: Bundle) -> str:
    card = bundle.card
    (h, w), (ch, cw) = card.analysis_grid, card.emulator_grid
    scores = "; ".join(f"{name} {value}" for name, value in card.scores.items())
    lines = [
        f"{card.name} {card.version} ({card.licence}) in {bundle.path}",
        f"world: {card.world}; {card.description}",
        f"analysis {h}x{w}, emulator {ch}x{cw}, {len(card.channels)} channels: {' '.join(card.channels)}",
        f"prior {card.prior.architecture}, emulator {card.emulator.architecture}",
        *([f"scores in its own world: {scores}"] if scores else []),
    ]
    return "\n                 ".join(lines)


def _cluster(config: Config, bundle: Bundle) -> str:
    from dacycle.cycler.cycle.cluster import Cluster

    cluster = Cluster(config, bundle)
    try:
        return f"{config.ensemble.address}: {cluster.workers()} dask workers"
    finally:
        cluster.close()


def _networks(config: Config, bundle: Bundle) -> str:
    models = Models(config, bundle)
    analyst, emulator = models.analyst, models.emulator
    return (
        f"both load; method {analyst.settings.method}, {analyst.settings.calls} steps, emulator step "
        f"{emulator.step_hours} hours, {threads(config)} threads"
    )


def _source(config: Config, now: datetime) -> str:
    source = open_source(config.source.kind, config.source.location, config.paths.state / "mirror")
    problems = source.refresh()
    newest = source.newest()
    if newest is None:
        raise DacycleError(f"{config.source.location} has no soundings: set [source] location")
    told = f"{config.source.location}: newest sounding {newest:%Y-%m-%d %H} UTC, {(now - newest).days} days old"
    return told + (f"; {len(problems)} problems, the first: {problems[0]}" if problems else "")


def _state(config: Config) -> str:
    state = config.paths.state
    try:
        with exclusive(state):
            used = "free to use"
    except InUseError:
        used = "in use by a running dacycle"
    if not (state / LEDGER_NAME).is_file():
        return f"{state}: {used}, no ledger yet"
    if (found := damage(state / LEDGER_NAME)) is not None:
        raise DacycleError(f"ledger {state / LEDGER_NAME} is damaged: {found}; stop dacycle, then `dacycle repair`")
    with History.read(state) as history:
        newest = history.cycles(newest=1)
    return f"{state}: {used}, " + (f"newest cycle {newest[0].label}, {newest[0].state}" if newest else "no cycles yet")


def _disk(config: Config, bundle: Bundle) -> Finding:
    folder = next(p for p in (config.paths.state.absolute(), *config.paths.state.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    nlat, nlon = bundle.grid.shape
    values = config.ensemble.members * len(bundle.channels) * nlat * nlon
    needed = needed_bytes(config, bundle)
    lasting = CYCLES_AHEAD * 6 * values
    text = f"{free / 1e9:.1f} GB free at {folder}; a cycle needs about {needed / 1e6:.0f} MB"
    if free < needed + lasting:
        hint = "make room, or set [products] members = false or retention_days"
        return Finding("disk", False, f"{text}, {CYCLES_AHEAD} of them {lasting / 1e9:.1f} GB: {hint}")
    return Finding("disk", True, text)


def _clock(config: Config, now: datetime) -> Finding:
    if now < OLDEST_SENSIBLE:
        return Finding("clock", False, f"it is {now:%Y-%m-%d %H:%M} UTC here, which cannot be: set the clock")
    try:
        with History.read(config.paths.state) as history:
            newest = max((r.changed_at for r in history.cycles(newest=50)), default=now)
    except DacycleError:
        newest = now
    if newest - now > timedelta(minutes=10):
        return Finding("clock", False, f"it is {now:%Y-%m-%d %H:%M} UTC, but the ledger knows {newest}: set the clock")
    return Finding("clock", True, f"{now:%Y-%m-%d %H:%M} UTC")
