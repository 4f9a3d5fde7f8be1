"""The evidence experiment: every arm with every seed, from one starting model, at one budget of sampled tokens.

python experiments/countdown/run.py                      # what is missing of the grid
python experiments/countdown/run.py --tune               # first: a learning rate for each arm
python experiments/countdown/run.py --summarize          # results, plots and docs from the finished runs
python experiments/countdown/run.py --many               # pass@k to 256 of the finished runs of the first seed
python experiments/countdown/run.py --config experiments/countdown/gpu.yaml
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE.parent),) if path not in sys.path]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "grid.yaml", help="the experiment's file")
    parser.add_argument("--arms", help="only these arms, separated by commas")
    parser.add_argument("--seeds", help="only these seeds, separated by commas")
    parser.add_argument("--output", type=Path, help="folder of the runs; default runs/experiments/NAME")
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time")
    parser.add_argument("--tune", action="store_true", help="choose a learning rate for each arm")
    parser.add_argument("--summarize", action="store_true", help="run nothing, write results, plots and docs")
    parser.add_argument("--many", action="store_true", help="pass@k to 256 of finished runs, default seed: the first")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; the number of failed runs, at most 1, is the exit status."""
    from countdown import schedule
    from countdown.grid import load_grid
    from trl_rlsp.errors import RLSPError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    given = parse(arguments)
    try:
        grid = load_grid(given.config)
        if given.one:
            schedule.run_one(grid, Path(given.one))
            return 0
        output = (given.output or grid.default_output).resolve()
        arms = given.arms.split(",") if given.arms else None
        seeds = [int(seed) for seed in given.seeds.split(",")] if given.seeds else None
        if given.summarize:
            schedule.summarize(grid, output)
            return 0
        if given.many:
            schedule.count_many(grid, output, arms=arms, seeds=seeds)
            return 0
        work = schedule.tune if given.tune else schedule.run_grid
        return min(work(grid, output, arms=arms, seeds=seeds, workers=given.workers), 1)
    except RLSPError as error:
        if given.one:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
