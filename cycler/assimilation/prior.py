"""The diffusion prior: the closed-form Gaussian denoiser plus what a network adds to it.

    D(x; sigma) = G(x; sigma) + R,    R = s(sigma) F + sum over k of g_k (G_k(x; sigma) - G(x; sigma))

G: ``GaussianPrior.denoise``. s: the Gaussian's own posterior standard deviation per channel, so that the network's
output is of order one at every noise level (the EDM preconditioning of Karras et al. 2022, with the Gaussian denoiser
in the place of the skip connection). G_k: the same Gaussian with its covariance times ``FACTORS[k]``; the network's
gates g_k mix them by channel, place and state, so that calm regions are smoothed more and fronts less, in full
resolution and at little cost. Network inputs: x and G(x), both scaled to order one, statics, and the winds that the
state of G(x) has, where x is control variables: what carries weather along is in none of these. Where the network
outputs zero, the prior is exactly Gaussian. A ``Response``, where there is one, weighs G and R degree by degree.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.cycler.assimilation.unet import UNet
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis
from dacycle.errors import BundleError, ConfigError

__all__ = [
    "HIGHEST_LEVEL",
    "Denoiser",
    "DiffusionPrior",
    "Precision",
    "load_prior",
    "season_features",
    "static_features",
]

Precision = Literal["bundle", "float32", "bfloat16"]
"""In what the network computes: as the bundle's card says, or as said here. All else is float32."""
Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x (n, channels, nlat, nlon), sigma (n,)) -> E[x0 | x], the season already bound."""


FACTORS = (1 / 64, 1 / 8, 8.0, 64.0)
HIGHEST_LEVEL = 10.0
"""The noise level up to which networks are trained; beyond it they may say anything."""
LARGEST_INPUT = 12.0
"""In standard deviations, what networks are shown at most. Analyses reach 10; states out of balance were seen at 25, on
which a network's answer grew from call to call without bound, where nothing but the state itself was observed."""


class DiffusionPrior(nn.Module):
    """Gaussian plus residual network. ``statics`` (k, nlat, nlon) are further inputs of the network.

    With a ``balance``, what prior and network know are control variables, and ``states`` is the Gaussian of states.
    """

    statics: Tensor

    def __init__(
        self,
        gaussian: GaussianPrior,
        statics: Tensor,
        fold: int,
        widths: list[int],
        blocks: int,
        low_precision: bool,
        balance: Balance | None = None,
        states: GaussianPrior | None = None,
        response: Response | None = None,
        winds: bool = False,
        place: bool = False,
    ) -> None:
        """``fold``, ``widths``, ``blocks``: of the network (``unet.py``), which computes in bfloat16 with
        ``low_precision``. ``winds``: it is shown those of the Gaussian's state, too; ``place``: it may tell places
        apart wherever it computes."""
        super().__init__()
        self.gaussian, self.balance, self.states, self.response = gaussian, balance, states, response
        self.low_precision = low_precision
        self.register_buffer("statics", statics, persistent=False)
        n, k = gaussian.channels, statics.shape[0]
        self._winds = len(balance.winds) if balance is not None and winds else 0
        inputs, self._place = 2 * n + k + self._winds, place
        self.network = UNet(inputs, n, len(FACTORS) * n, 1 + 4, fold, widths, blocks, place=k if place else 0)

    def forward(self, x: Tensor, sigma: Tensor, season: Tensor) -> Tensor:
        """x (n, channels, nlat, nlon), ``sigma`` (n,), ``season`` (n, 4) -> the same shape as x."""
        gaussian, residual, coefficients = self.parts(x, sigma, season)
        denoised = gaussian + residual
        if self.response is None:
            return denoised
        degree = self.gaussian.harmonics.degree
        a, b = (part[..., degree] for part in self.response.at(sigma))
        return denoised + self.gaussian.synthesise(a * coefficients + b * self.gaussian.analyse(residual))

    def parts(self, x: Tensor, sigma: Tensor, season: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G and R, of the shape of x, and the scaled coefficients of G (n, channels, L*L)."""
        gaussian, variants, coefficients = self.gaussian.denoise_variants(x, sigma, FACTORS)
        scale = self.gaussian.posterior_std(sigma)[..., None, None]
        noise = sigma[:, None, None, None] ** 2 / self.gaussian.weights
        known = (1 - scale.square()).clamp_min(0.01).sqrt()  # the standard deviation of G(x)
        statics = self.statics.expand(len(x), -1, -1, -1)
        shown = torch.cat([x / (1 + noise).sqrt(), gaussian / known, statics, self._state_winds(gaussian)], 1)
        inputs = shown.clamp(-LARGEST_INPUT, LARGEST_INPUT)
        conditions = torch.cat([sigma.log()[:, None] / 4, season], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision):
            residual, gates = self.network(inputs, conditions, self.statics[None] if self._place else None)
        mixed = (gates.unflatten(1, (len(FACTORS), -1)) * variants).sum(1)
        return gaussian, scale * residual.float() + mixed, coefficients

    def _state_winds(self, y: Tensor) -> Tensor:
        """What the network is shown of the winds of ``y``'s state."""
        if self.balance is None or not self._winds:
            return y[:, :0]
        return self.balance.state(y)[:, self.balance.winds]

    @property
    def climate(self) -> GaussianPrior:
        """The Gaussian of states, as anomalies over their standard deviation."""
        return self.states or self.gaussian

    def balance_in(self, world: Bundle) -> Balance | None:
        """The balance in a world with a climatology of its own."""
        return None if self.balance is None else self.balance.within(world.climatology.std)

    def variables(self, x: Tensor, world: Bundle) -> Tensor:
        """What the prior knows of x, anomalies of ``world`` over its standard deviation: control variables, or x
        itself; both (m, channels, nlat, nlon)."""
        balance = self.balance_in(world)
        return x if balance is None else balance.control(x)

    def anomalies(self, y: Tensor, world: Bundle) -> Tensor:
        """The inverse of ``variables``."""
        balance = self.balance_in(world)
        return y if balance is None else balance.state(y)

    def at(self, time: datetime) -> Denoiser:
        """The denoiser of that date."""
        season = season_features(time).to(self.statics.device)
        return lambda x, sigma: self(x, sigma, season.expand(len(x), -1))


def season_features(time: datetime) -> Tensor:
    """(4,): cosine and sine of the time of year and of the time of day (UTC)."""
    day = 2 * np.pi * (time.hour + time.minute / 60) / 24
    return torch.tensor([*season_basis(time)[1:3], np.cos(day), np.sin(day)], dtype=torch.float32)


def static_features(grid: Grid, orography: npt.NDArray[Any], land: npt.NDArray[Any]) -> Tensor:
    """(6, nlat, nlon): orography in units of 2000 m, land fraction, and the point's place on the unit sphere."""
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)[None]
    place = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon, np.cos(lat) + 0 * lon]
    return torch.tensor(np.stack([orography / 2000.0, land, *place]), dtype=torch.float32)


