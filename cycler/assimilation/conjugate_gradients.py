"""Linear systems that are only known by what they do to a vector, several right-hand sides side by side."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradients"]


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    r: Tensor,
    diagonal: Tensor,
    tolerance: float,
    guess: Tensor | None = None,
    limit: int = 200,
) -> Tensor:
    """Solve apply(z) = r for each row of ``r`` (m, n), preconditioned by ``diagonal`` (n,).

    Ends when every row's residual is no more than ``tolerance`` of what it was without the ``guess`` (m, n) to begin
    with, or after ``limit`` steps. ``apply`` symmetric and positive definite.
    """
    z = torch.zeros_like(r) if guess is None else guess
    if r.shape[1] == 0:
        return z
    enough = tolerance * r.norm(dim=1).clamp_min(1e-30)
    if guess is not None:
        r = r - apply(guess)
    p = r / diagonal
    rho = (r * p).sum(1, keepdim=True)
    for _ in range(limit):
        if bool((r.norm(dim=1) <= enough).all()):
            break
        q = apply(p)
        alpha = rho / (p * q).sum(1, keepdim=True).clamp_min(1e-30)
        z, r = z + alpha * p, r - alpha * q
        s = r / diagonal
        rho, previous = (r * s).sum(1, keepdim=True), rho
        p = s + rho / previous.clamp_min(1e-30) * p
    return z
