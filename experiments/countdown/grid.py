"""The configuration of an experiment: what `grid.yaml` says, checked before anything runs.

Paths in the file are relative to its folder. `like: other.yaml` takes every field that the file does not have from
another one, in `MERGED` also every entry, without those that the file sets to null; `arms` may then be a list of its
names. Knows nothing of models: reading it takes no torch.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
MERGED = ("problems", "training", "sampling")  # fields that `like` takes entry by entry


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: its name in every result.
        train: `False` evaluates the starting model as it is.
        trainer: `RLSPGRPOTrainer`, or `GRPOTrainer` for what the former refuses.
        training: arguments of the trainer's config that differ from the grid's.
        rewards: arguments of `RLSPRewards`; a mapping with `type` stands for an object of that class.
        harvest: file of the SFT recipe that the trained model learns its own right completions with (`rlsp harvest`).
    """

    name: str
    train: bool = True
    trainer: str = "RLSPGRPOTrainer"
    training: Mapping[str, Any] | None = None
    rewards: Mapping[str, Any] | None = None
    harvest: str | None = None


@dataclass(frozen=True)
class Grid:
    """An experiment.

    Attributes:
        path: the file.
        name: name of the experiment and of its folder of runs.
        note: what a reader of its results must know, for the report.
        domain: module with `difficulty(row)`, `canonical(answer)`, and `DIFFICULTY`, what the former measures; it may
            have its own `load`, `build_tokenizer` and `count_steps(text)`.
        results: file of the results, beside the grid's.
        report: `file` to write and its `sections`, other grids, in order.
        env: environment of every run.
        problems: `train` and `held_out` sources; numbers of `test` and `validation` problems; `difficulty`, if given,
            the range that problems lie in.
        bands: name of a band of difficulty -> upper end (exclusive), the last `None`.
        start: `base` or `build`, the `sft` recipe (or several, one after another), `demonstrations`, settings of the
            domain's own ones for each recipe, and `overrides` of all recipes.
        budget: sampled completion tokens of a run.
        seeds: seeds of the reported runs.
        learning_rates: `default`, those `tried`, the tuning `seeds` and their `share_of_budget`; or `default` and
            `tuned_for`, another grid whose arms of the same name choose.
        training: arguments of every trainer's config.
        sampling: arguments of `Sampling` for evaluations.
        arms: name -> arm.
    """

    path: Path
    name: str
    note: str
    domain: str
    results: str
    report: Mapping[str, Any]
    env: Mapping[str, Any]
    problems: Mapping[str, Any]
    bands: Mapping[str, float | None]
    start: Mapping[str, Any]
    budget: int
    seeds: tuple[int, ...]
    learning_rates: Mapping[str, Any]
    training: Mapping[str, Any]
    sampling: Mapping[str, Any]
    arms: Mapping[str, Arm]

    @property
    def results_file(self) -> Path:
        """Where the results are written."""
        return self.path.parent / self.results

    @property
    def report_file(self) -> Path:
        """Where the report is written."""
        return Path(os.path.normpath(self.path.parent / self.report["file"]))

    @property
    def rates_file(self) -> Path:
        """Where the chosen learning rates are written, by this grid's tuning or by that of `tuned_for`."""
        if "tuned_for" in self.learning_rates:
            return load_grid(self.path.parent / self.learning_rates["tuned_for"]).rates_file
        return self.path.parent / f"learning_rates{Path(self.results).stem.removeprefix('results')}.json"

    @property
    def default_output(self) -> Path:
        """Folder of the runs, where the command line names none."""
        return ROOT / "runs" / "experiments" / self.name

    def module(self) -> Any:
        """The domain's module."""
        return importlib.import_module(self.domain)

    def rate(self, arm: Arm) -> tuple[float | None, bool]:
        """(learning rate of an arm, whether it was chosen by tuning); (`None`, False) without training."""
        if not arm.train:
            return None, False
        if self.rates_file.is_file():
            chosen = json.loads(self.rates_file.read_text(encoding="utf-8")).get(arm.name)
            if chosen is not None and chosen["chosen"] is not None:
                return float(chosen["chosen"]), True
        return float(self.learning_rates["default"]), False

    def fingerprint(self, arm: Arm, rate: float | None, budget: int, start: str) -> str:
        """Eight digits that change with whatever changes the result of a run.

        Args:
            arm: the arm.
            rate: its learning rate.
            budget: its budget of sampled tokens.
            start: identity of the starting model.
        """
        trained = [arm.trainer, arm.training, arm.rewards, rate, budget, self.training] if arm.train else []
        if arm.harvest:
            trained.append((self.path.parent / arm.harvest).read_text(encoding="utf-8"))
        written = json.dumps([self.problems, self.sampling, self.domain, start, *trained], sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:8]


