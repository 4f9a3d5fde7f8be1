"""`rlsp budget`: accuracy against tokens, for one model or several, with a thinking budget and with votes."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.commands.evaluating import check_engine, fingerprint, open_engine, verifier_of
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write, write_json
from trl_rlsp.stages.arguments import EvaluationArguments

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation import SampleStore
    from trl_rlsp.evaluation.budget import RuleResult, ThinkingBudget
    from trl_rlsp.evaluation.budget.curve import Curve
    from trl_rlsp.generation import Engine, Sampling
    from trl_rlsp.rewards import OutcomeVerifier

Setting = tuple[str, "ThinkingBudget | None"]
"""Mode and budget of a point of the curve."""


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

    def points(self) -> list[Setting]:
        """Mode and budget of each point of the curve.

        Raises:
            ConfigError: a budget that cannot work.
        """
        from trl_rlsp.evaluation.budget import ThinkingBudget

        texts: dict[str, Any] = {name: getattr(self, name) for name in ("continuation", "answer", "settled")}
        texts |= {"ends": self.ends} if self.ends else {}
        found: list[Setting] = []
        for mode in ("at most", "forced") if self.at_least else ("at most",):
            for most in self.budget_list():
                least = most if mode == "forced" else 0
                found.append((mode, ThinkingBudget(least, most, answer_tokens=self.answer_tokens, **texts)))
        return [*found, ("free", None)]


def run_budget(arguments: list[str]) -> None:
    """Measure, print and write the curve of each model; what a run before has drawn into the folder is kept.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model samples.
    """
    from trl_rlsp.evaluation.budget.curve import markdown, plot_curves, require_matplotlib, write_into
    from trl_rlsp.stages.parsing import parse_fields
    from trl_rlsp.text.terminal import Terminal

    settings = parse_fields(BudgetArguments, arguments, "rlsp budget")
    sampling = check(settings)
    require_matplotlib()
    console = Terminal()
    problems = settings.load()
    folder = Path(settings.output_dir or "runs/budget")
    curves: dict[str, Curve] = {}
    votes: dict[str, list[RuleResult]] = {}
    for name, path in settings.named_models().items():
        with verifier_of(settings, path) as verifier:
            run = _Run(settings, sampling, problems, verifier, folder / name.replace("/", "_"), name, path)
            curves[name] = run.curve(console)
            votes[name] = run.votes() if settings.votes else []
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


class _Run:
    """The measurements of one model, each an evaluation in a folder of its own."""

    def __init__(
        self,
        settings: BudgetArguments,
        sampling: Sampling,
        problems: Dataset,
        verifier: OutcomeVerifier,
        folder: Path,
        name: str,
        path: str,
    ) -> None:
        self.settings, self.sampling, self.problems = settings, sampling, problems
        self.verifier, self.folder, self.name = verifier, folder, name
        self.drawn_with = fingerprint(settings, path, problems)
        longest = max((b.at_most or 0) + b.answer_tokens for _, b in settings.points() if b)
        room = max(sampling.max_new_tokens, longest + 64)  # what is forced has tokens too
        self.engine: Engine = open_engine(settings, path, problems, room)

    def curve(self, console: Any) -> Curve:
        """All points."""
        from trl_rlsp.evaluation import save_evaluation
        from trl_rlsp.evaluation.budget.curve import Curve, measure

        points = self.settings.points()
        if hasattr(self.engine, "tokenizer"):  # texts that cannot work are found before anything is sampled
            for _, budget in points:
                if budget:
                    budget.check(self.engine.tokenizer)
        curve = Curve()
        for mode, budget in points:
            label = f"{mode} {budget.at_most}" if budget else mode
            folder = self.folder / label.replace(" ", "_")
            with self.store(folder, {"budget": asdict(budget) if budget else None}) as store:
                point, samples = measure(
                    self.name, self.engine, self.problems, self.sampling, mode, budget, self.verifier, store
                )
            save_evaluation(point.metrics, samples, folder, asdict(self.settings))
            curve.add(point, samples)
            accuracy, tokens = point.metrics.pass_at_1.percent(), point.metrics.tokens.number()
            console.print(f"{self.name}, {label}: {accuracy}, {tokens} tokens")
        return curve

    def votes(self) -> list[RuleResult]:
        """Early stopping against plain voting, on one draw of `votes` samples a problem."""
        from trl_rlsp.evaluation import draw, score_samples
        from trl_rlsp.evaluation.budget import AdaptiveConsistency, LastAgree, Rule, Unbeatable, try_rule
        from trl_rlsp.evaluation.metrics import by_problem

        many = replace(self.sampling, n=self.settings.votes)
        with self.store(self.folder / "votes", {"num_samples": self.settings.votes}) as store:
            drawn = draw(self.engine, self.problems, many, store=store)
        groups = list(by_problem(score_samples(drawn, self.problems, self.verifier)).values())
        rules: list[Rule] = [Unbeatable(), AdaptiveConsistency(self.settings.confidence), LastAgree(3, 4)]
        return [try_rule(groups, rule) for rule in rules]

    def store(self, folder: Path, differs: dict[str, Any]) -> AbstractContextManager[SampleStore]:
        """Where the segments of a point are kept."""
        from trl_rlsp.evaluation import SampleStore

        made_of = json.loads(json.dumps({**self.drawn_with, **differs}))  # lists, as they are read back
        return SampleStore(folder / "segments", made_of, self.problems)
