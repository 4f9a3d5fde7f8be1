"""One run: train an arm with one seed, evaluate it, write `result.json`. Everything here is one process of its own."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trl_rlsp.errors import DataError, RLSPError

if TYPE_CHECKING:
    from countdown.budget import TokenBudget
    from countdown.grid import Arm, Grid
    from trl_rlsp.evaluation import ScoredSample

RESULT, PROBLEMS, SAMPLES, MODEL = "result.json", "problems.json", "samples.jsonl.gz", "model"
CURVE = {
    "tokens": "sampled_tokens",
    "accuracy": "rewards/outcome_verifier/mean",
    "length": "completions/mean_length",
    "clipped": "completions/clipped_ratio",
    "entropy": "entropy",
    "reward": "reward",
    "learning_rate": "learning_rate",
}


class DivergedError(RLSPError, RuntimeError):
    """Training left weights that are not finite: there is nothing to evaluate."""


class Run(NamedTuple):
    """What one run is.

    Attributes:
        arm: name of the arm.
        seed: of training and sampling.
        split: `test`, or `validation` for tuning.
        rate: learning rate; `None` without training.
        budget: sampled tokens of training.
        start: folder of the starting model.
        folder: where everything is written.
        fingerprint: what the result depends on.
    """

    arm: str
    seed: int
    split: str
    rate: float | None
    budget: int
    start: Path
    folder: Path
    fingerprint: str


def execute(grid: Grid, run: Run) -> dict[str, Any]:
    """Train and evaluate; `result.json` is written last.

    Returns:
        What `result.json` holds.

    Raises:
        DivergedError: training left weights that are not finite.
    """
    from countdown.problems import difficulties, load
    from trl_rlsp.countdown import count_attempts

    began = time.monotonic()
    problems = load(grid)
    arm, rows = grid.arms[run.arm], getattr(problems, run.split)
    scratch = run.folder / "trainer"
    try:
        model, tokenizer, trained = _trained(grid, arm, run, problems.train, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.monotonic() - began
    samples = _sampled(grid, run, model, tokenizer, rows)
    count = getattr(grid.module(), "count_steps", count_attempts)
    table = problem_table(samples, difficulties(grid, rows), grid.module().canonical, count)
    write_samples(samples, run.folder / SAMPLES)
    _write(run.folder / PROBLEMS, table)
    result = {
        "arm": run.arm,
        "seed": run.seed,
        "fingerprint": run.fingerprint,
        **figures(table),
        "by_difficulty": by_difficulty(table, grid.bands),
        "learning_rate": run.rate,
        **trained,
        "seconds": {"training": round(seconds, 1), "evaluation": round(time.monotonic() - began - seconds, 1)},
        "not_scorable": sum(sample.score is None for sample in samples),
    }
    _write(run.folder / RESULT, result)
    return result


def _trained(grid: Grid, arm: Arm, run: Run, train: Any, scratch: Path) -> tuple[Any, Any, dict[str, Any]]:
    """(model, tokenizer, what training adds to the result)."""
    from countdown.arms import build_trainer

    if not arm.train:
        return *load_run(grid, run.start), {"sampled_tokens": 0, "steps": 0, "curve": {}}
    counter = token_budget(run.budget, {**grid.training, **(arm.training or {})})
    trainer = build_trainer(
        grid, arm, start=run.start, train=train, seed=run.seed, rate=run.rate or 0.0, counter=counter, folder=scratch
    )
    try:
        trainer.train()
    finally:
        for reward in trainer.reward_funcs:
            getattr(reward, "close", lambda: None)()
    if not all(parameter.isfinite().all() for parameter in trainer.model.parameters()):
        raise DivergedError(f"{run.arm} with seed {run.seed} diverged at learning rate {run.rate}")
    trainer.model.save_pretrained(run.folder / MODEL)
    trainer.processing_class.save_pretrained(run.folder / MODEL)
    done = {"sampled_tokens": counter.tokens, "steps": trainer.state.global_step}
    done["curve"] = curve(trainer.state.log_history)
    model, tokenizer = trainer.model.eval(), trainer.processing_class
    if arm.harvest:
        done["harvested"] = learn_own(grid.path.parent / arm.harvest, run, scratch)
        model, tokenizer = load_run(grid, run.folder / MODEL)
    return model, tokenizer, done


def load_run(grid: Grid, folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer) of a folder, on the device that the grid trains on."""
    from trl_rlsp.generation import load_model

    model, tokenizer = load_model(str(folder), dtype="float32")
    if not grid.training.get("use_cpu"):
        torch_module: Any = model
        torch_module.cuda()
    return model, tokenizer


def learn_own(recipe: Path, run: Run, scratch: Path) -> int:
    """SFT of the run's model on the right completions that training logged; how many there were.

    The harvest keeps at most eight of a problem. Without any, the model stays as it is.
    """
    from countdown.start import sft_command
    from trl_rlsp.selfplay import Selection, harvest_run

    file, learned = scratch / "harvest.jsonl", scratch / "sft"
    try:
        rows = harvest_run(scratch, file, Selection(per_problem=8))[0].rows
    except DataError as error:
        print(error)
        return 0
    model = {"model_name_or_path": run.folder / MODEL, "output_dir": learned, "seed": run.seed}
    subprocess.run(sft_command({"config": recipe, "dataset": file, **model}), check=True)
    shutil.rmtree(run.folder / MODEL)
    learned.rename(run.folder / MODEL)
    return len(rows)


