"""A launcher with two cores at most, and two ranks under it with a worker pool each.

Prints a line for each rank: the number of worker processes of its pool but the spare. `python rank_pool.py RANKS`.
"""

import os
import subprocess
import sys

import psutil


def rank():
    """One rank: a pool asked for four workers, counted once it has answered."""
    from trl_rlsp.verification import WorkerPool

    with WorkerPool("time:sleep", workers=4) as pool:
        assert [reply.outcome for reply in pool.run([0.5] * 8, limit=20)] == ["value"] * 8
        server = [child for child in psutil.Process().children() if "fork_server" in " ".join(child.cmdline())]
        print(sum(len(process.children()) for process in server), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        rank()
    else:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
        environment = {**os.environ, "LOCAL_WORLD_SIZE": sys.argv[1]}
        ranks = [subprocess.Popen([sys.executable, __file__], env=environment) for _ in range(int(sys.argv[1]))]
        raise SystemExit(max(process.wait() for process in ranks))
