"""A worker's heap is kept while a piece of work lasts, and given back when it ends."""

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource
import numpy as np
from cluster.heap import kept_heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        sum(np.ones(1_000_000) for _ in range(3))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

faults()
before_mb, usual = held_mb(), faults()
with kept_heap():
    faults()
    kept = faults()
    kept_mb = held_mb()
print(usual, kept, kept_mb - before_mb, held_mb() - before_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_memory_that_is_freed_is_at_hand_until_the_block_ends() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
    usual, kept, kept_mb, left_mb = map(float, done.stdout.split())
    assert kept < usual / 10
    assert left_mb < kept_mb / 2
