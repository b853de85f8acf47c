"""The methods and solvers by name: what each is and what it needs. No torch, so that every command may ask."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "SOLVERS", "LetkfSettings", "Method", "denoiser_calls", "known_method", "known_solver"]


@dataclass(frozen=True)
class Method:
    """``network``: draws with the prior's network. ``ensemble``: needs every member's own forecast, at least two.

    ``start``: from the Gaussian posterior, noised to a moderate level, or from pure noise as published; ``solver`` and
    ``steps``, the denoiser calls: what it is used with unless configured otherwise. ``inflated``: the bundle knows how
    much spread its members lack. ``local``: the forecast's error may differ from place to place.
    """

    told: str
    source: str
    network: bool = True
    ensemble: bool = False
    start: Literal["posterior", "noise"] = "posterior"
    solver: str = "multistep"
    steps: int = 8
    inflated: bool = False
    local: bool = False

    def tailed(self, soundings: bool, forecast: bool) -> bool:
        """Whether members are published with tails (``tails.py``), which were measured for analyses of both."""
        return self.local and soundings and forecast


OPTIMAL_INTERPOLATION = Method(
    "the Gaussian prior alone: a climatological covariance of all channels per degree (optimal interpolation, 3D-Var)",
    "Gandin 1963; Lorenc 1986",
    network=False,
)

METHODS: dict[str, Method] = {
    "sda": Method(
        "V(sigma) from the Gaussian prior per degree, in the weights and in the step back; conjugate gradients in "
        "observation space",
        "Rozet and Louppe 2023, with a spectral covariance",
        inflated=True,
        local=True,
    ),
    "sda-jacobian": Method(
        "as sda, the step back by a vector-Jacobian product of the network", "as sda", inflated=True
    ),
    "sda-channelwise": Method(
        "V(sigma) = sigma^2 v / (sigma^2 + v) per channel",
        "Rozet and Louppe 2023",
        start="noise",
        solver="euler",
        steps=16,
    ),
    "sda-constant": Method(
        "V(sigma) = sigma^2 Gamma with a constant Gamma, as published",
        "Chakraborty et al. 2025",
        start="noise",
        solver="euler",
        steps=16,
    ),
    "dps": Method("V = 0 and a normalised gradient", "Chung et al. 2023", start="noise", solver="euler", steps=16),
    "mmps": Method("the network's own Tweedie covariance, conjugate gradients through it", "Rozet et al. 2024"),
    "oi": OPTIMAL_INTERPOLATION,
    "3dvar": OPTIMAL_INTERPOLATION,
    "letkf": Method(
        "local ensemble transform Kalman filter on the emulator's grid",
        "Hunt et al. 2007",
        network=False,
        ensemble=True,
    ),
    "none": Method("no assimilation: the emulator's members run freely", "", network=False),
}

SOLVERS: dict[str, str] = {
    "multistep": "second-order multistep with a mid-step extrapolation (DPM-Solver++ 2M, Lu et al. 2022)",
    "euler": "first order",
    "heun": "second order, two denoiser calls a step (Karras et al. 2022)",
    "ab2": "Adams-Bashforth of second order in the logarithm of the noise level",
    "ab3": "Adams-Bashforth of third order in the logarithm of the noise level",
    "stochastic": "ancestral sampling: new noise at every step (Ho et al. 2020)",
}


@dataclass(frozen=True)
class LetkfSettings:
    """``radius_km``: half-width of Gaspari and Cohn's function, zero beyond twice that; ``scale_height``: likewise
    between levels, in ln p. ``relaxation``: of the analysis spread towards the forecast's (Whitaker and Hamill 2012).
    ``additive``: perturbations added to the forecasts, as a share of the bundle's forecast-error variance.
    ``inflation``: whether the forecast spread is scaled to what the innovations of the hour say.
    """

    radius_km: float = 700.0
    scale_height: float = 0.4
    relaxation: float = 0.5
    additive: float = 0.1
    inflation: bool = True


def denoiser_calls(method: str, steps: int | None, levels: tuple[float, ...]) -> int:
    """Of one member: as many as a ladder of one's own has levels, as were asked for, or the method's own number."""
    return len(levels) or steps or METHODS[method].steps


def known_method(name: str) -> str:
    """``name`` itself; ValueError lists the methods."""
    return _known("method", name, list(METHODS))


def known_solver(name: str) -> str:
    """``name`` itself; ValueError lists the solvers."""
    return _known("solver", name, list(SOLVERS))


def _known(kind: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise ValueError(f"assimilation {kind} {name!r} is unknown; expected one of {', '.join(names)}")
    return name
