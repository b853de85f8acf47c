"""``dacycle doctor``: is everything there that a cycle needs, and if not, how to mend it."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten
from typing import Literal

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.lock import foreign_owner, holder, require_own
from dacycle.cycler.cycle.models import Models, threads
from dacycle.cycler.cycle.owed import complete, stale_before
from dacycle.cycler.cycle.repair import damage
from dacycle.cycler.cycle.space import needed_bytes
from dacycle.errors import DacycleError
from dacycle.obs.source import is_address, open_source

__all__ = ["Finding", "doctor", "examine"]

CYCLES_AHEAD = 60
SOUNDED = {0, 12}
"""Hours UTC of most soundings, as the WMO asks for."""
OLDEST_SENSIBLE = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what there is to say; ``skip``: it could not be looked at."""

    subject: str
    mark: Literal["ok", "warn", "skip", "FAIL"]
    text: str

    @property
    def right(self) -> bool:
        """Whether nothing needs to be mended."""
        return self.mark != "FAIL"


def doctor(path: Path | None, now: datetime) -> int:
    """Print every finding; 0 when all is right, else 1."""
    right = True
    for finding in examine(path, now):
        right = right and finding.right
        print(f"{finding.mark:<4}  {finding.subject:<9}  {finding.text}", flush=True)
    if not right:
        print("dacycle: something is wrong; see FAIL above", file=sys.stderr)
    return 0 if right else 1


def examine(path: Path | None, now: datetime) -> Iterator[Finding]:
    """Every check in turn; none but the first without a configuration."""
    try:
        config = load_config(path)
    except DacycleError as error:
        yield Finding("config", "FAIL", str(error))
        return
    yield Finding("config", "ok", f"{path or 'defaults and environment'}; state in {config.paths.state.absolute()}")
    found: list[Bundle] = []

    def bundle() -> str:
        found.append(open_bundle(config.bundle.path))
        return _card(found[0])

    yield _try("bundle", bundle)
    if found:
        yield _try("networks", lambda: _networks(config, found[0]))
        if config.ensemble.executor == "dask" and config.ensemble.address is not None:
            yield _try("cluster", lambda: _cluster(config, found[0]))
    else:
        yield Finding("networks", "skip", "no bundle")
    yield _times(config, now)
    yield _source(config, now)
    yield _try("state", lambda: _state(config))
    yield _disk(config, found[0] if found else None)
    yield _clock(config, now)


def _try(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", check())
    except DacycleError as error:
        return Finding(subject, "FAIL", str(error))


def _card(bundle: Bundle) -> str:
    card = bundle.card
    (h, w), (ch, cw) = card.analysis_grid, card.emulator_grid
    sentence = re.split(r"(?<=[.!?])\s", card.description.strip(), maxsplit=1)[0]
    lines = [
        f"{card.name} {card.version} ({card.licence}), {card.world} world: {shorten(sentence, 120, placeholder=' …')}",
        f"analysis {h}x{w}, emulator {ch}x{cw}, {len(card.channels)} channels: {' '.join(card.channels)}",
        f"prior {card.prior.architecture}, emulator {card.emulator.architecture}",
        f"its data and scores: {bundle.path / 'bundle.toml'}",
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


def _times(config: Config, now: datetime) -> Finding:
    hours = sorted((config.floor(now) + k * config.interval).hour for k in range(24 // config.cycle.interval_hours))
    told = f"analyses of {', '.join(f'{hour:02d}' for hour in hours)} UTC"
    if SOUNDED.isdisjoint(hours):
        return Finding(
            "times", "warn", f"{told}, but most radiosondes rise for 00 and 12 UTC: set [cycle] first to such a time"
        )
    return Finding("times", "ok", told)


def _source(config: Config, now: datetime) -> Finding:
    location, owner = config.source.location, foreign_owner(config.paths.state)
    if owner is not None and is_address(location):
        return Finding("source", "skip", f"{location} is mirrored into the state directory, which belongs to {owner}")
    try:
        source = open_source(config.source.kind, location, config.paths.state / "mirror")
        problems = source.refresh()
        newest = source.newest()
    except DacycleError as error:
        return Finding("source", "FAIL", str(error))
    if newest is None:
        return Finding("source", "FAIL", f"{location} has no soundings: set [source] location")
    told = f"{location}: newest sounding {newest:%Y-%m-%d %H} UTC, {(now - newest).days} days old"
    if problems:
        told += f"; {len(problems)} problems, the first: {problems[0]}"
    if newest >= stale_before(config, now) or _over(config):
        return Finding("source", "ok", told)
    limit = f"{config.cycle.catch_up_limit_days:g} days"
    past = f"a past period: `dacycle run` gives up what has been due for more than {limit}; run it with "
    past += "`dacycle backfill`, and set [cycle] first and last to it"
    return Finding("source", "warn", f"{told}; {past}")


def _over(config: Config) -> bool:
    """Whether the configured period is done already, so that nothing of it can expire."""
    try:
        with History.read(config.paths.state) as history:
            return complete(history, config)
    except DacycleError:
        return False


def _state(config: Config) -> str:
    state = config.paths.state
    used = "free to use" if (process := holder(state)) is None else f"in use by a running dacycle (process {process})"
    if process is None:
        require_own(state)
        place = _there(state)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            what = "read-only or not ours to write" if place.is_dir() else "a file"
            raise DacycleError(f"state directory {state} cannot be used: {place} is {what}; set [paths] state")
    if not (state / LEDGER_NAME).is_file():
        return f"{state}: {used}, no ledger yet"
    if (found := damage(state / LEDGER_NAME)) is not None:
        raise DacycleError(f"ledger {state / LEDGER_NAME} is damaged: {found}; stop dacycle, then `dacycle repair`")
    with History.read(state) as history:
        newest = history.cycles(newest=1)
    return f"{state}: {used}, " + (f"newest cycle {newest[0].label}, {newest[0].state}" if newest else "no cycles yet")


def _there(state: Path) -> Path:
    """The state directory, or what there is of the way to it."""
    return next(place for place in (state.absolute(), *state.absolute().parents) if place.exists())


def _disk(config: Config, bundle: Bundle | None) -> Finding:
    place = _there(config.paths.state)
    folder = place if place.is_dir() else place.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if bundle is None:
        return Finding("disk", "skip", f"{text}; no bundle says what a cycle needs")
    nlat, nlon = bundle.grid.shape
    values = config.ensemble.members * len(bundle.channels) * nlat * nlon
    needed = needed_bytes(config, bundle)
    lasting = CYCLES_AHEAD * 6 * values
    text += f"; a cycle needs about {needed / 1e6:.0f} MB"
    if free < needed + lasting:
        hint = "make room, or set [products] members = false or retention_days"
        return Finding("disk", "FAIL", f"{text}, {CYCLES_AHEAD} of them {lasting / 1e9:.1f} GB: {hint}")
    return Finding("disk", "ok", text)


def _clock(config: Config, now: datetime) -> Finding:
    if now < OLDEST_SENSIBLE:
        return Finding("clock", "FAIL", f"it is {now:%Y-%m-%d %H:%M} UTC here, which cannot be: set the clock")
    try:
        with History.read(config.paths.state) as history:
            newest = max((r.changed_at for r in history.cycles(newest=50)), default=now)
    except DacycleError:
        newest = now
    if newest - now > timedelta(minutes=10):
        return Finding("clock", "FAIL", f"it is {now:%Y-%m-%d %H:%M} UTC, but the ledger knows {newest}: set the clock")
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")
