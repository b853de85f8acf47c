"""manifest.json: what a product folder holds, what made it, and the hashes that prove both.

It is written last, so a folder with a manifest is complete. Clock times stand in ``runtime`` alone; without that
section a rerun gives the same manifest.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from dacycle.cycler.products.atomic import Artefact, describe, write_text
from dacycle.cycler.products.folders import Stream
from dacycle.cycler.products.provenance import Provenance
from dacycle.errors import ProductError

__all__ = ["MANIFEST", "BundleName", "FileRecord", "Manifest", "read_manifest", "verify", "write_manifest"]

MANIFEST = "manifest.json"


class FileRecord(BaseModel):
    """One product file."""

    model_config = ConfigDict(frozen=True)
    sha256: str
    bytes: int


class BundleName(BaseModel):
    """The model bundle in use."""

    model_config = ConfigDict(frozen=True)
    name: str
    digest: str
    world: str


class Manifest(BaseModel):
    """The content of ``manifest.json``; keys of a later dacycle are ignored."""

    model_config = ConfigDict(frozen=True)
    format: Literal[1] = 1
    time: str = Field(description="analysis time, as 2005-08-26T00:00:00Z")
    stream: Stream
    revision: int = Field(ge=1, description="1, and one more for every rerun that changed something")
    version: str
    bundle: BundleName
    method: str
    seed: int
    members: int
    chunk: int
    threads: int
    config_digest: str
    background: str
    clipped: dict[str, dict[str, int]] = Field(
        description="file stem -> channel -> values at a physical limit, to which they were raised"
    )
    products: dict[str, FileRecord]
    runtime: dict[str, JsonValue] = {}
    inputs: dict[str, str] = Field(description="name -> sha256; hundreds of soundings' files, hence the last")

    def same_products(self, other: "Manifest") -> bool:
        """Whether both promise the same bytes from the same makings; revision and runtime aside."""
        apart = {"revision", "runtime"}
        return self.model_dump(exclude=apart) == other.model_dump(exclude=apart)

    @classmethod
    def of(
        cls,
        provenance: Provenance,
        products: list[Artefact],
        *,
        time: str,
        stream: Stream,
        revision: int,
        clipped: Mapping[str, Mapping[str, int]],
        runtime: Mapping[str, Any],
    ) -> "Manifest":
        """The manifest of files that are already written; ProductError where ``runtime`` is no JSON."""
        try:
            return cls(
                time=time,
                stream=stream,
                revision=revision,
                version=provenance.version,
                bundle=BundleName(name=provenance.bundle, digest=provenance.bundle_digest, world=provenance.world),
                method=provenance.method,
                seed=provenance.seed,
                members=provenance.members,
                chunk=provenance.chunk,
                threads=provenance.threads,
                config_digest=provenance.config_digest,
                background=provenance.background,
                inputs=dict(sorted(provenance.inputs.items())),
                clipped={stem: dict(counts) for stem, counts in clipped.items()},
                products={file.path.name: FileRecord(sha256=file.sha256, bytes=file.bytes) for file in products},
                runtime=dict(runtime),
            )
        except ValidationError as error:
            raise ProductError(f"the manifest of {time} cannot be made: {_first(error)}") from error


def write_manifest(folder: Path, manifest: Manifest) -> Artefact:
    """``manifest.json`` in ``folder``."""
    return write_text(folder / MANIFEST, json.dumps(manifest.model_dump(), indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, None without one; ProductError where it cannot be understood."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise ProductError(f"{path} is not a manifest of dacycle: {_first(error)}") from error


def verify(folder: Path) -> tuple[str, ...]:
    """What is wrong with a product folder, one line each; nothing when every file is there with its hash."""
    try:
        manifest = read_manifest(folder)
    except ProductError as error:
        return (str(error),)
    if manifest is None:
        return (f"{folder} has no {MANIFEST}",)
    problems = []
    for name, expected in manifest.products.items():
        try:
            found = describe(folder / name)
        except OSError as error:
            problems.append(f"{folder / name}: {error.strerror}")
            continue
        if (found.bytes, found.sha256) != (expected.bytes, expected.sha256):
            problems.append(
                f"{folder / name}: expected {expected.bytes} bytes with sha256 {expected.sha256}; "
                f"got {found.bytes} with {found.sha256}"
            )
    return tuple(problems)


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'content'}: {detail['msg']}"
