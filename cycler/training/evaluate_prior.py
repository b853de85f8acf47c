"""``dacycle train evaluate-prior``: what the prior is worth, on a run that no training saw.

Four parts, each kept in the folder as soon as it is there, so that an interrupted evaluation goes on:

denoising.json           mean square error per noise level, relative to the closed-form Gaussian prior's: of states, and
                         of the prior's own variables
samples/NN.npy           unconditional samples, one a date; their spectra, histograms and balance go into prior.json
super-resolution/*.json  one date each: truth seen on the emulator's grid only
prior.json, prior.md, index.html and pictures: all of it put together
"""

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.products.atomic import write_bytes
from dacycle.cycler.training.dataset import Dataset, open_dataset, span, state

__all__ = ["add_arguments", "run"]

FloatArray = npt.NDArray[np.float32]
BANDS = ((1, 40, 1.2), (41, 60, 1.5))
"""Zonal wavenumbers of the spectra's summary, first to last, and the factor that samples should agree with truth to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    parser.add_argument("--data", required=True, help="nature run or zarr store that no training saw")
    parser.add_argument("--out", type=Path, required=True, help="folder; parts that lie there are not computed again")
    beside = "another run, of the same season: how far its states agree with those of --data, as samples are to"
    parser.add_argument("--beside", help=beside)
    parser.add_argument("--frames", type=int, default=24, help="states for the denoising error")
    parser.add_argument("--samples", type=int, default=32, help="unconditional samples")
    parser.add_argument("--dates", type=int, default=20, help="dates of the super-resolution")
    parser.add_argument("--members", type=int, default=16, help="of the super-resolution")
    parser.add_argument("--steps", type=int, default=16, help="denoiser calls per member, and per descent of a sample")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


def run(args: argparse.Namespace) -> int:
    """Evaluate what is not there yet, write the report; returns the exit code."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    data = open_dataset(args.data, bundle.grid.shape)
    (args.out / "samples").mkdir(parents=True, exist_ok=True)
    (args.out / "super-resolution").mkdir(exist_ok=True)
    result: dict[str, Any] = {
        "bundle": bundle.card.name,
        "digest": bundle.digest,
        "world": bundle.card.world,
        "data": f"{data.name} {span(data.times)}",
        **_denoising(bundle, data, args.out / "denoising.json", args.frames),
        "samples": _samples(bundle, data, args) if args.samples else None,
        "super_resolution": _super_resolution(bundle, data, args) if args.dates else None,
    }
    from dacycle.cycler.training.prior_report import report

    text = report(bundle, result)
    write_bytes(args.out / "prior.json", (json.dumps(result, indent=2) + "\n").encode())
    write_bytes(args.out / "prior.md", text.encode())
    if args.samples:
        from dacycle.cycler.training.prior_pictures import write_page

        write_page(args.out, bundle, *_sampled(bundle, data, args), text)
    print(text)
    return 0


