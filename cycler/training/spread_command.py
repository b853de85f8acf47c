"""``dacycle train spread``: a bundle's analyses are cycled over worlds that no training saw, as the product cycles;
what is added to their members follows channel and place from then on, and published members have the errors' tails.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the factors and the tails found
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.inflation_factor import InflationFactor, Usual
from dacycle.cycler.bundle import NODES, Bundle
from dacycle.cycler.training.unseen_arguments import add_unseen_arguments, begin, some
from dacycle.errors import ConfigError

if TYPE_CHECKING:
    from dacycle.cycler.training.local_spread import Case

__all__ = ["Spread", "add_arguments", "judged", "run"]

FloatArray = npt.NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    told = "seeds of the networks: what is lacking differs with where soundings are; every world is seen by each"
    add_unseen_arguments(parser, days=24.0, networks=[99, 7], skip=8, told=told)
    told = "as many analyses as the bundle's own factors and tails, of other seasons, count for; 0: not at all"
    parser.add_argument("--known-analyses", type=int, default=0, metavar="N", help=told)
    told = (
        "with what power of the forecasts' level analyses' errors go, where few worlds say little of it; unset: found"
    )
    parser.add_argument("--level-power", type=float, metavar="POWER", help=told)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    from dacycle.cycler.assimilation.analysis import Settings
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.local_spread import Recording, cycled
    from dacycle.cycler.training.unseen_worlds import unseen_worlds
    from dacycle.emulators.registry import load_emulator

    bundle = begin(args)
    known = _known(bundle, args.known_analyses)
    analyst, emulator = Recording(bundle, Settings()), load_emulator(bundle)
    by_world: dict[str, list[Case]] = {}
    for unseen in unseen_worlds(args, bundle, emulator):
        seen = by_world.setdefault(unseen.nature.name, [])
        for case in cycled(unseen, analyst, args.skip):
            seen.append(case)
            print(f"{unseen.told}: {len(seen)} analyses of this world compared", flush=True)
    cases = [case for seen in by_world.values() for case in seen]
    some(args, len(cases))
    found = Spread.of(cases, args.level_power).beside(known)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"inflation_analyses": found.analyses})
    square, response = found.inflation.square, found.inflation.response
    measured = {"local_inflation": square, "inflation_response": response, "error_tails": found.tails}
    if (usual := found.inflation.usual) is not None:
        measured["error_level"] = np.array(astuple(usual), np.float32)
    write_measured(target / "statics.nc", **measured)
    for node, row in zip(NODES, np.sqrt(square), strict=True):
        told = "  ".join(f"{c.name} {factor:.2f}" for c, factor in zip(bundle.channels, row, strict=True))
        print(f"relative spread {node}: factor on what is added: {told}")
    print(
        "by the errors' size: " + "  ".join(f"{c.name} {k:.1f}" for c, k in zip(bundle.channels, response, strict=True))
    )
    if usual is not None:
        level = f"{np.exp(usual.log):.2f} of their variance at the soundings"
        print(f"forecasts' errors have {level}; analyses' follow with the power {usual.power:.2f}")
    print("tails: " + "  ".join(f"{c.name} {t:.2f}" for c, t in zip(bundle.channels, found.tails, strict=True)))
    print(*judged(by_world, known, args.level_power), f"bundle {target}", sep="\n")
    return 0


def judged(
    by_world: "Mapping[str, Sequence[Case]]", known: "Spread | None" = None, power: float | None = None
) -> Iterator[str]:
    """How far rank histograms of every world bend with what the others, and what is known, say: what to expect of the
    next one."""
    from dacycle.cycler.training.error_tails import bends

    for name, cases in by_world.items():
        others = [case for other, seen in by_world.items() if other != name for case in seen]
        rest = Spread.of(others, power).beside(known) if others else known
        if rest is not None:
            found = bends([case.sample for case in cases], rest.inflation, rest.tails)
            told = f"{found.mean():+.3f} on average, {np.abs(found).mean():.3f} in size"
            yield f"{name}, with what the other worlds say: rank histograms bend by {told}"


@dataclass(frozen=True)
class Spread:
    """What so many ``analyses`` say: the factor on what is added, and the ``tails`` (channels,)."""

    analyses: int
    inflation: InflationFactor
    tails: FloatArray

    @classmethod
    def of(cls, cases: "Sequence[Case]", power: float | None = None) -> "Spread":
        """``power`` of the level, found where it is not given. ValueError without a case."""
        from dacycle.cycler.training.error_tails import error_tails
        from dacycle.cycler.training.local_spread import inflation

        found = inflation(cases, power)
        return cls(len(cases), found, error_tails([case.sample for case in cases], found))

    def beside(self, known: "Spread | None") -> "Spread":
        """The mean of both, every analysis alike."""
        if known is None:
            return self
        analyses = self.analyses + known.analyses
        share = np.float32(self.analyses / analyses)

        def mean(new: FloatArray, old: FloatArray) -> FloatArray:
            return share * new + (1 - share) * old

        here, there = self.inflation, known.inflation
        usual = here.usual
        if here.usual and there.usual:
            usual = Usual(*(float(mean(*each)) for each in zip(astuple(here.usual), astuple(there.usual), strict=True)))
        both = InflationFactor(mean(here.square, there.square), mean(here.response, there.response), usual)
        return Spread(analyses, both, mean(self.tails, known.tails))


def _known(bundle: Bundle, analyses: int) -> Spread | None:
    if not analyses:
        return None
    inflation, tails = bundle.inflation, bundle.error_tails
    if analyses < 0 or inflation is None or tails is None:
        lacking = "" if tails is not None else ", which has none yet"
        told = f"expected how many analyses the factors and tails of {bundle.path} rest on{lacking}"
        raise ConfigError(f"--known-analyses {analyses}: {told}")
    return Spread(analyses, inflation, tails)
