"""``dacycle train prior``: nature runs -> climatology, Gaussian prior and residual network, in one folder.

climatology.npz       coefficients, std, orography, land
prior.pt              checkpoint of the training, resumed where it exists
prior.safetensors     the result
prior.json            arguments of the network, settings and validation scores
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.errors import DacycleError

__all__ = ["add_arguments", "run"]

RESPONSE_STATES, FLOW_SAMPLES = 80, 24
"""Of the validation days, for the response (``response.py``); drawn on some of their dates (``flow_response.py``)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--data", nargs="+", required=True, help="nature runs, or zarr stores, on one grid")
    parser.add_argument("--helpers", nargs="*", default=[], help="longer runs on coarser grids: their seasons help")
    parser.add_argument(
        "--climate-from", metavar="BUNDLE", help="keep a bundle's climatology and covariance, instead of new ones"
    )
    parser.add_argument(
        "--grid", nargs=2, type=int, default=[128, 256], metavar=("NLAT", "NLON"), help="of zarr stores"
    )
    parser.add_argument(
        "--initial",
        type=Path,
        help="prior.safetensors: its network alone is trained further; --widths may be multiples of its own",
    )
    parser.add_argument("--validation-days", type=float, default=15.0, help="end of each run, kept from training")
    told = (
        "runs of their own to judge by, instead of the ends of the others: their large scales cannot be known by heart"
    )
    parser.add_argument("--validation", nargs="*", default=[], metavar="RUN", help=told)
    told = "learn from the world reflected about the equator, too: twice as many days"
    parser.add_argument("--mirrored", action="store_true", help=told)
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; a checkpoint in it is resumed")
    parser.add_argument("--seconds", type=float, required=True, help="training time")
    parser.add_argument(
        "--no-balance", dest="balance", action="store_false", help="winds as they are, not what they are beyond balance"
    )
    told = "with --climate-from: fit the balance and the covariance of control variables anew all the same"
    parser.add_argument("--new-balance", action="store_true", help=told)
    parser.add_argument("--degrees", type=int, default=86, help="truncation of the Gaussian prior")
    parser.add_argument("--fold", type=int, default=2, help="pixels folded into channels, each way")
    parser.add_argument(
        "--widths",
        type=int,
        nargs="+",
        default=[64, 96, 192, 256],
        help="channels of each resolution, finest first; %(default)s unless given",
    )
    parser.add_argument(
        "--blocks", type=int, default=1, help="residual blocks per resolution and direction; %(default)s unless given"
    )
    parser.add_argument("--batch", type=int, default=8, help="states per step; %(default)s unless given")
    told = "parts in which a batch goes through the network: the same step in less memory"
    parser.add_argument("--accumulate", type=int, default=1, metavar="PARTS", help=told)
    parser.add_argument("--learning-rate", type=float, default=4e-3, help="at its highest; %(default)s unless given")
    parser.add_argument("--device", default="cpu", help="where the network is trained: cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to torch")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws; %(default)s unless given")
    parser.add_argument("--full-precision", action="store_true", help="train and run the network in float32")


def run(args: argparse.Namespace) -> int:
    """Train and write the folder; returns the exit code."""
    import torch
    from safetensors.torch import save_file

    from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior, static_features
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.balance import fit_balance, in_control
    from dacycle.cycler.training.device import training_device
    from dacycle.cycler.training.flow_response import fit_flow
    from dacycle.cycler.training.frames import estimate_gaussian, thinned
    from dacycle.cycler.training.mirror import Mirror
    from dacycle.cycler.training.prior import LEVELS, PriorSettings, begin_from, evaluate, train_prior
    from dacycle.cycler.training.prior_worlds import PriorWorlds
    from dacycle.cycler.training.response import fit_response

    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = training_device(args.device)
    if not 1 <= args.accumulate <= args.batch:
        raise DacycleError(f"--accumulate {args.accumulate}: expected 1 to {args.batch} parts of a --batch of so many")
    args.out.mkdir(parents=True, exist_ok=True)
    given = args.data, args.validation, args.helpers
    worlds = PriorWorlds.opened(*given, args.validation_days, (args.grid[0], args.grid[1]))
    first, bundle = worlds.runs[0], open_bundle(args.climate_from) if args.climate_from else None
    climatology = worlds.climatology(bundle)
    np.savez(
        args.out / "climatology.npz",
        coefficients=climatology.coefficients,
        std=climatology.std,
        orography=first.orography,
        land=first.land,
    )
    print(f"climatology of {args.climate_from}" if bundle else "climatology fitted", flush=True)
    training, validation = worlds.training(climatology), worlds.validation(climatology)
    known = load_prior(bundle) if bundle else None
    degrees = len(known.climate.covariance) if known else args.degrees
    states = known.climate if known else estimate_gaussian(training, first.grid, degrees)
    gaussian, balance = states, None
    if args.balance:
        balance = known.balance if known and not args.new_balance else None
        names = [channel.name for channel in DEFAULT_CHANNELS]
        fitted = balance is not None
        balance = balance or fit_balance(training, first.grid, names, climatology.std, degrees)
        training, validation = in_control(training, balance), in_control(validation, balance)
        gaussian = known.gaussian if known and fitted else estimate_gaussian(training, first.grid, degrees)
    print(f"{len(training)} frames for training, {len(validation)} for validation", flush=True)
    network = {
        "fold": args.fold,
        "widths": args.widths,
        "blocks": args.blocks,
        "low_precision": not args.full_precision,
        "winds": args.balance,
        "place": True,
    }
    features = static_features(first.grid, first.orography, first.land)
    prior = DiffusionPrior(gaussian, features, **network, balance=balance, states=states if balance else None)
    if args.initial:
        begin_from(prior, args.initial)
    prior.to(device)
    settings = PriorSettings(args.seconds, args.batch, args.accumulate, args.learning_rate, seed=args.seed)
    mirror = Mirror(prior, DEFAULT_CHANNELS) if args.mirrored else None
    prior = train_prior(prior, training, validation, settings, args.out / "prior.pt", _progress, mirror)
    prior.response = fit_response(prior, thinned(validation, RESPONSE_STATES)).to(device)
    prior.response = fit_flow(prior, thinned(training, FLOW_SAMPLES).season)  # all the year, as the climate is
    save_file({k: v.detach().cpu().contiguous() for k, v in prior.state_dict().items()}, args.out / "prior.safetensors")
    ratios = evaluate(prior, validation)
    scores = {f"{level:g}": round(ratio, 4) for level, ratio in zip(LEVELS, ratios, strict=True)}
    told = {
        "arguments": network,
        "climate_from": args.climate_from,
        "degrees": len(gaussian.covariance),
        "seconds": args.seconds,
        "batch": args.batch,
        "frames": len(training),
        "mirrored": args.mirrored,
        "initial": args.initial and args.initial.name,
        **worlds.told(),
        "validation_mse_relative_to_gaussian": scores,
    }
    (args.out / "prior.json").write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(scores))
    return 0


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
