"""What innovations have said so far: error variances, and how the world's climate differs from the bundle's.

A bundle lives in the climate it was trained on; the world that is watched has another. Between them lies one affine
map per channel, in units of the bundle's standard deviation:

    world = mean + std (alpha x + b),    b = sum over degrees 0 .. 6 of beta_l e_l(latitude)

x: the anomaly that prior and emulator know; alpha: the ratio of standard deviations; b: a zonal bias, whose
coefficients beta are solved jointly with every analysis under the prior variance tau^2 before anything is known of
them, and carried from cycle to cycle. Further factors, per channel: r of the observation-error variance, p of the
emulator's error variance; and for all channels together how large that is at present (``error_level.py``). ``adapt.py``
estimates them.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.pooling import pooled
from dacycle.cycler.bundle import Bundle
from dacycle.obs.batch import ObservationBatch

__all__ = ["BOUNDS", "FACTORS", "ZONAL_DEGREES", "Adaptation", "zonal_basis"]

FloatArray = npt.NDArray[np.float64]

ZONAL_DEGREES = 7
FACTORS = ("climate", "bias", "forecast", "observation")
BOUNDS = np.log([[0.25, 9.0], [1e-4, 25.0], [1.0, 9.0], [0.1, 10.0]])
"""Of ln alpha^2, ln tau^2, ln p, ln r: further from one than this, something else is wrong. p never falls below one:
innovations come from where the soundings are, and there the forecast is better than in the mean over the globe, for
which its error was calibrated; a smaller p would overtrust it where nobody looks."""
GUESS = np.log([1.0, 0.05, 1.0, 1.0])
DOUBT = np.array([1.0, 2.0, 0.7, 1.0])
"""Standard deviations of the logarithms before any innovation was seen."""
STATIONS = 0.2
"""Standard deviation of the logarithm of alpha^2 at the stations around that of the globe, whatever the innovations say
of themselves (0.15 over the channels of a simulated October, seed 191): a channel's alpha differs from the others' only
as far as they differ by more."""
MEMORY_HOURS = 20 * 24.0  # of the factors
BIAS_MEMORY_HOURS = 60 * 24.0  # a climate's bias changes with the season


def zonal_basis(latitude: npt.NDArray[np.floating]) -> FloatArray:
    """e_l (ZONAL_DEGREES, ...): Legendre polynomials of sin(latitude in degrees).

    Scaled so that coefficients of unit variance make a field whose area-mean variance is one, red as 1 / (1 + l).
    """
    sine = np.sin(np.deg2rad(np.asarray(latitude, np.float64)))
    degree = np.arange(ZONAL_DEGREES)
    share = 1.0 / (1 + degree)
    norm = np.sqrt((2 * degree + 1) * share / share.sum())
    return np.stack([norm[k] * np.polynomial.legendre.Legendre.basis(k)(sine) for k in degree])


@dataclass(frozen=True)
class Adaptation:
    """The factors that hold for one cycle.

    ``factors`` (channels, 4): logarithms of alpha^2, tau^2, p, r; ``information`` (channels, 4, 4): how well they are
    known. ``bias`` (channels, degrees), ``bias_covariance`` (channels, degrees, degrees): beta. ``level`` of
    forecasts' errors: None before any was compared with soundings.
    """

    channels: tuple[str, ...]
    factors: FloatArray
    information: FloatArray
    bias: FloatArray
    bias_covariance: FloatArray
    level: ErrorLevel | None = None

    @classmethod
    def ignorant(cls, channels: tuple[str, ...]) -> Self:
        """Before the first innovation."""
        n = len(channels)
        unit = np.eye(ZONAL_DEGREES)
        return cls(
            channels,
            np.tile(GUESS, (n, 1)),
            np.tile(np.diag(DOUBT**-2.0), (n, 1, 1)),
            np.zeros((n, ZONAL_DEGREES)),
            np.tile(np.exp(GUESS[1]) * unit, (n, 1, 1)),
        )

    @classmethod
    def none(cls, channels: tuple[str, ...]) -> Self:
        """The bundle and the error table as they are: no factor, no bias."""
        known = cls.ignorant(channels)
        return replace(known, factors=np.zeros_like(known.factors), bias_covariance=0 * known.bias_covariance)

    def factor(self, name: str) -> FloatArray:
        """(channels,): alpha^2 (``climate``), tau^2 (``bias``), p (``forecast``) or r (``observation``) in force."""
        log = self.factors[:, FACTORS.index(name)]
        if name == "climate":
            log = pooled(log, np.linalg.inv(self.information)[:, 0, 0] + STATIONS**2)
        return np.asarray(np.exp(log))

    @property
    def plain(self) -> bool:
        """Whether the world's climate is taken for the bundle's."""
        return not (self.factors[:, FACTORS.index("climate")].any() or self.bias.any())

    def later(self, hours: float) -> Self:
        """The same, so much later: what was learnt fades, slowly, and the bias drifts within its prior."""
        keep = np.exp(-hours / MEMORY_HOURS)
        first = np.diag(DOUBT**-2.0)
        stay = np.exp(-hours / BIAS_MEMORY_HOURS)
        drift = (1 - stay**2) * self.factor("bias")[:, None, None] * np.eye(ZONAL_DEGREES)
        return replace(
            self,
            information=first + keep * (self.information - first),
            bias=stay * self.bias,
            bias_covariance=stay**2 * self.bias_covariance + drift,
            level=self.level and self.level.later(hours),
        )

    def world(self, bundle: Bundle) -> Bundle:
        """The bundle with the climatology of the world that is watched, and the forecast error found there."""
        climate = bundle.climatology
        coefficients = climate.coefficients.copy()
        coefficients[0] += climate.std * self.shift(bundle)[..., None]
        scale = np.sqrt(self.factor("climate"))[:, None, None]
        error = np.sqrt(self.factor("forecast"))

        def found(covariance: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32] | None:
            return None if covariance is None else _single(covariance * error * error[:, None])

        return replace(
            bundle,
            climatology=replace(climate, coefficients=coefficients, std=_single(climate.std * scale)),
            forecast_error=_single(bundle.forecast_error * error * error[:, None]),
            local_error=found(bundle.local_error),
            states_error=found(bundle.states_error),
            states_local_error=found(bundle.states_local_error),
        )

    def shift(self, bundle: Bundle) -> npt.NDArray[np.float32]:
        """b (channels, nlat), in units of the bundle's standard deviation."""
        return _single(self.bias @ zonal_basis(bundle.grid.lat))

    def weigh(self, batch: ObservationBatch) -> ObservationBatch:
        """``batch`` with the error that each value is found to have."""
        factor = dict(zip(self.channels, np.sqrt(self.factor("observation")), strict=True))
        return replace(batch, sigma=batch.sigma * np.array([factor.get(name, 1.0) for name in batch.channel.tolist()]))

    def to_json(self) -> str:
        """All of it; ``from_json`` gives the same bits back."""
        told = {name: getattr(self, name).tolist() for name in ("factors", "information", "bias", "bias_covariance")}
        level = {} if self.level is None else {"level": asdict(self.level)}
        return json.dumps({"channels": list(self.channels), **told, **level})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of ``to_json``."""
        told = json.loads(text)
        channels, level = tuple(told.pop("channels")), told.pop("level", None)
        arrays = {name: np.array(values) for name, values in told.items()}
        return cls(channels, **arrays, level=level and ErrorLevel(**level))

    @property
    def digest(self) -> str:
        """sha256 of all of it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _single(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)
