"""How many processes may check answers at the same time on one rank, so that all ranks together fit the machine.

Each rank of a distributed run has worker pools of its own: it checks its own completions, and nothing waits for
another rank's workers. The ranks of one machine divide its cores between them. `torchrun` and `accelerate launch`
say how many there are in `LOCAL_WORLD_SIZE`; without it this process is alone.
"""

from __future__ import annotations

import os


def share_of_cores() -> int:
    """Cores for this rank, at least 1: those of its launcher over the ranks of this machine, or its own if fewer.

    The launcher's are counted, not the rank's: ranks that are bound to cores of their own have their share already.

    Example:
        With 8 cores under `accelerate launch --num_processes 3` each rank has 2; under `--num_processes 16`, 1.
    """
    ranks = ranks_here()
    if ranks == 1:
        return _cores_of(0)
    return max(1, min(_cores_of(0), _cores_of(os.getppid()) // ranks))


def fitting_workers(asked: int) -> int:
    """The number of workers asked for; among several ranks on this machine at most `share_of_cores()`."""
    return asked if ranks_here() == 1 else min(asked, share_of_cores())


def ranks_here() -> int:
    """Ranks of this run on this machine, from `LOCAL_WORLD_SIZE`; 1 without it or with no number in it."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(told)) if told.isdecimal() else 1


def _cores_of(process: int) -> int:
    """Cores that a process may run on; 0 is this one."""
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return os.cpu_count() or 1
    try:
        return len(os.sched_getaffinity(process))
    except OSError:  # it is gone, or not ours to ask about
        return len(os.sched_getaffinity(0))
