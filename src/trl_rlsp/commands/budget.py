"""`rlsp budget`: accuracy against tokens, for one model or several, with a thinking budget and with votes."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.commands._evaluating import check_engine, fingerprint, open_engine, verifier_of
from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.files import atomic_write, write_json
from trl_rlsp.stages import EvaluationArguments

if TYPE_CHECKING:
    from trl_rlsp.evaluation.budget import Rule, RuleResult, ThinkingBudget
    from trl_rlsp.generation import Sampling


@dataclass
class BudgetArguments(EvaluationArguments):
    """An evaluation at several thinking budgets; see `trl_rlsp.evaluation.budget.ThinkingBudget`.

    Args:
        models: `NAME=PATH` of each model, in the place of `model_name_or_path`.
        budgets: reasoning tokens, separated by commas.
        at_least: measure each budget as floor and ceiling too, not as ceiling alone.
        continuation: written where a model would stop too early.
        answer: begins a forced answer.
        ends: what ends the reasoning; by default a box.
        settled: what the model may stop after before the floor.
        answer_tokens: tokens for the answer.
        votes: samples a problem for voting with early stopping; 0 for no votes.
        confidence: of adaptive consistency.
        document: Markdown file whose numbers are replaced.
    """

    models: list[str] = field(default_factory=list)
    budgets: str = ""
    at_least: bool = False
    continuation: str = "Wait"
    answer: str = "\\boxed{"
    ends: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    answer_tokens: int = 32
    votes: int = 0
    confidence: float = 0.95
    document: str | None = None

    def named_models(self) -> dict[str, str]:
        """Name -> path of each model.

        Raises:
            ConfigError: no model, an entry without a name or a path, or a name used twice.
        """
        if not self.models:
            if not self.model_name_or_path:
                raise ConfigError("no model: give --model_name_or_path PATH, or --models NAME=PATH NAME=PATH")
            return {Path(self.model_name_or_path).name: self.model_name_or_path}
        pairs = [entry.partition("=")[::2] for entry in self.models]
        if not all(name and path for name, path in pairs) or len({name for name, _ in pairs}) < len(pairs):
            raise ConfigError(f"models are NAME=PATH, each name once, got {self.models}")
        return dict(pairs)

    def budget_list(self) -> list[int]:
        """The budgets, ascending.

        Raises:
            ConfigError: none, or one that is no whole number of at least 1.
        """
        parts = [part.strip() for part in self.budgets.split(",") if part.strip()]
        if not parts or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            raise ConfigError(f"budgets are whole numbers of at least 1, such as 32,64,128, got {self.budgets!r}")
        return sorted({int(part) for part in parts})

    def points(self) -> list[ThinkingBudget | None]:
        """The budget of each point of the curve, `None` for none.

        Raises:
            ConfigError: a budget that cannot work.
        """
        from trl_rlsp.evaluation.budget import ThinkingBudget

        texts: dict[str, Any] = {name: getattr(self, name) for name in ("continuation", "answer", "settled")}
        texts |= {"ends": self.ends} if self.ends else {}
        sizes = [(0, most) for most in self.budget_list()]
        sizes += [(most, most) for _, most in sizes] if self.at_least else []
        budgets = [ThinkingBudget(least, most, answer_tokens=self.answer_tokens, **texts) for least, most in sizes]
        return [*budgets, None]

    def longest(self) -> int:
        """Tokens of the longest completion; what is forced has tokens too."""
        return max(self.max_new_tokens, max(self.budget_list()) + self.answer_tokens + 64)


def run_budget(arguments: list[str]) -> None:
    """Measure, print and write the curve of each model; what a run before has drawn into the folder is kept.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model samples.
    """
    from trl_rlsp.evaluation.budget import (
        AdaptiveConsistency,
        Bench,
        Curve,
        LastAgree,
        Unbeatable,
        markdown,
        plot_curves,
        write_into,
    )
    from trl_rlsp.stages import parse_fields
    from trl_rlsp.text import Terminal

    settings = parse_fields(BudgetArguments, arguments, "rlsp budget")
    sampling = check(settings)
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'trl-rlsp[report]'")
    console = Terminal()
    problems = settings.load()
    folder = Path(settings.output_dir or "runs/budget")
    rules: list[Rule] = [Unbeatable(), AdaptiveConsistency(settings.confidence), LastAgree(3, 4)]
    curves: dict[str, Curve] = {}
    votes: dict[str, list[RuleResult]] = {}
    for name, path in settings.named_models().items():
        with verifier_of(settings, path) as verifier:
            engine = open_engine(settings, path, problems, settings.longest())
            made_of, own = fingerprint(settings, path, problems), folder / name.replace("/", "_")
            bench = Bench(name, engine, problems, sampling, verifier, own, made_of, asdict(settings))
            curves[name] = Curve()
            for point, samples in bench.points(settings.points()):
                curves[name].add(point, samples)
                accuracy, tokens = point.metrics.pass_at_1.percent(), point.metrics.tokens.number()
                console.print(f"{name}, {point.label}: {accuracy}, {tokens} tokens")
            votes[name] = bench.votes(settings.votes, rules) if settings.votes else []
    numbers = markdown(curves, votes, settings.votes)
    found = {
        "settings": asdict(settings),
        "points": [asdict(point) for curve in curves.values() for point in curve.points],
        "votes": {name: [asdict(result) for result in results] for name, results in votes.items()},
    }
    atomic_write(folder / "budget.md", numbers)
    plot_curves(curves, folder / "budget.png")
    write_json(folder / "budget.json", found)
    if settings.document:
        write_into(Path(settings.document), numbers)
    console.print(numbers, soft_wrap=True)
    console.print(f"{folder}: budget.json, budget.md, budget.png, and a folder a model with its evaluations")


def check(settings: BudgetArguments) -> Sampling:
    """The sampling, after whatever can be known to be wrong before a model is loaded.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl_rlsp.evaluation.budget import AdaptiveConsistency

    settings.named_models()
    settings.points()
    settings.required()
    AdaptiveConsistency(settings.confidence)
    if settings.votes < 0 or settings.votes == 1 or (settings.votes and settings.temperature == 0):
        raise ConfigError(
            f"votes are 0 or at least 2, at a temperature above 0, got {settings.votes} at {settings.temperature}"
        )
    check_engine(settings)
    return settings.sampling()
