"""Which problems the groups of a generation are spent on: more on those where one more group teaches most.

TRL visits every problem equally often. Here each group in turn is given to a problem drawn in proportion to what it
adds to the expected gain of n groups of G completions, `E[p (1 - p)^2 (1 - p^(n G) - (1 - p)^(n G))]`, the value of
Knapsack RL (2509.25849): the gain of one step on a right completion, times the chance of right and wrong ones. The
expectation is over the solve rate p under a Beta distribution with the problem's remembered verdicts, so problems that
always or never succeeded are visited less, but not never (GRESO, 2506.02177).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch.utils.data import IterableDataset, Sampler

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import gather_ranks

COLUMN = "visits_problem"  # the row's place in the data set, taken off before rewards see it
STATE = "Visits"  # key in the checkpoint's trainer state


class SolveRates:
    """What is remembered of each of N problems; a verdict weighs half as much after `half_life` generations."""

    def __init__(self, problems: int, half_life: float) -> None:
        self.fading = 0.5 ** (1 / half_life)
        self.right_N, self.tries_N = torch.zeros(2, problems, dtype=torch.float64)
        self.drawn: dict[int, list[int]] = {}  # of the last two generations; TRL fetches one ahead

    def add(self, rows: Iterable[tuple[int, float]]) -> None:
        """Count the verdicts, in [0, 1], of a generation: pairs of problem and verdict."""
        self.right_N, self.tries_N = self.right_N * self.fading, self.tries_N * self.fading
        for problem, verdict in rows:
            self.right_N[problem] += min(max(verdict, 0.0), 1.0)
            self.tries_N[problem] += 1

    def beta(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of each problem's Beta distribution: its verdicts, and one more try with the mean outcome."""
        mean = (1 + self.right_N.sum()) / (2 + self.tries_N.sum())
        return mean + self.right_N, 1 - mean + self.tries_N - self.right_N

    def draw(self, generation: int, groups: int, size: int, seed: int) -> list[int]:
        """The problem of each of `groups` groups of `size` completions; after resuming, what was drawn before it."""
        if len(self.drawn.get(generation, ())) == groups:
            return self.drawn[generation]
        if generation < min(self.drawn, default=0):
            return [0] * groups  # skipped after resuming
        source, (right_N, wrong_N) = random.Random(f"{seed} {generation}"), self.beta()
        value_N, given = gain(right_N, wrong_N, 1, size), dict[int, int]()
        chosen = []
        for _ in range(groups):
            upto_N = value_N.cumsum(0)
            place = int(torch.searchsorted(upto_N, source.random() * float(upto_N[-1]), right=True))
            problem = min(place, len(value_N) - 1)
            given[problem] = number = given.get(problem, 0) + 1
            right, wrong = right_N[problem], wrong_N[problem]
            value_N[problem] = (gain(right, wrong, number + 1, size) - gain(right, wrong, number, size)).clamp(min=0)
            chosen.append(problem)
        self.drawn = {name: self.drawn.get(name, chosen) for name in sorted([*self.drawn, generation])[-2:]}
        return chosen

    def state(self) -> dict[str, Any]:
        """Everything as plain numbers, of the problems that were tried."""
        tried = self.tries_N.nonzero().flatten().tolist()
        return {
            "tried": tried,
            "right": self.right_N[tried].tolist(),
            "tries": self.tries_N[tried].tolist(),
            "drawn": list(self.drawn.items()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Set everything to what `state` returned."""
        self.drawn = dict(state["drawn"])
        for counts_N, name in ((self.right_N, "right"), (self.tries_N, "tries")):
            counts_N.zero_()[state["tried"]] = torch.tensor(state[name], dtype=torch.float64)


def gain(right_N: torch.Tensor, wrong_N: torch.Tensor, groups: int, size: int) -> torch.Tensor:
    """Expected value of `groups` groups of `size` completions (module docstring) under Beta(`right_N`, `wrong_N`)."""

    def moment(right: int, wrong: int) -> torch.Tensor:  # E[p^right (1 - p)^wrong]
        return (_log_beta(right_N + right, wrong_N + wrong) - _log_beta(right_N, wrong_N)).exp()

    tries = groups * size
    return (moment(1, 2) - moment(1 + tries, 2) - moment(1, 2 + tries)).clamp(min=0)


def _log_beta(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.lgamma(one) + torch.lgamma(other) - torch.lgamma(one + other)


class VisitSampler(Sampler[int]):
    """TRL's `RepeatSampler`, with groups drawn by the trainer's `SolveRates` when their batch is fetched."""

    def __init__(self, trainer: Any) -> None:
        args = trainer.args
        self.trainer, self.size = trainer, trainer.num_generations
        self.groups = args.generation_batch_size // self.size
        self.repeats = args.steps_per_generation * trainer.num_iterations
        self.generations = max(len(trainer.train_dataset) // self.groups, 1)  # of an epoch
        self.updates = -(-self.generations * self.repeats // args.gradient_accumulation_steps)

    def __len__(self) -> int:
        return self.generations * self.repeats * self.groups * self.size

    def __iter__(self) -> Iterator[int]:
        trainer, step = self.trainer, self.trainer.state.global_step
        if step == 0:
            trainer._rates.drawn.clear()  # of an earlier run
        first = step // self.updates * self.generations
        for generation in range(first, first + self.generations):
            chosen = trainer._rates.draw(generation, self.groups, self.size, trainer.args.seed)
            for _ in range(self.repeats):
                for problem in chosen:
                    yield from [problem] * self.size


class Visits:
    """Mixin placed before `FrontierStarts`; off unless `visit_by_solve_rate`."""

    _rates: SolveRates | None = None
    _rows: Sequence[int] = ()  # places in the data set of this rank's completions

    def _prepare_visits(self: Any) -> None:
        """Refuse, after TRL's `__init__`, settings that cannot work."""
        if not getattr(self.args, "visit_by_solve_rate", False):
            return
        if self.args.visit_half_life <= 0:
            raise ConfigError(f"visit_half_life is a number of generations above 0, got {self.args.visit_half_life!r}")
        reasons = {
            "a streamed data set": isinstance(self.train_dataset, IterableDataset),
            "rewards without a suite's parts": self._outcome_place() is None,
            "dataloader_num_workers, which fetch ahead": self.args.dataloader_num_workers > 0,
            "ignore_data_skip": self.args.ignore_data_skip,
            "remove_unused_columns": self.args.remove_unused_columns,
        }
        if conflicts := [name for name, holds in reasons.items() if holds]:
            raise ConfigError(f"visit_by_solve_rate does not work with {', '.join(conflicts)}: set it to false")
        problems = len(self.train_dataset)
        self.train_dataset = self.train_dataset.add_column(COLUMN, list(range(problems)))
        self._rates = SolveRates(problems, self.args.visit_half_life)

    def _get_train_sampler(self: Any, dataset: Any = None) -> Any:
        if self._rates is None:
            return super()._get_train_sampler(dataset)  # type: ignore[misc]
        return VisitSampler(self)

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> Any:
        if self._rates is not None and self.model.training:
            self._rows = [row[COLUMN] for row in inputs]
            inputs = [{name: value for name, value in row.items() if name != COLUMN} for row in inputs]
        return super()._generate_and_score_completions(inputs)  # type: ignore[misc]

    def _calculate_rewards(self: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's method; then count the verdicts of all ranks, except those on completions of a draft."""
        rewards = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        if self._rates is not None and self.model.training:
            prefixes = self._prefixes or [""] * len(self._rows)
            rows = [*chain.from_iterable(gather_ranks(list(zip(self._rows, map(bool, prefixes), strict=True))))]
            self._log_visits([problem for problem, _ in rows])
            verdicts = rewards[:, self._outcome_place()].tolist()
            pairs = zip(rows, verdicts, strict=True)  # a group that cannot be scored teaches nothing either
            self._rates.add((problem, 0.0 if v != v else v) for (problem, drafted), v in pairs if not drafted)
        return rewards

    def _log_visits(self: Any, rows: list[int]) -> None:
        problems = rows[:: self.num_generations]
        right_N, wrong_N = self._rates.beta()
        metrics = {
            "new": sum(not self._rates.tries_N[problem] for problem in problems) / len(problems),
            "repeated": 1 - len(set(problems)) / len(problems),
            "solve_rate": (right_N / (right_N + wrong_N)).mean(),
        }
        self._log_metrics("visits", metrics)

    def _save_checkpoint(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._rates is not None:
            self.state.stateful_callbacks[STATE] = self._rates.state()
        super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]

    def _load_callback_state(self: Any) -> None:
        state = self.state.stateful_callbacks.pop(STATE, None)
        if self._rates is not None and state is not None:
            self._rates.load(state)
        super()._load_callback_state()  # type: ignore[misc]
