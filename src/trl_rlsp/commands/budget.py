"""`rlsp budget`: accuracy against tokens, for one model or several, with a thinking budget and with votes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages.arguments import EvaluationArguments

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation.budget.agreement import Saving
    from trl_rlsp.evaluation.budget.curve import Curve, Wording
    from trl_rlsp.generation import Sampling
    from trl_rlsp.rewards.outcome import OutcomeVerifier


@dataclass
class BudgetArguments(EvaluationArguments):
    """An evaluation at several thinking budgets; see `trl_rlsp.evaluation.budget.processor.ThinkingBudget`.

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

    models: list[str] = field(default_factory=list, metadata={"help": "NAME=PATH of each model"})
    budgets: str = field(default="", metadata={"help": "reasoning tokens, separated by commas: 32,64,128"})
    at_least: bool = field(default=False, metadata={"help": "also with each budget as floor and ceiling"})
    continuation: str = field(default="Wait", metadata={"help": "written where a model would stop too early"})
    answer: str = field(default="\\boxed{", metadata={"help": "begins a forced answer"})
    ends: list[str] = field(default_factory=list, metadata={"help": "what ends the reasoning; default a box"})
    settled: list[str] = field(default_factory=list, metadata={"help": "what a model may stop after at any time"})
    answer_tokens: int = field(default=32, metadata={"help": "tokens for the answer"})
    votes: int = field(default=0, metadata={"help": "samples a problem for voting; 0 for no votes"})
    confidence: float = field(default=0.95, metadata={"help": "of adaptive consistency"})
    document: str | None = field(default=None, metadata={"help": "Markdown file whose numbers are replaced"})

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

    def wording(self) -> Wording:
        """What a budget makes a model write."""
        from trl_rlsp.evaluation.budget.curve import Wording

        return Wording(self.continuation, self.answer, self.ends or None, self.settled, self.answer_tokens)


def run_budget(arguments: list[str]) -> None:
    """Measure, print and write the curve of each model.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model samples.
    """
    from rich.console import Console

    from trl_rlsp.evaluation.budget.plot import plot_curves, require_matplotlib
    from trl_rlsp.evaluation.budget.tables import markdown, write_into
    from trl_rlsp.rewards.outcome import OutcomeVerifier
    from trl_rlsp.stages.parsing import parse_stage

    (settings,) = parse_stage((BudgetArguments,), arguments, "rlsp budget")
    sampling = check(settings)
    require_matplotlib()
    console = Console()
    problems = settings.load()
    curves: dict[str, Curve] = {}
    votes: dict[str, list[Saving]] = {}
    with OutcomeVerifier() as verifier:
        for name, path in settings.named_models().items():
            run = _Run(settings, sampling, problems, verifier, console.print)
            curves[name], votes[name] = run.measure(name, path)
    folder = Path(settings.output_dir or "runs/budget")
    numbers = markdown(curves, votes, settings.votes)
    write_results(folder, settings, curves, votes, numbers)
    plot_curves(curves, folder / "budget.png")
    if settings.document:
        write_into(Path(settings.document), numbers)
    console.print(numbers, markup=False, soft_wrap=True)
    console.print(f"{folder}: budget.json, budget.md, budget.png, samples.jsonl")


def check(settings: BudgetArguments) -> Sampling:
    """The sampling, after whatever can be known to be wrong before a model is loaded.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl_rlsp.evaluation.budget.rules import AdaptiveConsistency

    settings.named_models()
    settings.budget_list()
    settings.required()
    AdaptiveConsistency(settings.confidence)
    if settings.votes < 0 or settings.votes == 1 or (settings.votes and settings.temperature == 0):
        raise ConfigError(
            f"votes are 0 or at least 2, at a temperature above 0, got {settings.votes} at {settings.temperature}"
        )
    return settings.sampling()


@dataclass
class _Run:
    """The measurements of one call, model by model."""

    settings: BudgetArguments
    sampling: Sampling
    problems: Dataset
    verifier: OutcomeVerifier
    say: Callable[[str], Any]

    def measure(self, name: str, path: str) -> tuple[Curve, list[Saving]]:
        """All points and votes of a model."""
        from trl_rlsp.evaluation.budget.curve import Curve, limits, measure
        from trl_rlsp.generation import load_model

        model, tokenizer = load_model(path, dtype=self.settings.dtype)
        wording, curve = self.settings.wording(), Curve()
        for mode, budget in self.points():  # a wording that cannot work is found before anything is sampled
            limits(tokenizer, model, wording, mode, budget)
        for mode, budget in self.points():
            point, samples = measure(
                name, model, tokenizer, self.problems, self.sampling, wording, mode, budget, self.verifier
            )
            curve.add(point, samples)
            figures = point.figures
            self.say(f"{name}, {mode} {budget or ''}: {figures.pass_at_1.percent()}, {figures.tokens.number()} tokens")
        return curve, self.votes(model, tokenizer) if self.settings.votes else []

    def points(self) -> Iterator[tuple[str, int | None]]:
        """Mode and budget of each point."""
        for mode in ("at most", "forced") if self.settings.at_least else ("at most",):
            for budget in self.settings.budget_list():
                yield mode, budget
        yield "free", None

    def votes(self, model: Any, tokenizer: Any) -> list[Saving]:
        """Early stopping against plain voting, on one draw of `votes` samples a problem."""
        from trl_rlsp.evaluation.budget.agreement import ballots_of, saving
        from trl_rlsp.evaluation.budget.rules import AdaptiveConsistency, LastAgree, Rule, Unbeatable
        from trl_rlsp.evaluation.evaluate import draw, score_samples
        from trl_rlsp.generation import TransformersEngine

        many = replace(self.sampling, n=self.settings.votes)
        drawn = draw(TransformersEngine(model, tokenizer), self.problems, many)
        ballots = ballots_of(score_samples(drawn, self.problems, self.verifier))
        rules: list[Rule] = [Unbeatable(), AdaptiveConsistency(self.settings.confidence), LastAgree(3, 4)]
        return [saving(ballots, rule) for rule in rules]


def write_results(
    folder: Path, settings: BudgetArguments, curves: dict[str, Curve], votes: dict[str, list[Saving]], numbers: str
) -> None:
    """Write `samples.jsonl`, `budget.md` and, last, `budget.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "samples.jsonl", "w", encoding="utf-8") as file:
        for curve in curves.values():
            for point, samples in zip(curve.points, curve.samples, strict=True):
                origin = {"model": point.model, "mode": point.mode, "budget": point.budget}
                for sample in samples:
                    file.write(json.dumps({**origin, **asdict(sample)}, ensure_ascii=False) + "\n")
    (folder / "budget.md").write_text(numbers, encoding="utf-8")
    found = {
        "settings": asdict(settings),
        "points": [asdict(point) for curve in curves.values() for point in curve.points],
        "votes": {name: [asdict(saving) for saving in savings] for name, savings in votes.items()},
    }
    (folder / "budget.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
