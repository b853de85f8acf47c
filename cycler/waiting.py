"""How the threads of one computation wait for each other: awake for a moment, then asleep.

torch's OpenMP (libgomp) lets a thread that has nothing to do yet look for work a few hundred thousand times. Where
another program has one of the processors, the thread that is waited for does not run meanwhile: members that take 40 s
with the waiting kept short took 183 s and more beside two busy programs on two processors, and a limit on CPU time, as
Kubernetes sets it, is used up by waiting. On an otherwise idle machine the short wait costs 6 per cent.
"""

import os

__all__ = ["wait_briefly"]

ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}
_CHOSEN_ELSEWHERE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def wait_briefly() -> None:
    """Ask for it, before torch is loaded; what the environment says of it already stays. Processes that are started
    later have it, too."""
    if not any(name in os.environ for name in _CHOSEN_ELSEWHERE):
        os.environ.update(ENVIRONMENT)
