"""The configuration told: its JSON schema, and a commented default file made from the model."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from dacycle.cycler.config import Config, tables

__all__ = ["default_toml", "schema_json"]


def schema_json() -> str:
    """The JSON schema of the configuration."""
    return json.dumps(Config.model_json_schema(), indent=2)


def default_toml() -> str:
    """A file that sets every key to its default, each with what it means; an example where that is to set nothing."""
    lines = ["# Every key has a default; keep what you change. What is behind a # is unset and shows an example.", ""]
    for section, _, model in tables():
        lines.append(f"[{section}]")
        for key, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            unset = default is None or default is PydanticUndefined or default == ()
            example = field.examples[0] if field.examples else default
            told = f"{field.description}{_choice(field.annotation)}"
            entry = f"# {key} = {_toml(example)}" if unset else f"{key} = {_toml(default)}"
            if len(entry) > 60:
                lines += [f"# {told}:", entry]
            else:
                lines.append(f"{entry:<36} # {told}")
        lines.append("")
    return "\n".join(lines)


def _choice(annotation: Any) -> str:
    """What may be chosen from, where there is a choice."""
    if get_origin(annotation) is tuple:
        return _choice(get_args(annotation)[0]).replace("one of", "any of")
    values = get_args(annotation) if get_origin(annotation) is Literal else ()
    return f"; one of {', '.join(values)}" if len(values) > 1 else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, Path)):
        return json.dumps(str(value))
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
