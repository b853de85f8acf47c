"""What an operator may want to do about a line of the log; most lines need nothing."""

import re

__all__ = ["advice"]

ADVICE: tuple[tuple[str, str, str], ...] = (
    (r"the source cannot be read", "Nothing is lost: it is asked again. Check network and location.", "sourcestale"),
    (
        r"source has no soundings",
        "Set [cycle] first, or check [source] location with dacycle doctor.",
        "noobservations",
    ),
    (r" waits: ", "Nothing to do: it goes on when soundings arrive.", "noobservations"),
    (r" failed: ", "It is tried again by itself, then the cycle goes on with the forecast.", "cyclefailed"),
    (r" expired: ", "Too old to catch up with. To have them all the same: dacycle backfill.", "cyclelate"),
    (r"was interrupted", "Nothing to do: finished stages are not done again.", ""),
    (
        r"free forecast",
        "If soundings come later, the cycle is rerun by itself within the window.",
        "freeforecaststreak",
    ),
    (r"clock jumped", "Check the machine's time synchronisation; cycles go on by themselves.", ""),
    (r"damaged and repaired", "Check the disk; the damaged ledger was kept beside the new one.", "down"),
    (r"damaged; they were made anew", "Nothing was lost; if it happens again, check the disk.", ""),
    (r"no backup of the ledger", "Make room or mend the folder; it is tried again.", "disklow"),
    (r"soundings in \d+ cycles in a row", "Check the source with dacycle doctor; it may have moved.", "noobservations"),
    (r"configuration stays as it was", "Mend the file, check it with dacycle doctor, send SIGHUP again.", ""),
    (r"\d+ problems, the first", "Some files could not be read; the others were used.", "sourcestale"),
    (r"early stream stopped", "The delayed cycle is not affected; it is tried again within half an hour.", ""),
    (r"(disk is|no space|GB free|MB free)\b", "Make room, or set [products] retention_days.", "disklow"),
    (r"contradicts the soundings", "The cycle helps itself. If it comes again, look at O-B.", "omboutofrange"),
    (r"stand out in", "The forecast is at fault: look at O-B and the increment's map.", "omboutofrange"),
    (r"waits for the cluster", "Start scheduler and workers, see [ensemble] address; no try is counted.", "cyclelate"),
    (r"goes on without soundings", "Check the source; soundings that come later still count.", "sourcestale"),
    (r"version \d+ stays", "Nothing is lost. When the reason is mended: dacycle rerun TIME.", "cyclefailed"),
    (r"archive .* brought up to date", "Mend what it says; the next cycle makes up for what is missing.", ""),
    (r"could not be removed", "Check the folder's owner and permissions; it is tried again.", "disklow"),
    (r"model observations:", "The cycle goes on without that field: check [[assimilation.model_observations]].", ""),
    (r"read-only or not ours|directory .* cannot be read", "Check mount, owner and permissions.", "disklow"),
    (r"asked.*: refused", "Nothing was changed; the answer says what would be possible.", ""),
    (r"blacklist", "The station is used again by itself when its departures are normal.", "highrejection"),
)
"""Pattern -> what to do, and the runbook's entry; the first that is found counts."""


def advice(text: str) -> tuple[str, str]:
    """What to do, and the runbook's entry; both empty where nothing is to be done."""
    return next(((told, entry) for pattern, told, entry in ADVICE if re.search(pattern, text)), ("", ""))