def token_budget(budget: int, training: Mapping[str, Any]) -> TokenBudget:
    """The counter of a run, for one process with these arguments of the trainer's config."""
    from countdown.budget import TokenBudget

    accumulated = training.get("gradient_accumulation_steps", 1)
    batches = training.get("steps_per_generation") or accumulated
    updates = batches // accumulated * training.get("num_iterations", 1)
    return TokenBudget(budget, training["per_device_train_batch_size"] * batches, updates)


def _sampled(grid: Grid, run: Run, model: Any, tokenizer: Any, rows: Any) -> list[ScoredSample]:
    from trl_rlsp.evaluation import evaluate
    from trl_rlsp.generation import Sampling

    return evaluate(model, tokenizer, rows, Sampling(seed=run.seed, **grid.sampling))[1]


def curve(history: Sequence[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Learning curves: one value a step of each metric of `CURVE`, and of each part of the reward."""
    logged = [entry for entry in history if "sampled_tokens" in entry]
    parts = sorted({key for entry in logged for key in entry if key.startswith("rewards/") and key.endswith("/mean")})
    names = {**CURVE, **{key.split("/")[1]: key for key in parts if key not in CURVE.values()}}
    return {name: [_rounded(entry.get(key)) for entry in logged] for name, key in names.items()}


def _rounded(value: Any) -> float | None:
    """Four significant digits; whole numbers as they are; `None` for what is not finite."""
    if value is None or not math.isfinite(float(value)):
        return None
    return value if isinstance(value, int) else float(f"{float(value):.4g}")


def problem_table(
    samples: Sequence[ScoredSample], difficulty: Sequence[float], canonical: Any, count: Any
) -> dict[str, list]:
    """Each problem's figures, from its n samples, in the order of the problems.

    Args:
        samples: P * n samples.
        difficulty: P difficulties.
        canonical: answer -> a text that equal answers share.
        count: completion -> its search steps.

    Returns:
        Columns of P values: `difficulty`, `pass_at_1`, `pass_at_8`, `majority` (maj@1 to maj@n), `mean_tokens`,
        `search_steps`, `finished`; `None` where a figure is not known.
    """
    groups: list[list[ScoredSample]] = [[] for _ in difficulty]
    for sample in samples:
        groups[sample.problem].append(sample)
    rows = [_problem_row(group, canonical, count) for group in groups]
    return {"difficulty": list(difficulty), **{name: [row[name] for row in rows] for name in rows[0]}}


def _problem_row(group: Sequence[ScoredSample], canonical: Any, count: Any) -> dict[str, Any]:
    from trl_rlsp.evaluation import majority_curve, pass_at_k
    from trl_rlsp.text import read

    scores = [sample.score for sample in group]
    known = [score for score in scores if score is not None]
    right = sum(score == 1.0 for score in known)
    answers = [read(sample.text).answer if sample.finished else None for sample in group]
    votes = majority_curve([None if answer is None else canonical(answer) for answer in answers], scores)
    return {
        "pass_at_1": right / len(known) if known else None,
        "pass_at_8": pass_at_k(len(known), right, 8) if len(known) >= 8 else None,
        "majority": [None if vote is None else round(vote, 5) for vote in votes],
        "mean_tokens": mean([sample.tokens for sample in group]),
        "search_steps": mean([count(sample.text) for sample in group]),
        "finished": mean([sample.finished for sample in group]),
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the known values, `None` without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def figures(table: dict[str, list]) -> dict[str, float | None]:
    """The means over problems that a run reports."""
    names = ("pass_at_1", "pass_at_8", "mean_tokens", "search_steps", "finished")
    values = {name: _rounded(mean(table[name])) for name in names}
    return {**values, "maj_at_8": _rounded(mean([votes[7] for votes in table["majority"]]))}


def by_difficulty(table: dict[str, list], bands: Any) -> dict[str, dict[str, Any]]:
    """`figures` of each band, with its number of problems; bands without problems are left out."""
    from countdown.grid import band_of

    own = [band_of(difficulty, bands) for difficulty in table["difficulty"]]
    found = {}
    for band in bands:
        places = [place for place, name in enumerate(own) if name == band]
        if places:
            part = {name: [column[place] for place in places] for name, column in table.items()}
            found[band] = {"problems": len(places), **figures(part)}
    return found


def write_samples(samples: Sequence[ScoredSample], path: Path) -> None:
    """Write problem, text, tokens and score of every sample, compressed."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for sample in samples:
            line = {"problem": sample.problem, "text": sample.text, "tokens": sample.tokens, "score": sample.score}
            file.write(json.dumps(line) + "\n")


def _write(path: Path, value: Any) -> None:
    """Write JSON so that the file is there either whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value) + "\n", encoding="utf-8")
    part.replace(path)
