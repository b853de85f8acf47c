"""Colours whose steps look equally large: straight lines between anchors in Oklab (B. Ottosson, 2020).

Every palette gets lighter or darker steadily on each side of its middle, so it survives print and colour blindness.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["PALETTES", "palette"]

FloatArray = npt.NDArray[np.float64]

PALETTES: dict[str, tuple[str, ...]] = {
    "temperature": ("#1b1464", "#2a5caa", "#5ba3cf", "#b5dbe6", "#f6f3e4", "#f7c873", "#e8823a", "#c23b2e", "#6d0f26"),
    "height": ("#1d1147", "#3b3b8f", "#3572a8", "#3a9e9d", "#75c48d", "#cfe08a", "#fdf6bd"),
    "pressure": ("#412a5e", "#5a5fa8", "#7ea6cf", "#c9dbe4", "#f3ecdf", "#e3bd97", "#c07f6a", "#833c4c"),
    "wind": ("#fbfbf8", "#d5e6ec", "#9fc6de", "#6c97cb", "#6a62b3", "#7d2f8b", "#4e0d4d"),
    "humidity": ("#f8f1e3", "#e3d9ad", "#a9cc92", "#57b090", "#1f868c", "#1a5578", "#16264f"),
    "spread": ("#fbfaf6", "#f5e3c0", "#f0bd86", "#e08a6a", "#bd5563", "#843063", "#431a4f"),
    "change": ("#123a6f", "#3f7ab5", "#8fb9da", "#dce8ee", "#fbfaf8", "#f4dfd3", "#e2a588", "#bf5a4a", "#7a1530"),
}
"""Name -> anchors, evenly spaced. ``change`` is symmetric about a neutral middle."""

TO_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]])
TO_LMS = np.vstack([TO_LMS, [0.0883024619, 0.2817188376, 0.6299787005]])
TO_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]])
TO_LAB = np.vstack([TO_LAB, [0.0259040371, 0.7827717662, -0.8086757660]])


def palette(name: str, count: int) -> npt.NDArray[np.float32]:
    """(count, 3) colours, 0 to 255, along the palette of that name, its first and last anchor included."""
    anchors = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in PALETTES[name]]) / 255.0
    lab = np.cbrt(_linear(anchors) @ TO_LMS.T) @ TO_LAB.T
    at = np.linspace(0, len(anchors) - 1, count)
    mixed = np.stack([np.interp(at, np.arange(len(anchors)), lab[:, k]) for k in range(3)], -1)
    rgb = (mixed @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_LMS).T
    return (255.0 * _gamma(np.clip(rgb, 0.0, 1.0))).astype(np.float32)


def _linear(srgb: FloatArray) -> FloatArray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _gamma(linear: FloatArray) -> FloatArray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
