"""Fields of other models as observations: y = E x + e, e ~ N(0, R) per degree, E choosing the channels they have.

Any number of them, and the emulator's own forecast, are observations of the same coefficients, so they are one: with

    J = T' R_f^-1 T + sum E' R^-1 E,   h = T' R_f^-1 f + sum E' R^-1 y

the information and its weighted values, the basis in which the climate's covariance is the identity and J is diagonal
gives a term of the emulator's kind. Errors are correlated in space and between channels, as the emulator's are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import SpectralTerm, colouring, whitening
from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["ModelField", "combined"]

LEAST_INFORMATION = 1e-4  # what nothing says anything of keeps a variance of 10,000 times the climate's


@dataclass(frozen=True)
class ModelField:
    """``values`` (k, nlat, nlon): the channels of positions ``index`` (k,) on the analysis grid, physical units.

    ``factor``: of its error covariance over the emulator's; ``name``: what to call it.
    """

    name: str
    index: tuple[int, ...]
    values: npt.NDArray[np.float32]
    factor: float = 1.0


def combined(
    prior: GaussianPrior, term: SpectralTerm | None, fields: Sequence[tuple[ModelField, Tensor]], error: Tensor
) -> SpectralTerm | None:
    """One term of the emulator's and of all ``fields``, each with its normalised anomaly (k, nlat, nlon).

    ``error`` (degrees, channels, channels): the error covariance of scaled coefficients that a factor of one means.
    """
    if not fields:
        return term
    degrees, n = len(error), prior.channels
    count, degree = degrees**2, prior.harmonics.degree[: degrees**2]
    information = torch.zeros(degrees, n, n, device=error.device)
    weighed = torch.zeros(n, count, device=error.device)
    if term is not None:
        precision = 1 / term.variance[:, torch.arange(degrees, device=error.device) ** 2].T  # (degrees, channels)
        information += term.transform.transpose(-1, -2) @ (precision[..., None] * term.transform)
        weighed += term.adjoint((term.values / term.variance)[None])[0]
    for field, anomaly in fields:
        rows = torch.tensor(field.index, device=error.device)
        precision = torch.linalg.inv(field.factor * error[:, rows[:, None], rows])
        information[:, rows[:, None], rows] += precision
        padded = torch.zeros(1, n, *anomaly.shape[1:], device=error.device)
        padded[0, rows] = anomaly
        coefficients = prior.analyse(padded)[0, rows, :count]
        weighed[rows] += torch.einsum("kcd,dk->ck", precision[degree], coefficients)
    whiten = whitening(prior, degrees)
    back = colouring(prior, degrees)
    j, rotation = torch.linalg.eigh(back.transpose(-1, -2) @ information @ back)
    j = j.clamp_min(LEAST_INFORMATION)
    transform = rotation.transpose(-1, -2) @ whiten
    to_values = rotation.transpose(-1, -2) @ back.transpose(-1, -2) / j[..., None]
    values = torch.einsum("kcd,dk->ck", to_values[degree], weighed)
    return SpectralTerm(prior, transform, values, (1 / j)[degree].T.contiguous())
