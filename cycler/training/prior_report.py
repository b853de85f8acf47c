"""The evaluation of a prior as text for people."""

from typing import Any

from dacycle.cycler.bundle import Bundle

__all__ = ["report"]

SCALES = {"sp": (0.01, "hPa"), "q": (1000.0, "g/kg")}


def report(bundle: Bundle, result: dict[str, Any]) -> str:
    """Markdown: denoising error, samples, super-resolution."""
    levels = result["denoising"]
    lines = [
        f"# Prior of the bundle {result['bundle']}, on {result['data']} ({result['world']} world)\n",
        "Denoising mean square error relative to the closed-form Gaussian prior's, per noise level:\n",
        "| | " + " | ".join(levels) + " |",
        "|" + "---|" * (len(levels) + 1),
        _row("of normalised anomalies", levels),
        _row("of the prior's own variables", result["denoising_of_variables"]) + "\n",
    ]
    return (
        "\n".join([*lines, *_samples(result["samples"]), *_super_resolution(bundle, result["super_resolution"])]) + "\n"
    )


def _row(name: str, ratios: dict[str, float]) -> str:
    return f"| {name} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios.values()) + " |"


def _samples(told: dict[str, Any] | None) -> list[str]:
    if told is None:
        return []
    bands = told["spectra"]
    lines = [
        f"{told['count']} unconditional samples: zonal energy relative to truth on the same dates (least to most\n"
        "over the wavenumbers), distance of the marginal histograms (0 equal, 1 disjoint), step across longitude 0\n"
        "relative to other neighbours (truth in brackets).\n",
        "| channel | " + " | ".join(f"wavenumbers {band}" for band in bands) + " | histogram | seam |",
        "|" + "---|" * (len(bands) + 3),
    ]
    for name, distance in told["histogram_distance"].items():
        ranges = " | ".join(f"{band[name][0]:.2f} to {band[name][1]:.2f}" for band in bands.values())
        lines.append(
            f"| {name} | {ranges} | {distance:.3f} | {told['seam'][name]:.2f} ({told['seam_of_truth'][name]:.2f}) |"
        )
    lines += ["", *(_agreement(band, told["count"], shares) for band, shares in told["agreement"].items())]
    ours, theirs = (told["geostrophic_correlation"][key] for key in ("samples", "truth"))
    lines.append(
        "\nCorrelation of the wind at 500 hPa with the geostrophic wind of z500 (truth in brackets):"
        f" u {ours[0]:.3f} ({theirs[0]:.3f}), v {ours[1]:.3f} ({theirs[1]:.3f}).\n"
    )
    return lines


def _agreement(band: str, count: int, shares: dict[str, float]) -> str:
    """What of the spectra is as it should be; no sample can be asked to agree better than truth does with itself."""
    other = f"; {count} true states of another run: {shares['beside']:.0%}" if "beside" in shares else ""
    return (
        f"Wavenumbers {band}, within a factor {shares['factor']:g} of truth: {shares['samples']:.0%} over all channels;"
        f" {count} true states of the run's first half against {count} of its second: {shares['truth']:.0%}{other}.\n"
    )


def _super_resolution(bundle: Bundle, told: dict[str, Any] | None) -> list[str]:
    if told is None:
        return []
    lines = [
        f"Super-resolution: truth seen by {told['operator']} only; {told['dates']} dates, {told['members']} members.\n"
        "RMSE, mean and standard deviation over the dates; zonal energy of each member over the dates relative to\n"
        "truth's, least to most over members and wavenumbers:\n",
        "| channel | unit | cubic interpolation | Gaussian prior | prior | prior / cubic | wavenumbers 1-40 |",
        "|---|---|---|---|---|---|---|",
    ]
    for channel in bundle.channels:
        factor, unit = SCALES.get(channel.variable, (1.0, channel.units))
        row = told["rmse"][channel.name]
        cells = [f"{factor * mean:.3g} ± {factor * std:.2g}" for mean, std in row.values()]
        least, most = told["spectra_1_40"][channel.name]
        share = row["prior"][0] / row["cubic"][0]
        lines.append(f"| {channel.name} | {unit} | {' | '.join(cells)} | {share:.2f} | {least:.2f} to {most:.2f} |")
    shares = told["agreement"]
    lines.append(f"\nMembers within a factor {shares['factor']:g} of truth there: {shares['members']:.1%} of all.")
    return lines
