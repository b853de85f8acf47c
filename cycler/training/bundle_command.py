"""``dacycle bundle``: a trained prior and emulator become a bundle, with error statistics of their own.

The statistics come from cycling: soundings are made from a nature run that is not in the training, the system is
cycled on them from a first guess of the statistics, which follow from comparing its forecasts with the truth, and once
more from what was found: of the forecasts' errors, and of what the analyses' members lack in spread.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from dacycle.cycler.bundle import Bundle, NetworkCard

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    prior = "folder of `dacycle train prior`; or a bundle, of which all but the emulator stays"
    parser.add_argument("--prior", required=True, help=prior)
    emulator = (
        "folder of `dacycle train emulator`; or a bundle, of which all but the prior stays that was trained under"
    )
    parser.add_argument("--emulator", required=True, help=f"{emulator} its climate")
    truth = "nature runs or zarr stores for the forecast-error statistics, best of several seasons"
    parser.add_argument("--truth", nargs="+", default=[], help=f"{truth}; with a bundle: unset, its own stay")
    parser.add_argument("--days", type=float, default=12.0, help="how many of their last days are cycled over")
    parser.add_argument("--members", type=int, default=6, help="of the cycles; %(default)s unless given")
    parser.add_argument("--sites", type=int, default=500, help="of the simulated network")
    parser.add_argument("--rounds", type=int, default=1, help="how often it goes over them")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--name", required=True, help="for the card")
    parser.add_argument("--version", default="1", help="for the card; %(default)s unless given")
    parser.add_argument("--world", default="simulated", help='"simulated" or the name of the reanalysis')
    parser.add_argument("--description", default="", help="a sentence for the card")
    parser.add_argument(
        "--grid", nargs=2, type=int, default=[128, 256], metavar=("NLAT", "NLON"), help="of a zarr store"
    )
    parser.add_argument(
        "--emulator-grid",
        nargs=2,
        type=int,
        default=[32, 64],
        metavar=("NLAT", "NLON"),
        help="of the emulator's states; %(default)s unless given",
    )
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


def run(args: argparse.Namespace) -> int:
    """Assemble, cycle, write; returns the exit code."""
    import torch
    from safetensors.torch import load_file

    from dacycle.cycler.assimilation.gaussian import GaussianPrior
    from dacycle.cycler.bundle import Card, NetworkCard, open_bundle
    from dacycle.cycler.training.bundle import Statics, write_bundle
    from dacycle.cycler.training.calibrate import calibrate
    from dacycle.cycler.training.dataset import open_dataset
    from dacycle.cycler.training.forecast_error import first_guess

    if args.threads:
        torch.set_num_threads(args.threads)
    if _is_bundle(args.prior):
        return _exchange(args)
    folder = Path(args.prior)
    prior_told = _read(folder / "prior.json")
    if _is_bundle(args.emulator) and (not args.truth or _keeps_climate(folder, args.emulator)):
        return _other_prior(args, prior_told)
    if not args.truth:
        raise ConfigError(f"--prior {args.prior}: expected --truth, for the statistics of its forecasts' errors")
    saved, prior = np.load(folder / "climatology.npz"), load_file(folder / "prior.safetensors")
    emulator_network, emulator_told, emulator_path = _emulator(args.emulator)
    emulator = load_file(emulator_path)
    truths = [open_dataset(location, (args.grid[0], args.grid[1])) for location in args.truth]
    grid = truths[0].grid
    for other in truths:
        if other.grid.shape != grid.shape:
            raise BundleError(f"--truth: {truths[0].name} is on {grid.shape}, {other.name} on {other.grid.shape}")
    gaussian = GaussianPrior(grid, prior["gaussian.covariance"], prior["gaussian.rest"])
    degrees = min(args.emulator_grid)
    error, inflation = first_guess(gaussian, degrees), torch.zeros(degrees)
    card = Card(
        name=args.name,
        version=args.version,
        licence="Apache-2.0",
        world=args.world,
        description=args.description,
        channels=[c.name for c in DEFAULT_CHANNELS],
        analysis_grid=grid.shape,
        emulator_grid=tuple(args.emulator_grid),
        prior=NetworkCard(architecture="gaussian-unet", arguments=prior_told.pop("arguments")),
        emulator=emulator_network,
        training={"prior": prior_told, "emulator": emulator_told},
    )
    for number in range(args.rounds + 1):
        statics = Statics(
            climatology=saved["coefficients"],
            std=saved["std"],
            orography=saved["orography"],
            land=saved["land"],
            forecast_slope=error.slope.numpy(),
            forecast_error=error.covariance.numpy(),
            analysis_inflation=inflation.numpy(),
        )
        write_bundle(args.out, card, statics, prior, emulator, grid)
        bundle = _with_anomalies(open_bundle(str(args.out)))
        if number < args.rounds:
            found = calibrate(bundle, truths, args.days, args.members, _say, args.sites)
            error, inflation, share = found.statistics, found.inflation, round(found.share, 4)
            print(f"round {number + 1}: forecasts leave {share} of the climatological variance unknown", flush=True)
            told = " ".join(f"{value:.2f}" for value in inflation[1::5].tolist())
            print(
                f"  share of the Gaussian posterior's variance that members lack, every fifth degree: {told}",
                flush=True,
            )
            scores = {"forecast_error_share": share, "forecast_error_days": args.days}
            card = card.model_copy(update={"scores": scores})
    print(f"bundle {args.out}: {sum(f.stat().st_size for f in args.out.iterdir()) / 1e6:.1f} MB")
    return 0


def _with_anomalies(bundle: "Bundle") -> "Bundle":
    """The bundle with what its forecast error is in anomalies, where the prior knows other variables."""
    import torch

    from dacycle.cycler.assimilation.prior import load_prior
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.anomalies import Anomalies, as_array
    from dacycle.cycler.training.bundle import write_measured

    anomalies = Anomalies(load_prior(bundle), len(bundle.forecast_error))
    found = as_array(anomalies(torch.as_tensor(bundle.forecast_error)))
    if found is None:
        return bundle
    write_measured(bundle.path / "statics.nc", states_error_covariance=found)
    return open_bundle(str(bundle.path))


def _exchange(args: argparse.Namespace) -> int:
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.exchange import exchange

    bundle = open_bundle(args.prior)
    network, told, weights = _emulator(args.emulator)
    made = exchange(bundle, args.out, network, weights, _told(args, bundle, emulator=told))
    _measure(args, made)
    print(f"bundle {args.out}: {bundle.card.name} {bundle.card.version} with the emulator of {args.emulator}")
    return 0


def _keeps_climate(folder: Path, location: str) -> bool:
    """Whether the prior in ``folder`` was trained under the climatology of a bundle."""
    import numpy as np

    from dacycle.cycler.bundle import open_bundle

    saved, known = np.load(folder / "climatology.npz"), open_bundle(location).climatology
    pairs = (saved["coefficients"], known.coefficients), (saved["std"], known.std)
    return all(ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-5) for ours, theirs in pairs)


def _other_prior(args: argparse.Namespace, told: dict[str, Any]) -> int:
    from safetensors.torch import load_file

    from dacycle.cycler.bundle import NetworkCard, open_bundle
    from dacycle.cycler.training.exchange import exchange_prior

    bundle, folder = open_bundle(args.emulator), Path(args.prior)
    network = NetworkCard(architecture="gaussian-unet", arguments=told.pop("arguments"))
    weights, card = load_file(folder / "prior.safetensors"), _told(args, bundle, prior=told)
    made = exchange_prior(bundle, args.out, network, weights, card, anew=bool(args.truth))
    _measure(args, made)
    print(f"bundle {args.out}: {bundle.card.name} {bundle.card.version} with the prior of {folder}")
    return 0


def _measure(args: argparse.Namespace, made: "Bundle") -> None:
    """What the forecasts of a bundle with another part are wrong by, where there is a truth to measure it by."""
    from dacycle.cycler.training.dataset import open_dataset
    from dacycle.cycler.training.exchange import measure_errors

    truths = [open_dataset(location, made.grid.shape) for location in args.truth]
    for _ in range(args.rounds if truths else 0):
        made = measure_errors(made, truths, args.days, args.members, args.sites, _say)


def _told(args: argparse.Namespace, bundle: "Bundle", **part: dict[str, Any]) -> dict[str, Any]:
    """What the card says anew of a bundle one ``part`` of which is exchanged."""
    description = {"description": args.description} if args.description else {}
    return {"name": args.name, "version": args.version, "training": {**bundle.card.training, **part}, **description}


def _is_bundle(location: str) -> bool:
    return location == "default" or (Path(location) / "bundle.toml").exists()


def _say(text: str) -> None:
    print(text, flush=True)


def _emulator(location: str) -> "tuple[NetworkCard, dict[str, Any], Path]":
    """What it is, how it was trained, where its weights are."""
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.emulator_files import read_card

    if _is_bundle(location):
        bundle = open_bundle(location)
        return bundle.card.emulator, bundle.card.training.get("emulator", {}), bundle.path / "emulator.safetensors"
    network, told = read_card(Path(location))
    return network, {**told.pop("training", {}), **told}, Path(location) / "emulator.safetensors"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise BundleError(f"{path}: expected the result of `dacycle train`; {error}") from error
