"""Which runs there are, which are done, and the processes that do the rest.

A run is complete when its folder holds a `result.json` with the fingerprint of the present settings; anything else
is run again from its start. A run that fails leaves `failed.json` with the reason; the others go on.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from countdown.runner import RESULT, Run
from countdown.start import environment, identity, start_model
from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from countdown.grid import Grid

logger = logging.getLogger(__name__)

FAILED, TASK, LOG = "failed.json", "run.json", "run.log"


def reported_runs(grid: Grid, output: Path, start: str) -> list[Run]:
    """Every run of the grid, seed by seed, so that an early stop leaves all arms with equally many seeds."""
    runs = []
    for seed in grid.seeds:
        for arm in grid.arms.values():
            rate, _ = grid.rate(arm)
            print_of = grid.fingerprint(arm, rate, grid.budget, start)
            folder = output / f"{arm.name}-seed{seed}"
            runs.append(Run(arm.name, seed, "test", rate, grid.budget, output / "start", folder, print_of))
    return runs


def tuning_runs(grid: Grid, output: Path, start: str) -> list[Run]:
    """One run of each trained arm for each learning rate and tuning seed, on the validation problems."""
    settings = grid.learning_rates
    budget = max(1, round(grid.budget * settings["share_of_budget"]))
    runs = []
    for seed, arm, rate in product(settings["seeds"], grid.arms.values(), settings["tried"]):
        if arm.train:
            print_of = grid.fingerprint(arm, rate, budget, start)
            folder = output / "tuning" / f"{arm.name}-lr{rate:g}-seed{seed}"
            runs.append(Run(arm.name, seed, "validation", rate, budget, output / "start", folder, print_of))
    return runs


def complete(run: Run) -> bool:
    """Whether the run is done under the present settings."""
    try:
        return bool(json.loads((run.folder / RESULT).read_text(encoding="utf-8"))["fingerprint"] == run.fingerprint)
    except (OSError, ValueError, KeyError):
        return False


def failure(run: Run) -> str | None:
    """Why the run failed under the present settings, if it did."""
    try:
        found = json.loads((run.folder / FAILED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found["reason"]) if found["fingerprint"] == run.fingerprint else None


def run_grid(grid: Grid, output: Path, *, arms: Any = None, seeds: Any = None, workers: int = 1) -> int:
    """Do the runs of the grid that are not complete; results are rewritten after each.

    Args:
        grid: the experiment.
        output: folder of the runs.
        arms: only these; default all.
        seeds: only these; default all.
        workers: runs at the same time.

    Returns:
        Number of runs that failed.

    Raises:
        ConfigError: an arm or seed that the grid does not have, or SFT of the starting model failed.
    """
    _check_known(grid.arms, arms, "arm")
    _check_known(grid.seeds, seeds, "seed")
    start = identity(start_model(grid, output))
    runs = [r for r in reported_runs(grid, output, start) if r.arm in (arms or grid.arms)]
    failed = execute_all(
        grid, [r for r in runs if r.seed in (seeds or grid.seeds)], workers, lambda: write_results(grid, output)
    )
    summarize(grid, output)
    return failed


def tune(grid: Grid, output: Path, *, arms: Any = None, seeds: Any = None, workers: int = 1) -> int:
    """Try each learning rate with each arm and keep the one with the best mean validation pass@1.

    Raises:
        ConfigError: an arm that the grid does not have, seeds, which tuning does not take, or a grid that takes its
            rates from another one.
    """
    from countdown.tuning import write_rates

    _check_known(grid.arms, arms, "arm")
    if "tuned_for" in grid.learning_rates:
        raise ConfigError(
            f"the learning rates of {grid.name} are those of {grid.learning_rates['tuned_for']}: tune that"
        )
    if seeds:
        raise ConfigError(f"tuning has its own seeds, learning_rates.seeds in {grid.path.name}; leave --seeds out")
    start = identity(start_model(grid, output))
    runs = tuning_runs(grid, output, start)
    chosen = [run for run in runs if run.arm in (arms or grid.arms)]
    return execute_all(grid, chosen, workers, lambda: write_rates(grid, runs))


def count_many(grid: Grid, output: Path, *, arms: Any = None, seeds: Any = None) -> None:
    """Sample many completions from the models of complete runs, one after another, and rewrite the results.

    Args:
        grid: the experiment.
        output: folder of the runs.
        arms: only these; default all.
        seeds: only these; default the first of the grid.
    """
    from countdown.many import count

    _check_known(grid.arms, arms, "arm")
    _check_known(grid.seeds, seeds, "seed")
    runs = reported_runs(grid, output, identity(start_model(grid, output)))
    for run in runs:
        if run.arm in (arms or grid.arms) and run.seed in (seeds or grid.seeds[:1]) and complete(run):
            count(grid, run)
            write_results(grid, output)
    summarize(grid, output)


def _check_known(known: Iterable[Any], asked: Iterable[Any] | None, what: str) -> None:
    unknown = sorted(set(asked or ()) - set(known))
    if unknown:
        raise ConfigError(f"unknown {what} {unknown[0]!r}: the grid has {', '.join(map(str, known))}")


def execute_all(grid: Grid, runs: Sequence[Run], workers: int, after: Callable[[], Any]) -> int:
    """Do what is not complete, `workers` at a time; `after` is called after each. Returns the number that failed."""
    todo = [run for run in runs if not complete(run)]
    logger.info("%d of %d runs are complete", len(runs) - len(todo), len(runs))
    lock, failed = Lock(), 0

    def one(run: Run) -> bool:
        good = _in_process(grid, run)
        with lock:
            after()
        return good

    with ThreadPoolExecutor(workers) as pool:
        for run, good in zip(todo, pool.map(one, todo), strict=True):
            failed += not good
            logger.info("%s seed %d %s", run.arm, run.seed, "done" if good else f"failed: {failure(run)}")
    after()
    return failed


def _in_process(grid: Grid, run: Run) -> bool:
    """Do one run in a process of its own, from its start."""
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True)
    task = {**run._asdict(), "start": str(run.start), "folder": str(run.folder)}
    (run.folder / TASK).write_text(json.dumps(task), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("run.py")), "--config", str(grid.path)]
    with open(run.folder / LOG, "w", encoding="utf-8") as log:
        done = subprocess.run(
            [*command, "--one", str(run.folder / TASK)],
            env=environment(grid),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode == 0 and complete(run):
        return True
    reason = f"exit status {done.returncode}: {_last_line(run.folder / LOG)}"
    record = {"arm": run.arm, "seed": run.seed, "fingerprint": run.fingerprint, "reason": reason}
    (run.folder / FAILED).write_text(json.dumps(record) + "\n", encoding="utf-8")
    return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def run_one(grid: Grid, task: Path) -> None:
    """The process of one run."""
    from countdown.runner import execute

    given = json.loads(task.read_text(encoding="utf-8"))
    execute(grid, Run(**{**given, "start": Path(given["start"]), "folder": Path(given["folder"])}))


def write_results(grid: Grid, output: Path) -> None:
    """Rewrite the results file from the finished runs."""
    from countdown.summary import results

    if not (output / "start" / "stage.json").is_file():
        return
    runs = reported_runs(grid, output, identity(output / "start"))
    finished = [run for run in runs if complete(run)]
    failed = [{"arm": r.arm, "seed": r.seed, "reason": failure(r)} for r in runs if failure(r) and not complete(r)]
    if finished or failed:
        found = {**results(grid, finished, failed), "start_weights": identity(output / "start")}
        grid.results_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        write_tables(grid, finished)


def write_tables(grid: Grid, finished: Sequence[Run]) -> None:
    """Write each run's pass@1 on every test problem, a line a run, so that others can compare problem by problem."""
    from countdown.runner import PROBLEMS

    lines = []
    for run in finished:
        table = json.loads((run.folder / PROBLEMS).read_text(encoding="utf-8"))
        lines.append(json.dumps({"arm": run.arm, "seed": run.seed, "pass_at_1": table["pass_at_1"]}) + "\n")
    name = grid.results_file.stem.replace("results", "tables", 1)
    grid.results_file.with_name(f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def summarize(grid: Grid, output: Path) -> None:
    """Rewrite results (where this machine has runs), plots and docs."""
    from countdown.plots import write_plots
    from countdown.report import write_report

    write_results(grid, output)
    write_plots(grid)
    write_report(grid)
