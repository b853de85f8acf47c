"""Where a product comes from: everything that decides its bytes, and nothing of the clock."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.cycler.products.issuer import NOBODY, UNSTATED, Issuer

__all__ = ["Provenance", "extent", "global_attributes", "stamp", "vertical_extent"]


@dataclass(frozen=True)
class Provenance:
    """What made a cycle's states.

    ``world`` is "simulated" or the reanalysis that the bundle was trained on; ``inputs`` maps the name of each input
    (an archive file, the previous analysis) to its sha256; ``background`` is "forecast" or "none".
    """

    bundle: str
    bundle_digest: str
    world: str
    version: str
    method: str
    seed: int
    members: int
    chunk: int
    threads: int
    config_digest: str
    background: str
    inputs: Mapping[str, str]
    issuer: Issuer = NOBODY

    @property
    def inputs_digest(self) -> str:
        """sha256 over names and hashes of the inputs, in the order of their names."""
        return hashlib.sha256(json.dumps(sorted(self.inputs.items())).encode()).hexdigest()


def stamp(time: datetime) -> str:
    """ISO 8601 with a Z, to the second."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def global_attributes(
    provenance: Provenance, title: str, summary: str, nominal: datetime, first: datetime, last: datetime
) -> dict[str, Any]:
    """The attributes that CF 1.11 and ACDD 1.3 ask for; ``first`` and ``last`` are what the data cover.

    Every date is nominal. A creation date taken from the clock would make the same cycle's files differ.
    """
    issuer = provenance.issuer
    worlds = {"simulated": "The bundle was trained on a simulated atmosphere. "}
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": summary,
        "keywords": "EARTH SCIENCE > ATMOSPHERE, data assimilation, ensemble, analysis",
        "keywords_vocabulary": "GCMD Science Keywords",
        "standard_name_vocabulary": "CF Standard Name Table",
        "id": f"dacycle-{provenance.bundle}-{nominal:%Y%m%d%H}",
        "naming_authority": issuer.naming_authority,
        "history": f"{stamp(nominal)} dacycle {provenance.version} (nominal time: that of the cycle)",
        "source": f"dacycle {provenance.version}, method {provenance.method}, bundle {provenance.bundle}",
        "processing_level": "4: model output constrained by observations",
        "comment": f"{worlds.get(provenance.world, '')}All dates derive from the cycle, none from a clock.",
        "acknowledgment": "Observations: Integrated Global Radiosonde Archive, NOAA NCEI, where the inputs say so",
        "license": issuer.licence,
        "date_created": stamp(nominal),
        "date_modified": stamp(nominal),
        "date_issued": stamp(nominal),
        "date_metadata_modified": stamp(nominal),
        "institution": issuer.institution,
        "creator_name": issuer.name,
        "creator_type": "group",
        "creator_institution": issuer.institution,
        "creator_email": issuer.email,
        "creator_url": issuer.url,
        "publisher_name": issuer.name,
        "publisher_type": "group",
        "publisher_institution": issuer.institution,
        "publisher_email": issuer.email,
        "publisher_url": issuer.url,
        "contributor_name": UNSTATED,
        "contributor_role": UNSTATED,
        "project": "dacycle",
        "program": UNSTATED,
        "product_version": provenance.version,
        "references": "ARCHITECTURE.md of dacycle",
        "platform": "radiosondes",
        "platform_vocabulary": "GCMD Platforms",
        "instrument": "radiosondes",
        "instrument_vocabulary": "GCMD Instruments",
        "time_coverage_start": stamp(first),
        "time_coverage_end": stamp(last),
        "time_coverage_duration": f"PT{int((last - first).total_seconds())}S",
        "dacycle_bundle": provenance.bundle,
        "dacycle_bundle_sha256": provenance.bundle_digest,
        "dacycle_world": provenance.world,
        "dacycle_version": provenance.version,
        "dacycle_method": provenance.method,
        "dacycle_seed": str(provenance.seed),
        "dacycle_members": str(provenance.members),
        "dacycle_chunk": str(provenance.chunk),
        "dacycle_threads": str(provenance.threads),
        "dacycle_config_sha256": provenance.config_digest,
        "dacycle_background": provenance.background,
        "dacycle_inputs_sha256": provenance.inputs_digest,
        "dacycle_inputs": "\n".join(f"{digest}  {name}" for name, digest in sorted(provenance.inputs.items())),
    }


def extent(lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64]) -> dict[str, Any]:
    """ACDD's attributes of the area that the points (degrees) cover; empty without points."""
    if not len(lat):
        return {}
    south, north, west, east = (float(x) for x in (lat.min(), lat.max(), lon.min(), lon.max()))
    corners = ((south, west), (south, east), (north, east), (north, west), (south, west))
    return {
        "geospatial_bounds": "POLYGON ((" + ", ".join(f"{y:.4f} {x:.4f}" for y, x in corners) + "))",
        "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_lat_min": south,
        "geospatial_lat_max": north,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
    }


def vertical_extent(levels: npt.NDArray[np.float64], units: str, positive: str, datum: str) -> dict[str, Any]:
    """ACDD's attributes of the levels that the data cover; empty without levels."""
    if not len(levels):
        return {}
    return {
        "geospatial_vertical_min": float(levels.min()),
        "geospatial_vertical_max": float(levels.max()),
        "geospatial_vertical_units": units,
        "geospatial_vertical_positive": positive,
        "geospatial_bounds_vertical_crs": datum,
    }
