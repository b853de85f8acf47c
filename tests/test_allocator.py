"""What is freed is kept, then given back: counted in page faults and resident pages of a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from dacycle.cycler.allocator import give_back_freed_memory, keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def resident():
    return int(open("/proc/self/statm").read().split()[1])

def work():
    for _ in range(20):
        np.ones(6_000_000).sum()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before, faults_before = resident(), faults()
thread = threading.Thread(target=work)
thread.start()
thread.join()
kept, needed = resident() - before, faults() - faults_before
give_back_freed_memory()
print(needed, kept, resident() - before)
"""


def counted(how: str) -> tuple[int, int, int]:
    """Page faults, pages kept after the last array was freed, pages kept after giving back."""
    told = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout
    faults, kept, rest = map(int, told.split())
    return faults, kept, rest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_arrays_are_made_in_pages_that_are_there_already_and_given_back_in_the_end() -> None:
    faults, kept, rest = counted("keep")
    assert faults < counted("leave")[0] / 4
    assert kept > 10_000  # one array of 48 MB is 11,719 pages
    assert rest < 2_000
