"""The one configuration: its sections and keys, typed, read once (``config_file.py``), passed down.

Every key has a default.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dacycle.cycler.assimilation.methods import METHODS, SOLVERS, denoiser_calls, known_method, known_solver
from dacycle.cycler.products.issuer import NOBODY

__all__ = ["A_TIME", "Config", "ModelObservation", "model_of", "tables"]

A_TIME = "2005-08-26T00:00:00Z"
DIVISORS_OF_A_DAY = (1, 2, 3, 4, 6, 8, 12, 24)


def _utc(value: object) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"expected a time with its zone, as {A_TIME}")
    return value.astimezone(UTC)


def _decreasing(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(b >= a for a, b in pairwise(levels)) or (levels and levels[-1] <= 0):
        raise ValueError("expected noise levels above 0 in decreasing order")
    return levels


def _divides_a_day(hours: int) -> int:
    if hours not in DIVISORS_OF_A_DAY:
        raise ValueError(f"expected hours that divide a day ({', '.join(map(str, DIVISORS_OF_A_DAY))})")
    return hours


def _device(name: str) -> str:
    if name not in ("cpu", "cuda") and not (name.startswith("cuda:") and name[5:].isdecimal()):
        raise ValueError("expected cpu, cuda or cuda:N")
    return name


def _scheduler(address: str | None) -> str | None:
    if address is not None and not address.startswith(("tcp://", "tls://")):
        raise ValueError("expected tcp://host:port or tls://host:port")
    return address


UtcTime = Annotated[datetime, BeforeValidator(_utc)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(Section):
    state: Path = Field(
        default=Path("state"),
        description="ledger, artefacts, products; a relative path counts from the current folder",
    )


class Source(Section):
    kind: Literal["igra"] = Field(default="igra", description="the archive's format")
    location: str = Field(
        default="https://www.ncei.noaa.gov/data/integrated-global-radiosonde-archive",
        description="its address, or a folder in that layout, with files of any year; relative as [paths] state",
    )


class BundleSection(Section):
    path: str = Field(default="default", description="a model bundle's folder; default is the one that ships")


class Cycle(Section):
    interval_hours: Annotated[int, AfterValidator(_divides_a_day)] = Field(
        default=12, description="from one analysis to the next"
    )
    first: UtcTime | None = Field(
        default=None,
        description="the first analysis; unset: the newest time that the source covers",
        examples=[datetime(2005, 8, 26, tzinfo=UTC)],
    )
    last: UtcTime | None = Field(
        default=None,
        description="the last analysis, for a period of the past; unset: it goes on",
        examples=[datetime(2005, 9, 5, 12, tzinfo=UTC)],
    )
    cutoff_hours: float = Field(
        default=72, ge=0, description="the delayed cycle waits so long and until the source has it,"
    )
    cutoff_max_hours: float = Field(default=240, ge=0, description="but not longer than this")
    early_stream: bool = Field(default=True, description="analyses of what has arrived so far, up to the present")
    catch_up_limit_days: float = Field(
        default=10, gt=0, description="older owed cycles expire; for `run` only: `cycle` and `backfill` know no limit"
    )
    rerun_window_days: float = Field(
        default=10, ge=0, description="after a cycle was published, late soundings can still cause its rerun"
    )
    rerun_min_fraction: float = Field(
        default=0.05, ge=0, description="late and revised soundings, of those used; fewer cause none"
    )
    initial: Path | None = Field(
        default=None,
        description="a field file, ours or another centre's, that the first cycle's background starts from",
        examples=["analysis.nc"],
    )
    max_attempts: int = Field(default=3, ge=1, description="tries before a failing cycle goes on without soundings")
    stage_timeout_seconds: float = Field(default=3600, gt=0, description="a stage that takes longer counts as failed")
    free_forecast_alarm: int = Field(default=4, ge=1, description="so many cycles without soundings in a row are told")

    @model_validator(mode="after")
    def _ordered(self) -> "Cycle":
        if self.cutoff_max_hours < self.cutoff_hours:
            raise ValueError(
                f"expected cutoff_max_hours >= cutoff_hours, got {self.cutoff_max_hours:g} < {self.cutoff_hours:g}"
            )
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError(f"expected first <= last, got {self.first:%Y-%m-%dT%H} > {self.last:%Y-%m-%dT%H}")
        return self


class Ensemble(Section):
    members: int = Field(default=8, ge=1, le=255, description="of the ensemble")
    seed: int = Field(
        default=0, ge=0, description="every member's noise derives from it, the cycle's time and its number"
    )
    chunk: int = Field(default=4, ge=1, description="members per batch: part of what makes a run reproducible")
    threads: int = Field(default=0, ge=0, description="per process, likewise; 0: as many as there are processors")
    device: Annotated[str, AfterValidator(_device)] = Field(
        default="cpu", description="cpu, cuda (with several workers on one machine each takes its own) or cuda:N"
    )
    precision: Literal["bundle", "float32", "bfloat16"] = Field(
        default="bundle", description="of the prior's network; bundle: as its card says"
    )
    compile: bool = Field(
        default=False, description="let torch compile the network: needs precision = float32 and a C++ compiler"
    )
    executor: Literal["local", "dask"] = Field(
        default="local", description="who draws chunks: this process, or dask's workers"
    )
    address: Annotated[str | None, AfterValidator(_scheduler)] = Field(
        default=None,
        description="of the dask scheduler, as tcp://host:8786; unset: the daemon starts workers itself",
        examples=["tcp://localhost:8786"],
    )
    workers: int = Field(default=2, ge=1, description="processes that it starts then, each with `threads` threads")


class ModelObservation(Section):
    kind: Literal["grib", "netcdf"] = Field(default="grib", description="the file's format")
    location: str = Field(description="its path; %Y %m %d %H in it stand for the analysis time")

    def at(self, time: datetime) -> Path:
        """The file of an analysis time."""
        return Path(time.strftime(self.location))


class Assimilation(Section):
    method: Annotated[str, AfterValidator(known_method)] = Field(
        default="sda", description=f"one of {', '.join(METHODS)}"
    )
    steps: int | None = Field(
        default=None, ge=1, le=1000, description="denoiser calls per member; unset: the method's own", examples=[8]
    )
    solver: Annotated[str, AfterValidator(known_solver)] | None = Field(
        default=None, description=f"one of {', '.join(SOLVERS)}; unset: the method's own", examples=["heun"]
    )
    levels: Annotated[tuple[float, ...], AfterValidator(_decreasing)] = Field(
        default=(),
        description="decreasing noise levels of your own, in place of steps",
        examples=[[80.0, 10.0, 1.0, 0.1]],
    )
    withhold_folds: int = Field(
        default=0, ge=0, description="n > 0: a station is withheld when crc32(ID) % n == withhold_fold"
    )
    withhold_fold: int = Field(default=0, ge=0, description="see withhold_folds")
    adaptive_covariance: bool = Field(
        default=True, description="errors, and the climate's bias, follow the innovations"
    )
    model_observations: tuple[ModelObservation, ...] = Field(
        default=(),
        description="fields of other models to assimilate",
        examples=[[{"kind": "grib", "location": "model_%Y%m%d%H.grib2"}]],
    )

    @property
    def calls(self) -> int:
        """Denoiser calls per member, however they are configured."""
        return denoiser_calls(self.method, self.steps, self.levels)

    @model_validator(mode="after")
    def _fold_exists(self) -> "Assimilation":
        if self.withhold_fold >= max(self.withhold_folds, 1):
            raise ValueError(
                f"expected withhold_fold < withhold_folds, got {self.withhold_fold} of {self.withhold_folds}"
            )
        return self


class Letkf(Section):
    radius_km: float = Field(default=700, gt=0, description="half-width of the localisation; zero beyond twice that")
    scale_height: float = Field(default=0.4, gt=0, description="likewise between levels, in ln p")
    relaxation: float = Field(default=0.5, ge=0, le=1, description="of the analysis spread towards the forecast's")
    additive: float = Field(
        default=0.1, ge=0, description="share of the bundle's forecast-error variance added to the members"
    )
    inflation: bool = Field(default=True, description="of the forecast spread, to what the innovations say")


class Probability(Section):
    channel: str = Field(description="of the state or derived, as 2t or ws10")
    above: float | None = Field(default=None, description="threshold in the channel's units; or")
    below: float | None = Field(default=None, description="this one")

    @model_validator(mode="after")
    def _one_threshold(self) -> "Probability":
        if (self.above is None) == (self.below is None):
            raise ValueError("expected either above or below")
        return self


class Checks(Section):
    """The checks of soundings that can be chosen; docs/observations.md has all of them."""

    blacklist: bool = Field(
        default=True, description="do without stations whose departures stood out for a fortnight, ten days at a time"
    )
    thin_km: float = Field(
        default=30, ge=0, description="of stations closer than this, one per channel is used; 0: no thinning"
    )
    balloon_drift: bool = Field(
        default=False, description="values where and when the balloon was; else at the station and the release"
    )


class Products(Section):
    formats: tuple[Literal["grib2", "netcdf"], ...] = Field(default=("grib2", "netcdf"), description="that are written")
    members: bool = Field(default=True, description="each member besides mean and spread")
    derived: tuple[Annotated[str, Field(pattern=r"^(msl|ws\d+|r\d+)$")], ...] = Field(
        default=(),
        description="further fields: msl, ws10, and ws or r with a level, as ws850, r850",
        examples=[["msl", "ws10"]],
    )
    probabilities: tuple[Probability, ...] = Field(
        default=(),
        description='of thresholds, as {channel = "ws10", above = 17.2}',
        examples=[[{"channel": "ws10", "above": 17.2}]],
    )
    quicklooks: bool = Field(default=True, description="maps of mean, spread and increment beside the products")
    archive: Path | None = Field(
        default=None,
        description="folder of a zarr archive of all delayed cycles (icechunk; extra `zarr`)",
        examples=["archive"],
    )
    retention_days: float = Field(default=0, ge=0, description="older products go; 0 keeps everything")


class Issuer(Section):
    """Who answers for the products, as netCDF and GRIB2 say it."""

    institution: str = Field(default=NOBODY.institution, min_length=1, description="its name")
    email: str = Field(default=NOBODY.email, min_length=1, description="whom users of the products write to")
    url: str = Field(default=NOBODY.url, min_length=1, description="where more is told of them")
    licence: str = Field(default=NOBODY.licence, min_length=1, description="under which others may use them")
    naming_authority: str = Field(default=NOBODY.naming_authority, min_length=1, description="of their ids, as int.wmo")
    centre: int = Field(
        default=NOBODY.centre, ge=0, le=65535, description="originating centre, WMO table C-11; 65535: missing"
    )
    subcentre: int = Field(default=NOBODY.subcentre, ge=0, le=65535, description="its own number, table C-12; 0: none")


class Service(Section):
    host: str = Field(default="127.0.0.1", description="address of the status page, the API and the metrics")
    port: int = Field(default=8642, ge=0, le=65535, description="0: any free one")
    heartbeat_seconds: float = Field(default=20, gt=0, le=60, description="how often the daemon looks for owed cycles")
    token_file: Path | None = Field(
        default=None,
        description="holds the token that hold, release, skip and rerun ask for; unset: they are off",
        examples=["token"],
    )
    hang_seconds: float = Field(default=1800, gt=0, description="without progress for so long, it starts itself anew")
    stop_seconds: float = Field(default=15, ge=0, description="how long a stop waits for the running stage")


class Log(Section):
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="one JSON object a line; for people; auto: for people in a terminal"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is told")


class Config(Section):
    """Everything that can be set."""

    paths: Paths = Paths()
    source: Source = Source()
    bundle: BundleSection = BundleSection()
    cycle: Cycle = Cycle()
    ensemble: Ensemble = Ensemble()
    assimilation: Assimilation = Assimilation()
    letkf: Letkf = Letkf()
    quality: Checks = Checks()
    products: Products = Products()
    issuer: Issuer = Issuer()
    service: Service = Service()
    log: Log = Log()

    @model_validator(mode="after")
    def _enough_members(self) -> "Config":
        if METHODS[self.assimilation.method].ensemble and self.ensemble.members < 2:
            raise ValueError(
                f"expected ensemble.members >= 2 for the method {self.assimilation.method}, got {self.ensemble.members}"
            )
        return self

    @property
    def interval(self) -> timedelta:
        """From one analysis to the next."""
        return timedelta(hours=self.cycle.interval_hours)

    def on_grid(self, time: datetime) -> bool:
        """Whether analyses fall on that time: whole intervals from ``cycle.first``, or from midnight without one."""
        anchor = self.cycle.first or datetime(2000, 1, 1, tzinfo=UTC)
        return (time - anchor) % self.interval == timedelta(0)

    def floor(self, time: datetime) -> datetime:
        """The newest analysis time that is not after ``time``."""
        anchor = self.cycle.first or datetime(2000, 1, 1, tzinfo=UTC)
        return anchor + (time - anchor) // self.interval * self.interval


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field of that annotation holds, if any."""
    if get_origin(annotation) in (Union, UnionType, tuple, list):
        return next(filter(None, map(model_of, get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def tables() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Name, description and model of every section."""
    for name, field in Config.model_fields.items():
        model = model_of(field.annotation)
        if model is not None:
            yield name, field.description or "", model
