"""Each member's own random numbers: from the seed, the cycle's time and the member's number alone."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import torch
from torch import Tensor

__all__ = ["MemberNoise"]


class MemberNoise:
    """Standard normal numbers of one member, counted from 1.

    Members 1 and 2, 3 and 4, ... have opposite signs (antithetic pairs): every member by itself is a draw of the same
    distribution, but what is linear in the noise cancels in the mean of a pair, so that the mean of few members, which
    the next forecast starts from, does not carry their sampling error from cycle to cycle. Another ``stream`` has other
    numbers.
    """

    def __init__(self, seed: int, time: datetime, member: int, stream: int = 0) -> None:
        key = [seed, int(time.timestamp()) // 3600, (member + 1) // 2, *([stream] if stream else [])]
        words = np.random.SeedSequence(key).generate_state(2, np.uint32)
        self._generator = torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        self._sign = 1.0 if member % 2 else -1.0

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers of the stream, as a tensor of that shape."""
        return self._sign * torch.randn(tuple(shape), generator=self._generator)
