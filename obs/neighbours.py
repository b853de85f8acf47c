"""The buddy check: each value against what all the others around it, and the background, make of it.

A value is predicted by optimal interpolation from the other values of its sounding and those of the nearest stations,
without itself (Lorenc 1981). With d = y - Hx, S the covariance of d within such a group, that prediction's error is

    (S^-1 d)_i / (S^-1)_ii,  of variance  1 / (S^-1)_ii,

so one factor per group leaves out each of its values in turn. The group knows what a single background misses: that
height and temperature belong together, that a front displaces all stations alike. Bad values spoil the predictions of
their neighbours; therefore only the worst of a neighbourhood falls, and what it touched is predicted anew without it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.profiles import wind_pairs

__all__ = ["STEP_KM", "Expected", "buddy_check"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

EARTH_RADIUS_KM = 6371.0
STEP_KM = 25.0
NEIGHBOURS = 8
LIMIT = 4.0
ROUNDS = 25
LARGEST_SCALE = 2.0
"""How far a channel's deviations may exceed what the covariances promise before that counts as error, not as climate:
covariances of one climate meet soundings of another."""
ENOUGH = 30  # values to tell a channel's width from
CHUNK = 64  # groups at a time, for memory


@dataclass(frozen=True)
class Expected:
    """A background at n values and the covariance of its errors, isotropic for normalised channels.

    mean (n,): Hx, NaN where there is none; channel (n,): position in the table; scale (n,): the factor from normalised
    to the value's units there; table (d, c, c): covariance at the distances k * STEP_KM; rest (c,): variance at a
    point beyond it, in the same normalisation.
    """

    mean: FloatArray
    channel: IntArray
    scale: FloatArray
    table: FloatArray
    rest: FloatArray

    @property
    def std(self) -> FloatArray:
        """(n,): the background's standard deviation at each value."""
        variance = self.table[0].diagonal() + self.rest
        return np.asarray(self.scale * np.sqrt(variance[self.channel]))


def buddy_check(batch: ObservationBatch, expected: Expected, k: float = LIMIT) -> ObservationBatch:
    """BUDDY where a value lies further from its prediction than ``k`` standard deviations; a wind falls as a whole.

    The standard deviation is the theory's, times how much wider the channel's deviations are as a whole (by their
    median; at most LARGEST_SCALE).
    """
    active = (batch.quality == Quality.ASSIMILATED) & np.isfinite(expected.mean) & (expected.scale > 0)
    if not active.any():
        return batch
    groups = _Groups.of(batch, active)
    ratio = np.zeros(len(batch))
    todo = np.arange(len(groups.stations))
    limit = np.full(len(batch), np.inf)
    struck = np.zeros(len(batch), np.bool_)
    for number in range(ROUNDS):
        for start in range(0, len(todo), CHUNK):
            _leave_one_out(batch, expected, groups, todo[start : start + CHUNK], active & ~struck, ratio)
        if number == 0:
            limit = k * _widths(batch, ratio, active)
        excess = np.where(active & ~struck, abs(ratio) / limit, 0.0)
        fallen = groups.worst(excess)
        if not len(fallen):
            break
        new = np.zeros(len(batch), np.bool_)
        new[fallen] = True
        new = wind_pairs(batch, new) & active & ~struck
        struck |= new
        todo = groups.touched(new)
    return batch.mark(struck, Quality.BUDDY)


def _widths(batch: ObservationBatch, ratio: FloatArray, active: Mask) -> FloatArray:
    """(n,): by channel, how much wider than expected the deviations are, by their median."""
    width = np.ones(len(batch))
    for name in np.unique(batch.channel[active]).tolist():
        own = batch.channel == name
        if (own & active).sum() < ENOUGH:
            continue
        typical = np.median(abs(ratio[own & active])) / 0.6745
        width[own] = np.clip(typical, 1.0, LARGEST_SCALE)
    return width


