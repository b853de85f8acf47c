"""``dacycle train local-errors``: a bundle's analyses are cycled over worlds that no training saw, as the product
cycles, and from then on forecasts are believed, place by place, by how much their members differ. What they are wrong
by over the whole globe, which other methods take, is measured anew by the way.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the statistics found
"""

import argparse
from functools import reduce
from operator import add

from dacycle.cycler.bundle import NODES
from dacycle.cycler.training.unseen_arguments import add_unseen_arguments, begin, some

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_unseen_arguments(parser, days=16.0, networks=[99], skip=6, told="seeds of the networks")


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    import torch

    from dacycle.cycler.assimilation.analysis import Analyst, Settings
    from dacycle.cycler.training.anomalies import Anomalies, as_array
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.forecast_error import statistics_of
    from dacycle.cycler.training.local_cycle import Pair, followed, with_local_statistics
    from dacycle.cycler.training.unseen_worlds import unseen_worlds
    from dacycle.emulators.registry import load_emulator

    bundle = begin(args)
    analyst, emulator = Analyst(bundle, Settings()), load_emulator(bundle)
    anomalies, pairs = Anomalies(analyst.prior, len(bundle.forecast_error)), list[Pair]()
    for unseen in unseen_worlds(args, bundle, emulator):
        for pair in followed(unseen, analyst, anomalies, args.skip):
            pairs.append(pair)
            print(f"{unseen.told}: {len(pairs)} forecasts compared", flush=True)
    some(args, len(pairs))
    total = reduce(add, pairs)
    found = with_local_statistics(bundle, analyst, total, anomalies)
    globe = statistics_of(analyst.prior.gaussian, total.globe, len(pairs))
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"local_error_forecasts": len(pairs)})
    assert found.local_slope is not None
    assert found.local_error is not None
    measured = {"local_slope": found.local_slope, "local_error_covariance": found.local_error}
    measured |= {"forecast_slope": globe.slope.numpy(), "forecast_error_covariance": globe.covariance.numpy()}
    if (states := as_array(anomalies(globe.covariance))) is not None:
        measured["states_error_covariance"] = states
    if found.states_local_error is not None:
        measured["states_local_error_covariance"] = found.states_local_error
    write_measured(target / "statics.nc", **measured)
    modes = 2 * torch.arange(found.local_error.shape[1]) + 1
    climate = torch.einsum("l,lcc->c", modes.float(), analyst.prior.gaussian.covariance[: len(modes)])
    for node, error in zip(NODES, found.local_error, strict=True):
        share = torch.einsum("l,lcc->c", modes.float(), torch.as_tensor(error)) / climate
        told = "  ".join(f"{c.name} {float(s):.2f}" for c, s in zip(bundle.channels, share, strict=True))
        print(f"relative spread {node}: unknown of the climate's variance: {told}")
    print(f"bundle {target}")
    return 0
