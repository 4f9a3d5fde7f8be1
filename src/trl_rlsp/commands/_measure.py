"""`rlsp eval` and `rlsp budget`: what a model does on problems, and how many tokens that takes."""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`)
from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Column, Table

from trl_rlsp import evaluation, generation
from trl_rlsp.errors import ConfigError, MissingDependencyError, SourceError
from trl_rlsp.files import atomic_write, write_json
from trl_rlsp.problems import EVALUATION_PRESETS
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.stages import EvaluationArguments, option, parse_fields
from trl_rlsp.text import Terminal, thinking_is_open
from trl_rlsp.verification import require_sandbox

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation.budget import Rule, RuleResult, ThinkingBudget

logger = logging.getLogger(__name__)

# engine -> the module that it needs; those other than transformers are extras of the engine's name
_ENGINES = {"transformers": "transformers", "vllm": "vllm", "server": "openai"}


def run_eval(arguments: list[str]) -> None:
    """Sample and score a model on a data set, or score the samples of a folder again, and print the metrics."""
    settings = read_settings(arguments)
    console = Terminal()
    if settings.rescore:
        name, metrics = _rescored(settings, Path(settings.rescore))
    else:
        name, problems, samples = draw_samples(settings, console)
        with verifier_of(settings, name) as verifier:
            metrics, scored = evaluation.evaluate_samples(samples, problems, verifier=verifier, ks=settings.ks)
        if folder := settings.output_dir:
            evaluation.save_evaluation(metrics, scored, Path(folder), asdict(settings))
    for table in (evaluation.evaluation_table({name: metrics}), *evaluation.slice_tables(metrics)):
        console.print(table)


def parse_eval(arguments: list[str]) -> tuple[EvaluationArguments, str, generation.Sampling]:
    """Settings, model and sampling of an evaluation; an RLSPError for what cannot work."""
    settings = read_settings(arguments)
    return settings, *check_eval(settings)


def read_settings(arguments: list[str]) -> EvaluationArguments:
    """The fields of an evaluation: the command line's, else the YAML file's, else the preset's."""
    name = parse_fields(EvaluationArguments, arguments, "rlsp eval").preset
    if name is not None and name not in EVALUATION_PRESETS:
        raise ConfigError(f"preset is one of {', '.join(EVALUATION_PRESETS)}, got {name!r}")
    preset = EVALUATION_PRESETS[name] if name else {}
    return parse_fields(EvaluationArguments, arguments, "rlsp eval", written=lambda content: {**preset, **content})


def check_eval(settings: EvaluationArguments) -> tuple[str, generation.Sampling]:
    """The model and the sampling, after everything that can be checked without data has been."""
    if not settings.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    sampling = settings.sampling()
    evaluation.check_ks(settings.ks or [], sampling.n)
    _check_engine(settings)
    settings.required()
    return settings.model_name_or_path, sampling


def _check_engine(settings: EvaluationArguments) -> None:
    engine, url = settings.engine, settings.server_url
    if engine not in _ENGINES:
        raise ConfigError(f"engine is one of {', '.join(_ENGINES)}, got {engine!r}")
    if (engine == "server") != (url is not None):
        rule = "server_url goes with engine 'server' and with no other"
        raise ConfigError(f"{rule}, got engine={engine!r}, server_url={url!r}")
    if importlib.util.find_spec(_ENGINES[engine]) is None:
        raise MissingDependencyError(f"engine {engine!r} needs {_ENGINES[engine]}: pip install 'trl-rlsp[{engine}]'")


def _open_engine(settings: EvaluationArguments, name: str, problems: Dataset, new_tokens: int) -> generation.Engine:
    """Load the model, or connect to its server; a SourceError if there is no such model."""
    if settings.engine == "server":
        return generation.ServerEngine(name, settings.server_url or "")
    if settings.engine == "vllm":
        options = {n: getattr(settings, n) for n in ("dtype", "tensor_parallel_size", "gpu_memory_utilization")}
        return generation.VLLMEngine(name, prompts=problems["prompt"], new_tokens=new_tokens, **options)
    import torch

    placed: dict[str, Any] = {"device_map": "auto"} if torch.cuda.is_available() else {}
    return generation.TransformersEngine(*generation.load_model(name, dtype=settings.dtype, **placed))


def draw_samples(settings: EvaluationArguments, console: Terminal) -> tuple[str, Dataset, list[generation.Sample]]:
    """Model, problems and samples of an evaluation: those that the output folder has, and the others drawn now."""
    name, sampling = check_eval(settings)
    problems = settings.load()
    require_sandbox(problems.column_names)
    folder = Path(settings.output_dir) if settings.output_dir else None
    total = len(problems) * sampling.n
    made_of = _fingerprint(settings, name, problems) if folder else {}
    with evaluation.SampleStore(folder, made_of, problems) if folder else nullcontext() as store:
        there = total - len(store.missing(generation.all_requests(len(problems), sampling.n))) if store else 0
        if there:
            console.print(f"{there} of {total} samples are in {folder} already")
        engine = _open_engine(settings, name, problems, sampling.max_new_tokens) if there < total else None
        columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            shown = partial(progress.update, progress.add_task("sampling", total=total, completed=there))
            samples = evaluation.draw(engine, problems, sampling, store=store, on_batch=lambda n: shown(completed=n))
    return name, problems, samples


def _fingerprint(settings: EvaluationArguments, name: str, problems: Dataset) -> dict[str, Any]:
    """All that the samples depend on; the batch size has no part in it, so that it may be lowered in a resumed run."""
    names = ("engine", "dtype", "num_samples", "temperature", "top_p", "max_new_tokens", "seed")
    hashes = {"problems": evaluation.problems_hash(problems), "prompts": evaluation.prompts_hash(problems)}
    model = name if settings.engine == "server" else evaluation.model_hash(name)
    return {"model": model, **hashes, **{n: getattr(settings, n) for n in names}}


def _rescored(settings: EvaluationArguments, folder: Path) -> tuple[str, evaluation.Evaluation]:
    """Score the samples of a folder again and replace its metrics; the model's name and the metrics."""
    samples, problems = evaluation.read_samples(folder), evaluation.read_problems(folder)
    before = evaluation.load_settings(folder)
    if problems is None:
        raise SourceError(f"{folder} holds no problems.parquet beside its samples: evaluate again into another folder")
    if len(samples) != (wanted := len(problems) * before["num_samples"]):
        raise ConfigError(f"{folder} has {len(samples)} of {wanted} samples: finish it with the command that began it")
    model = before.get("model_name_or_path")
    with verifier_of(settings, None if before["engine"] == "server" else model) as verifier:
        metrics, scored = evaluation.evaluate_samples(samples, problems, verifier=verifier, ks=settings.ks)
    evaluation.save_evaluation(metrics, scored, folder, before)
    return model or folder.name, metrics


def verifier_of(settings: EvaluationArguments, model: str | None) -> OutcomeVerifier:
    """The verifier of an evaluation; where the settings do not say whether an answer needs closed reasoning, the chat
    template of `model` does."""
    required = settings.thinking_required
    if required is None and model and settings.engine != "server":
        required = opens_thinking(model, settings.end_of_thinking)
    return settings.outcome_verifier(thinking_required=required, batch_seconds=3600)


def opens_thinking(model: str, end_of_thinking: str) -> bool:
    """Whether a model's chat template opens the reasoning; no, with a warning, where it cannot be read."""
    from transformers import AutoTokenizer

    try:
        return thinking_is_open(AutoTokenizer.from_pretrained(model), end_of_thinking)
    except (OSError, ValueError) as error:
        logger.warning("no tokenizer of %s says whether it thinks first (%s): give --thinking_required", model, error)
        return False


@dataclass
class BudgetArguments(EvaluationArguments):
    """An evaluation at several thinking budgets; see `trl_rlsp.evaluation.budget.ThinkingBudget`."""

    models: list[str] = option([], "NAME=PATH of each model, in the place of model_name_or_path")
    budgets: str = option("", "reasoning tokens, separated by commas")
    at_least: bool = option(False, "measure each budget as floor and ceiling too, not as ceiling alone")
    continuation: str = option("Wait", "written where a model would stop too early")
    answer: str = option("\\boxed{", "begins a forced answer")
    ends: list[str] = option([], "what ends the reasoning; by default a box")
    settled: list[str] = option([], "what the model may stop after before the floor")
    answer_tokens: int = option(32, "tokens for the answer")
    votes: int = option(0, "samples a problem for voting with early stopping; 0 for no votes")
    confidence: float = option(0.95, "of adaptive consistency")

    def named_models(self) -> dict[str, str]:
        """Names of the models and where they are."""
        if self.models:
            return named("models are NAME=PATH, each name once", self.models)
        if not self.model_name_or_path:
            raise ConfigError("no model: give --model_name_or_path PATH, or --models NAME=PATH NAME=PATH")
        return {Path(self.model_name_or_path).name: self.model_name_or_path}

    def sizes(self) -> list[int]:
        """The budgets in tokens."""
        return positive_numbers("budgets", self.budgets, "32,64,128")

    def points(self) -> list[ThinkingBudget]:
        """What is measured: each budget as a ceiling, with `at_least` as a floor too, and none."""
        from trl_rlsp.evaluation.budget import ThinkingBudget

        given = {name: getattr(self, name) for name in ("continuation", "answer", "settled", "answer_tokens")}
        given |= {"ends": self.ends} if self.ends else {}
        bounds = [(0, most) for most in self.sizes()]
        bounds += [(most, most) for _, most in bounds] if self.at_least else []
        return [*(ThinkingBudget(least, most, **given) for least, most in bounds), ThinkingBudget()]


def named(rule: str, entries: list[str]) -> dict[str, str]:
    """`NAME=VALUE` entries as a mapping; a ConfigError that states the rule for one without either, or a name twice."""
    pairs = [entry.partition("=")[::2] for entry in entries]
    if not all(name and value for name, value in pairs) or len(dict(pairs)) < len(pairs):
        raise ConfigError(f"{rule}, got {entries}")
    return dict(pairs)


def count_table(things: str, start: str, count: int, dropped: Mapping[str, int], end: str, kept: int) -> Table:
    """What became of things: how many there were, were dropped for which reason, and are kept."""
    table = Table(things, Column("number", justify="right"))
    for name, number in [(start, count), *((f"dropped: {why}", n) for why, n in dropped.items()), (end, kept)]:
        table.add_row(name, str(number))
    return table


def positive_numbers(name: str, text: str, example: str) -> list[int]:
    """Whole numbers of at least 1 from a list with commas, ascending and each once."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(f"{name} are whole numbers of at least 1, such as {example}, got {text!r}")
    return sorted({int(part) for part in parts})


def require_plots() -> None:
    """A MissingDependencyError where nothing can be plotted."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'trl-rlsp[report]'")


def check_budget(settings: BudgetArguments) -> generation.Sampling:
    """The sampling, after whatever can be known to be wrong before a model is loaded."""
    from trl_rlsp.evaluation.budget import adaptive_consistency

    settings.named_models()
    settings.points()
    settings.required()
    adaptive_consistency(settings.confidence)
    if settings.votes < 0 or settings.votes == 1 or (settings.votes and settings.temperature == 0):
        rule = "votes are 0 or at least 2, at a temperature above 0"
        raise ConfigError(f"{rule}, got {settings.votes} at {settings.temperature}")
    _check_engine(settings)
    return settings.sampling()


def run_budget(arguments: list[str]) -> None:
    """Measure, print and write the curve of each model; what a run before has drawn into the folder is kept."""
    from trl_rlsp.evaluation import budget

    settings = parse_fields(BudgetArguments, arguments, "rlsp budget")
    sampling = check_budget(settings)
    require_plots()
    console, problems = Terminal(), settings.load()
    folder = Path(settings.output_dir or "runs/budget")
    rules: dict[str, Rule] = {
        "unbeatable": budget.unbeatable,
        f"adaptive consistency, {settings.confidence:g}": budget.adaptive_consistency(settings.confidence),
        "3 of the last 4 agree": budget.last_agree(3, 4),
    }
    curves: dict[str, list[budget.Point]] = {}
    votes: dict[str, dict[str, RuleResult]] = {}
    for name, path in settings.named_models().items():
        with verifier_of(settings, path) as verifier:
            longest = max(settings.sizes()) + settings.answer_tokens + 64  # what is forced has tokens too
            engine = _open_engine(settings, path, problems, max(settings.max_new_tokens, longest))
            made_of, own = _fingerprint(settings, path, problems), folder / name.replace("/", "_")
            bench = budget.Bench(name, engine, problems, sampling, verifier, own, made_of, asdict(settings))
            curves[name] = []
            for point in bench.points(settings.points()):
                curves[name].append(point)
                accuracy, tokens = point.metrics.pass_at_1.percent(), point.metrics.tokens.number()
                console.print(f"{name}, {point.label}: {accuracy}, {tokens} tokens")
            votes[name] = bench.votes(settings.votes, rules) if settings.votes else {}
    numbers = budget.markdown(curves, votes, settings.votes)
    points = [asdict(point) for curve in curves.values() for point in curve]
    voted = {name: {rule: asdict(result) for rule, result in results.items()} for name, results in votes.items()}
    atomic_write(folder / "budget.md", numbers)
    budget.plot_curves(curves, folder / "budget.png")
    write_json(folder / "budget.json", {"settings": asdict(settings), "points": points, "votes": voted})
    console.print(numbers, soft_wrap=True)
    console.print(f"{folder}: budget.json, budget.md, budget.png, and a folder a model with its evaluations")
