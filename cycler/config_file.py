"""The configuration as it is read: a TOML file and the environment, and one line for whatever is wrong with them.

A key that does not exist is an error that names the nearest one that does. A variable ``DACYCLE_SECTION__KEY``
overrides the file, as ``DACYCLE_SERVICE__PORT=9000``.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dacycle.cycler.config import A_TIME, Config, model_of, tables
from dacycle.errors import ConfigError

__all__ = ["load_config"]

PREFIX = "DACYCLE_"
PLAIN = {
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
}


def load_config(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of that file (None: the defaults) and environment; ConfigError in one line."""
    label = str(path) if path is not None else "configuration"
    values = _read(path) if path is not None else {}
    origin: dict[tuple[str, str], str] = {}
    for name, section, key, text in _overrides(os.environ if environ is None else environ):
        origin[section, key] = name
        table = values.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{label}: {section}: expected a table, got {table!r}")
        table[key] = _parse(text)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        told = [_tell(details, label, origin) for details in error.errors(include_url=False)]
        raise ConfigError("; ".join(told[:3])) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "`dacycle config default > FILE` writes one"
        raise ConfigError(f"{path}: no such configuration file; {hint}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: expected a file, found a folder; is it {path / 'dacycle.toml'}?") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}{_hint(path, str(error))}") from None


def _hint(path: Path, error: str) -> str:
    """What a line wants that TOML stumbled over, where that can be told: it knows no times without minutes."""
    line = int(found[1]) if (found := re.search(r"at line (\d+)", error)) else 0
    told = path.read_text(encoding="utf-8").splitlines()[line - 1 : line]
    return f"; a time is written as {A_TIME}" if told and re.search(r"=\s*\d{4}-\d", told[0]) else ""


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator:
            yield name, section, key, text


def _parse(text: str) -> Any:
    """Lists and tables in TOML's notation; everything else is left to the key's type."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _tell(details: ErrorDetails, label: str, origin: Mapping[tuple[str, str], str]) -> str:
    """One validation error as ``file: key: expected, got``."""
    location = details["loc"]
    key = ".".join(str(part) for part in location)
    place = next((name for at, name in origin.items() if location[:2] == at), label)
    if details["type"] == "extra_forbidden":
        return f"{place}: unknown key {key}; {_nearest(location)}"
    if details["type"] == "missing":
        return f"{place}: {key}: expected a value, got none"
    message = PLAIN.get(details["type"]) or details["msg"].removeprefix("Value error, ").replace(
        "Input should be ", "expected "
    )
    if details["type"] in ("model_type", "model_attributes_type"):
        message = "expected a table"
    given = details["input"]
    told = "" if "got " in message else f", got {given.isoformat() if isinstance(given, date) else repr(given)}"
    return f"{place}: {key}: {message}{told}"


def _nearest(location: tuple[int | str, ...]) -> str:
    """What a misspelt key was probably meant to be: among its neighbours first, then anywhere."""
    model: type[BaseModel] = Config
    for part in location[:-1]:
        if isinstance(part, str):
            model = model_of(model.model_fields[part].annotation) or model
    wrong = str(location[-1])
    near = difflib.get_close_matches(wrong, model.model_fields, n=1, cutoff=0.6)
    if near:
        return f"did you mean {'.'.join([*map(str, location[:-1]), near[0]])}?"
    everywhere = [(section, key) for section, _, table in tables() for key in table.model_fields]
    far = difflib.get_close_matches(wrong, [key for _, key in everywhere], n=1, cutoff=0.6)
    if far:
        return f"did you mean {' or '.join(f'{section}.{key}' for section, key in everywhere if key == far[0])}?"
    nearest = max(model.model_fields, key=lambda name: difflib.SequenceMatcher(None, wrong, name).ratio())
    return f"the nearest known key is {nearest}, of {', '.join(model.model_fields)}"