def _denoising(bundle: Bundle, data: Dataset, path: Path, frames: int) -> dict[str, dict[str, float]]:
    from dacycle.cycler.assimilation.prior import load_prior
    from dacycle.cycler.training.balance import load_known
    from dacycle.cycler.training.prior import LEVELS, errors_seen

    if not path.exists():
        every = max(1, len(data.times) // frames)
        prior = load_prior(bundle)
        known = load_known(data, bundle, prior, slice(0, every * frames, every))
        state = (lambda y: y) if prior.balance is None else prior.balance.state
        names, views = ("denoising", "denoising_of_variables"), (state, lambda y: y)
        found = zip(names, errors_seen(prior, known, views, frames), strict=True)
        told = {name: {f"{s:g}": r for s, r in zip(LEVELS, ratios, strict=True)} for name, ratios in found}
        write_bytes(path, json.dumps(told).encode())
    return dict(json.loads(path.read_text()))


def _spread(data: Dataset, count: int) -> list[int]:
    """``count`` frames, evenly spread over the data."""
    return [round(frame) for frame in np.linspace(0, len(data.times) - 1, count)]


def _sampled(bundle: Bundle, data: Dataset, args: argparse.Namespace) -> tuple[FloatArray, FloatArray]:
    """Samples and the true states of their dates, both as normalised anomalies of the date."""
    from dacycle.cycler.assimilation.prior import load_prior
    from dacycle.cycler.training.unconditional import unconditional

    prior, samples = None, []
    for number, frame in enumerate(_spread(data, args.samples)):
        path, time = args.out / "samples" / f"{number:02d}.npy", data.times[frame]
        if not path.exists():
            prior = prior or load_prior(bundle)
            drawn = unconditional(bundle, prior, time, args.steps, number)
            with (path.with_suffix(".part")).open("wb") as file:
                np.save(file, drawn)
            path.with_suffix(".part").replace(path)
            print(f"sample {number + 1} of {args.samples}", flush=True)
        samples.append(_normalised(bundle, np.load(path), time))
    return np.stack(samples), _states(bundle, data, args.samples)


def _halves(bundle: Bundle, data: Dataset, count: int) -> tuple[FloatArray, FloatArray]:
    """``count`` true states of each half of the run: how far two samples of the very same world agree."""
    states = _states(bundle, data, 2 * count)
    return states[:count], states[count:]


def _states(bundle: Bundle, data: Dataset, count: int) -> FloatArray:
    """``count`` true states (count, channels, nlat, nlon), as normalised anomalies."""
    frames = _spread(data, count)
    return np.stack([_normalised(bundle, state(data, bundle.channels, k), data.times[k]) for k in frames])


def _normalised(bundle: Bundle, state: FloatArray, time: datetime) -> FloatArray:
    return np.asarray((state - bundle.climatology.mean(time)) / bundle.climatology.std, dtype=np.float32)


def _samples(bundle: Bundle, data: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    from dacycle.cycler.training.prior_scores import agreement, geostrophy, histograms, seam, spectral_ratio

    samples, truths = _sampled(bundle, data, args)
    names, ratio = bundle.card.channels, spectral_ratio(samples, truths, bundle.grid)
    compared = {"samples": ratio, "truth": spectral_ratio(*_halves(bundle, data, len(samples)), bundle.grid)}
    if args.beside:
        other = _states(bundle, open_dataset(args.beside, bundle.grid.shape), len(samples))
        compared["beside"] = spectral_ratio(other, truths, bundle.grid)
    bands: dict[str, dict[str, list[float]]] = {}
    agreements: dict[str, dict[str, float]] = {}
    for first, last, factor in BANDS:
        parts = {name: each[:, first : last + 1] for name, each in compared.items()}
        part = parts["samples"]
        if part.shape[1] == 0:
            continue
        ranges = zip(names, part.min(1).tolist(), part.max(1).tolist(), strict=True)
        bands[f"{first}-{last}"] = {name: [least, most] for name, least, most in ranges}
        shares = {name: agreement(each, factor) for name, each in parts.items()}
        agreements[f"{first}-{last}"] = {"factor": factor, **shares}
    distance = [0.5 * float(np.abs(ours - theirs).sum()) for _, ours, theirs in histograms(samples, truths)]
    std = bundle.climatology.std
    return {
        "count": len(samples),
        "spectra": bands,
        "agreement": agreements,
        "spectral_ratio": {name: np.round(row, 3).tolist() for name, row in zip(names, ratio, strict=True)},
        "histogram_distance": dict(zip(names, distance, strict=True)),
        "geostrophic_correlation": {
            "samples": geostrophy(samples * std, bundle.channels, bundle.grid),
            "truth": geostrophy(truths * std, bundle.channels, bundle.grid),
        },
        "seam": dict(zip(names, seam(samples).tolist(), strict=True)),
        "seam_of_truth": dict(zip(names, seam(truths).tolist(), strict=True)),
    }


def _super_resolution(bundle: Bundle, data: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    from dacycle.cycler.training.prior_scores import agreement
    from dacycle.cycler.training.super_resolution import OPERATOR, Resolver

    resolver, rows = None, []
    for number, frame in enumerate(_spread(data, args.dates)):
        time = data.times[frame]
        path = args.out / "super-resolution" / f"{time:%Y%m%d%H}-{args.members}.json"
        if not path.exists():
            resolver = resolver or Resolver(bundle, args.members, args.steps)
            found = resolver.resolve(state(data, bundle.channels, frame), time)
            write_bytes(path, json.dumps({key: value.tolist() for key, value in vars(found).items()}).encode())
            print(f"super-resolution, date {number + 1} of {args.dates}", flush=True)
        rows.append(json.loads(path.read_text()))
    table = {}
    for k, name in enumerate(bundle.card.channels):
        values = {method: np.array([row[method][k] for row in rows]) for method in ("cubic", "gaussian", "prior")}
        table[name] = {method: [float(v.mean()), float(v.std())] for method, v in values.items()}
    first, last, factor = BANDS[0]
    energy, of_truth = (np.mean([row[key] for row in rows], 0) for key in ("energy", "energy_of_truth"))
    spectra = (energy / of_truth)[:, :, first : last + 1]
    ranges = zip(bundle.card.channels, spectra.min((0, 2)).tolist(), spectra.max((0, 2)).tolist(), strict=True)
    return {
        "operator": OPERATOR,
        "dates": len(rows),
        "members": args.members,
        "rmse": table,
        "spectra_1_40": {name: [least, most] for name, least, most in ranges},
        "agreement": {"factor": factor, "members": agreement(spectra, factor)},
    }