@dataclass(frozen=True)
class _Groups:
    """The s stations of a batch; ``rows`` of each (padded with -1), ``near`` (s, m): itself and its neighbours."""

    stations: npt.NDArray[np.str_]
    of_value: IntArray
    rows: IntArray
    xyz: FloatArray
    near: IntArray

    @classmethod
    def of(cls, batch: ObservationBatch, active: Mask) -> "_Groups":
        chosen = np.flatnonzero(active)
        stations, first, own = np.unique(batch.station[chosen], return_index=True, return_inverse=True)
        of_value = np.full(len(batch), -1)
        of_value[chosen] = own
        order = np.argsort(own, kind="stable")
        count = np.bincount(own)
        column = np.arange(len(chosen)) - np.repeat(np.cumsum(count) - count, count)
        rows = np.full((len(stations), count.max()), -1)
        rows[own[order], column] = chosen[order]
        phi, lam = np.deg2rad(batch.lat[chosen[first]]), np.deg2rad(batch.lon[chosen[first]])
        xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
        closeness = xyz @ xyz.T
        np.fill_diagonal(closeness, 2.0)  # itself first, whoever shares its place
        near = np.argsort(-closeness, axis=1, kind="stable")[:, : NEIGHBOURS + 1]
        return cls(stations, of_value, rows, xyz, near)

    def worst(self, excess: FloatArray) -> IntArray:
        """Values beyond their limit that no other of their neighbourhood exceeds."""
        padded = np.append(excess, 0.0)
        own = padded[self.rows].max(1)
        around = own[self.near].max(1)
        chosen = np.flatnonzero((own > 1.0) & (own >= around))
        return np.asarray(self.rows[chosen, padded[self.rows[chosen]].argmax(1)])

    def touched(self, values: Mask) -> IntArray:
        """The stations whose predictions used one of the marked values."""
        marked = np.zeros(len(self.stations), np.bool_)
        marked[self.of_value[values & (self.of_value >= 0)]] = True
        return np.flatnonzero(marked[self.near].any(1))


def _factor(covariance: Tensor) -> Tensor:
    """Cholesky factors (g, n, n), lower, of B + I, which should have no eigenvalue below one.

    B is interpolated in distance between tabulated values, which does not keep it positive: rarely, and with a steep
    covariance on a coarse table, an eigenvalue comes out below what the errors alone leave. It is then set to one.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if len(spoilt := torch.nonzero(failed)[:, 0]):
        values, vectors = torch.linalg.eigh(covariance[spoilt])
        factor[spoilt] = torch.linalg.cholesky((vectors * values.clamp_min(1.0)[:, None, :]) @ vectors.mT)
    return factor


def _leave_one_out(
    batch: ObservationBatch, expected: Expected, groups: _Groups, stations: IntArray, active: Mask, ratio: FloatArray
) -> None:
    """Set ``ratio`` of the values of ``stations``: deviation from the prediction over its standard deviation.

    A station comes last in its own group: with L L' = S, its block of S^-1 is that of L alone, (L_oo L_oo')^-1, and
    its part of S^-1 d is L_oo'^-1 (L^-1 d)_o. Nothing larger is inverted.
    """
    near, width = groups.near[stations][:, ::-1], groups.rows.shape[1]
    rows = groups.rows[near].reshape(len(stations), -1)
    present = (rows >= 0) & active[rows]
    scaled = np.where(present, expected.scale[rows] / batch.sigma[rows], 0.0)
    c = expected.channel[rows]
    covariance = _between(expected.table, groups.xyz[near], c.reshape(*near.shape, width))
    covariance *= scaled[:, :, None] * scaled[:, None, :]
    diagonal = np.arange(rows.shape[1])
    covariance[:, diagonal, diagonal] += 1.0 + expected.rest[c] * scaled**2
    departure = np.where(present, (batch.value[rows] - expected.mean[rows]) / batch.sigma[rows], 0.0)
    factor = _factor(torch.from_numpy(covariance))
    white = torch.linalg.solve_triangular(factor, torch.from_numpy(departure)[..., None], upper=False)
    own = slice(rows.shape[1] - width, None)
    inverse = torch.linalg.solve_triangular(factor[:, own, own], torch.eye(width, dtype=torch.float64), upper=False)
    deviation = (inverse.mT @ white[:, own])[..., 0] / inverse.square().sum(1).sqrt()
    mine = present[:, own]
    ratio[rows[:, own][mine]] = deviation.numpy()[mine]


def _between(table: FloatArray, xyz: FloatArray, channel: IntArray) -> FloatArray:
    """Covariances (g, s w, s w) between the values of stations at ``xyz`` (g, s, 3), with ``channel`` (g, s, w)."""
    cosine = np.einsum("gix,gjx->gij", xyz, xyz)
    away = np.arccos(np.clip(cosine, -1.0, 1.0)) * (EARTH_RADIUS_KM / STEP_KM)
    below = np.minimum(away.astype(np.int64), len(table) - 2)
    weight = np.clip(away - below, 0.0, 1.0)[..., None, None]
    pairs = table[below] * (1 - weight) + table[below + 1] * weight  # (g, s, s, c, c)
    g, s, w = channel.shape
    at = np.arange(g)[:, None, None, None, None], np.arange(s)[:, None, None, None], np.arange(s)[:, None]
    chosen = pairs[at[0], at[1], at[2], channel[:, :, :, None, None], channel[:, None, None, :, :]]
    return np.asarray(chosen.reshape(g, s * w, s * w))
