"""Where networks are trained."""

import torch

from dacycle.errors import DacycleError

__all__ = ["training_device"]


def training_device(name: str) -> torch.device:
    """The device that torch calls so; DacycleError where it is not there."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch has both, for no such name, no driver and no such build
        told = str(error).splitlines()[0]
        expected = f"expected cpu, or cuda or cuda:N with a GPU that torch {torch.__version__} sees"
        raise DacycleError(f"--device {name}: {expected}; {told}") from error