def load_grid(path: Path) -> Grid:
    """Read and check an experiment's file.

    Raises:
        ConfigError: the file does not exist, a field is missing or unknown, or a value cannot work.
    """
    given = read_grid(path)
    _check_names(given, {field.name for field in fields(Grid)} - {"path"}, f"{path.name}")
    arms = {}
    for name, spec in given["arms"].items():
        _check_names(spec, None, f"arm {name}")
        arms[name] = Arm(name=name, **spec)
    grid = Grid(path=path.resolve(), **{**given, "arms": arms, "seeds": tuple(given["seeds"])})
    _check_values(grid)
    return grid


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigError(f"no experiment at {path}: {error}") from error


def read_grid(path: Path) -> dict[str, Any]:
    """The fields of an experiment's file, with those of the file that it is like; unchecked.

    Raises:
        ConfigError: a file does not exist or is no mapping, or an arm is named that the other file does not have.
    """
    given = _read(path)
    if "like" not in given:
        return given
    other = read_grid(path.parent / given.pop("like"))
    if isinstance(given.get("arms"), list):
        unknown = sorted(set(given["arms"]) - set(other["arms"]))
        if unknown:
            raise ConfigError(f"{path.name}: unknown arm {unknown[0]!r}: there are {', '.join(other['arms'])}")
        given["arms"] = {name: other["arms"][name] for name in given["arms"]}
    for name in MERGED:
        merged = {**other.get(name, {}), **given.get(name, {})}
        given[name] = {key: value for key, value in merged.items() if value is not None}
    return {**other, **given}


def _check_names(given: Mapping[str, Any], required: set[str] | None, where: str) -> None:
    known = required if required is not None else {field.name for field in fields(Arm)} - {"name"}
    unknown, missing = set(given) - known, (required or set()) - set(given)
    if unknown or missing:
        raise ConfigError(
            f"{where}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}; known are {sorted(known)}"
        )


def _check_values(grid: Grid) -> None:
    if grid.sampling.get("n", 0) < 8:
        raise ConfigError(f"pass@8 and maj@8 need sampling.n of at least 8, got {grid.sampling.get('n')!r}")
    if grid.budget < 1:
        raise ConfigError(f"budget counts sampled tokens and is at least 1, got {grid.budget!r}")
    for seed in grid.learning_rates.get("seeds", ()):
        if seed in grid.seeds:
            raise ConfigError(f"the tuning seed {seed} is among the reported seeds; take another")
    *ends, last = grid.bands.values() or (0,)
    known = [end for end in ends if end is not None]
    if last is not None or known != sorted(set(known)) or len(known) < len(ends):
        raise ConfigError(f"bands are rising upper ends of difficulty, the last null, got {dict(grid.bands)!r}")
    for arm in grid.arms.values():
        if arm.trainer not in ("RLSPGRPOTrainer", "GRPOTrainer"):
            raise ConfigError(f"arm {arm.name}: trainer is RLSPGRPOTrainer or GRPOTrainer, got {arm.trainer!r}")


def band_of(difficulty: float, bands: Mapping[str, float | None]) -> str:
    """The band in which a difficulty lies.

    >>> band_of(9, {"easy": 9, "medium": 14, "hard": None})
    'medium'
    """
    return next(name for name, end in bands.items() if end is None or difficulty < end)
