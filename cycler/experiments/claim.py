"""Whose folder it is: what an experiment was begun with stands beside its results; no other one goes on in it."""

import json
from pathlib import Path
from typing import Any

from dacycle.cycler.products.atomic import write_text
from dacycle.errors import DacycleError

__all__ = ["claim"]


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Say what the folder's experiment is; DacycleError where another one lies there."""
    path = out / "settings.json"
    text = json.dumps(settings, indent=1) + "\n"
    if path.is_file():
        before, now = json.loads(path.read_text()), json.loads(text)
        if before != now:
            changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            raise DacycleError(f"{out} holds an experiment with another {', '.join(changed)}; choose another --out")
        return
    write_text(path, text)