def load_prior(
    bundle: Bundle, device: str = "cpu", precision: Precision = "bundle", compiled: bool = False
) -> DiffusionPrior:
    """The bundle's prior in evaluation mode; BundleError where the weights do not fit the card.

    ``compiled``: the network goes through ``torch.compile`` when it is first called.
    """
    path = bundle.path / "prior.safetensors"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: expected a safetensors file of the prior; {error}") from error
    n = len(bundle.channels)
    covariance = weights.get("gaussian.covariance")
    if covariance is None or covariance.ndim != 3 or tuple(covariance.shape[1:]) != (n, n):
        found = None if covariance is None else tuple(covariance.shape)
        raise BundleError(f"{path}: gaussian.covariance should have shape (degrees, {n}, {n}); got {found}")
    statics = static_features(bundle.grid, bundle.orography, bundle.land)
    gaussian = GaussianPrior(bundle.grid, covariance, weights.get("gaussian.rest", torch.zeros(n)))
    arguments = cast("dict[str, Any]", bundle.card.prior.arguments)
    try:
        balance, states = _control(bundle, weights)
        response = _response(weights)
        prior = DiffusionPrior(gaussian, statics, **arguments, balance=balance, states=states, response=response)
        prior.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        summary = " ".join(str(error).split())
        raise BundleError(f"{path}: the weights do not fit the card's architecture: {summary[:300]}") from error
    if precision != "bundle":
        prior.low_precision = precision == "bfloat16"
    if compiled:
        if prior.low_precision:
            # Measured on a CPU: the compiled backward pass in bfloat16 moved members by 0.4 standard deviations.
            raise ConfigError("[ensemble] compile: not exact in bfloat16; set precision = float32, or do not compile")
        prior.network.compile()
    return prior.to(device).eval().requires_grad_(False)


def _control(bundle: Bundle, weights: dict[str, Tensor]) -> tuple[Balance | None, GaussianPrior | None]:
    """Balance and Gaussian of states of a prior that lives in control variables."""
    if "balance.coefficients" not in weights:
        return None, None
    names, std = [c.name for c in bundle.channels], bundle.climatology.std
    kept = weights.get("balance.smoothing.kept")  # bundles before version 17 have none
    smoothing = None if kept is None else Smoothing(bundle.grid, kept)
    balance = Balance(names, std, weights["balance.coefficients"], weights["balance.spread"], smoothing)
    return balance, GaussianPrior(bundle.grid, weights["states.covariance"], weights["states.rest"])


def _response(weights: dict[str, Tensor]) -> Response | None:
    """What is known of the denoiser's two parts; bundles before version 10 have none."""
    if "response.levels" not in weights:
        return None
    return Response(*(weights[f"response.{name}"] for name in ("levels", "gaussian", "network")))
