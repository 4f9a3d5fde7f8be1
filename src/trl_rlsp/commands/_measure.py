"""`rlsp eval` and `rlsp budget`: the accuracy of a model on problems, and the tokens that it takes."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from trl_rlsp import evaluation, generation, planning
from trl_rlsp.commands._command import Command
from trl_rlsp.errors import ConfigError, MissingDependencyError, SourceError
from trl_rlsp.files import atomic_write, write_json
from trl_rlsp.problems import EVALUATION_PRESETS
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.stages import EvaluationArguments, option, parse_fields
from trl_rlsp.text import Terminal
from trl_rlsp.verification import require_sandbox

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

    from trl_rlsp.evaluation.budget import Rule, RuleResult, ThinkingBudget

logger = logging.getLogger(__name__)

# engine -> the module that it needs; all but transformers are extras named after the engine
_ENGINES = {"transformers": "transformers", "vllm": "vllm", "server": "openai"}


@dataclass
class Eval(EvaluationArguments, Command):
    """Sample and score a model on a data set, or score the samples in a folder again."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The fields from the command line, else from the YAML file, else from the preset."""
        name = super().parse(arguments).preset
        if name is not None and name not in EVALUATION_PRESETS:
            raise ConfigError(f"preset is one of {', '.join(EVALUATION_PRESETS)}, got {name!r}")
        preset = EVALUATION_PRESETS[name] if name else {}
        prog = f"rlsp {cls.__name__.lower()}"
        return parse_fields(cls, arguments, prog, written=lambda content: {**preset, **content})

    def named_models(self) -> dict[str, str]:
        """Name -> hub id or path of each model."""
        if not self.model_name_or_path:
            raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
        return {self.model_name_or_path: self.model_name_or_path}

    def check(self) -> None:
        """An RLSPError for settings that cannot work, or for an engine that is not installed."""
        if self.rescore:
            return
        self.named_models()
        evaluation.check_ks(self.ks or [], self.sampling().n)
        if self.engine not in _ENGINES:
            raise ConfigError(f"engine is one of {', '.join(_ENGINES)}, got {self.engine!r}")
        if (self.engine == "server") != (self.server_url is not None):
            rule = "server_url is for engine 'server' only, which requires it"
            raise ConfigError(f"{rule}, got engine={self.engine!r}, server_url={self.server_url!r}")
        if importlib.util.find_spec(needed := _ENGINES[self.engine]) is None:
            way = f"pip install 'trl-rlsp[{self.engine}]'"
            raise MissingDependencyError(f"engine {self.engine!r} needs {needed}: {way}")
        self.required()

    def execute(self) -> None:
        """Draw the missing samples, score all of them, store both and print the tables."""
        console, written, folder = Terminal(), asdict(self), self.rescore or self.output_dir
        if self.rescore:
            problems, samples, written = _drawn(Path(self.rescore))
            model = None if written["engine"] == "server" else written.get("model_name_or_path")
            name = written.get("model_name_or_path") or Path(self.rescore).name
        else:
            problems, samples = self.draw(console)
            name = model = str(self.model_name_or_path)
        with self.scorer(model) as verifier:
            metrics, scored = evaluation.evaluate_samples(samples, problems, verifier=verifier, ks=self.ks)
        if folder:
            evaluation.save_evaluation(metrics, scored, Path(folder), written)
        tables = (*evaluation.curve_tables(metrics), *evaluation.slice_tables(metrics))
        console.print(evaluation.evaluation_table({name: metrics}), *tables)

    def draw(self, console: Terminal) -> tuple[Dataset, list[generation.Sample]]:
        """Problems and samples, from the output folder or drawn now."""
        name, sampling, problems = str(self.model_name_or_path), self.sampling(), self.load()
        require_sandbox(problems.column_names)
        folder = Path(self.output_dir) if self.output_dir else None
        total = len(problems) * sampling.n
        made_of = self.fingerprint(name, problems) if folder else {}
        with evaluation.SampleStore(folder, made_of, problems) if folder else nullcontext() as store:
            there = total - len(store.missing(generation.all_requests(len(problems), sampling.n))) if store else 0
            if there:
                console.print(f"{there} of {total} samples are in {folder} already")
            engine = self.open_engine(name, problems, sampling.max_new_tokens) if there < total else None
            columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, console=console) as progress:
                shown = partial(progress.update, progress.add_task("sampling", total=total, completed=there))
                done = evaluation.draw(engine, problems, sampling, store=store, on_batch=lambda n: shown(completed=n))
        return problems, done

    def open_engine(self, name: str, problems: Dataset, new_tokens: int) -> generation.Engine:
        """Load the model, or connect to its server; a SourceError if there is no such model."""
        if self.engine == "server":
            return generation.ServerEngine(name, self.server_url or "")
        if self.engine == "vllm":
            options = {n: getattr(self, n) for n in ("dtype", "tensor_parallel_size", "gpu_memory_utilization")}
            return generation.VLLMEngine(name, prompts=problems["prompt"], new_tokens=new_tokens, **options)
        import torch

        placed: dict[str, Any] = {"device_map": "auto"} if torch.cuda.is_available() else {}
        engine = generation.TransformersEngine(*generation.load_model(name, dtype=self.dtype, **placed))
        if memory := _gpu_memory():
            asked = [generation.Prefixed(prompt, (), 0, 0).ids(engine.tokenizer)[0] for prompt in problems["prompt"]]
            fits, line = self.memory_line(engine.model.config, max(map(len, asked)), new_tokens, memory)
            if not fits:
                logger.warning("%s", line)
        return engine

    def memory_line(self, config: PreTrainedConfig, prompt: int, new_tokens: int, memory: float) -> tuple[bool, str]:
        """Whether a batch that transformers samples fits `memory` GiB at full length, and a line that says so."""
        count, lengths = self.batch_size, dict[str, Any](prompt=prompt, completion=new_tokens)
        settings = planning.Settings(dtype=planning.type_of(config, self.dtype), rollouts=count, **lengths)
        model = planning.Architecture.of(config), settings
        weights, cache = (find(*model) / planning.GIB for find in (planning.weight_bytes, planning.cache_bytes))
        largest = planning.largest_batch(*model, memory)
        other = f"batch_size: {largest} does" if largest else "a single sequence does not, either"
        verdict = f"fits {memory:.0f} GiB" if largest == count else f"does not fit {memory:.0f} GiB: {other}"
        what = f"batch_size {count} with transformers, at the full length of {settings.length} tokens"
        needs = f"{what}, needs weights of {weights:.1f} GiB and a cache of {cache:.1f} GiB, and {verdict}"
        return largest == count, needs

    def fingerprint(self, name: str, problems: Dataset) -> dict[str, Any]:
        """All settings that the samples depend on, without the batch size, so that a resumed run may lower it."""
        names = ("engine", "dtype", "num_samples", "temperature", "top_p", "max_new_tokens", "seed")
        hashes = {"problems": evaluation.problems_hash(problems), "prompts": evaluation.prompts_hash(problems)}
        model = name if self.engine == "server" else evaluation.model_hash(name)
        return {"model": model, **hashes, **{n: getattr(self, n) for n in names}}

    def scorer(self, model: str | None) -> OutcomeVerifier:
        """The verifier; without a setting, the chat template of `model` decides if answers need closed reasoning."""
        verifier = self.outcome_verifier(batch_seconds=3600)
        if self.thinking_required is None and model and self.engine != "server":
            from transformers import AutoTokenizer

            try:
                verifier.reader.look_at_template(AutoTokenizer.from_pretrained(model))
            except (OSError, ValueError) as error:
                way = "give --thinking_required"
                logger.warning("no tokenizer of %s shows whether it thinks first (%s): %s", model, error, way)
        return verifier


def _gpu_memory() -> float | None:
    """GiB of all visible GPUs, over which transformers spreads a model; `None` without one."""
    import torch

    gpus = range(torch.cuda.device_count())
    return sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus) / planning.GIB or None


def _drawn(folder: Path) -> tuple[Dataset, list[generation.Sample], dict[str, Any]]:
    """Problems, samples and settings of an evaluation in which all samples are drawn."""
    samples, problems = evaluation.read_samples(folder), evaluation.read_problems(folder)
    settings = evaluation.load_settings(folder)
    if problems is None:
        raise SourceError(f"{folder} holds no problems.parquet beside its samples: evaluate again into another folder")
    if len(samples) != (wanted := len(problems) * settings["num_samples"]):
        raise ConfigError(f"{folder} has {len(samples)} of {wanted} samples: finish it with the command that began it")
    return problems, samples, settings


def parse_eval(arguments: Sequence[str]) -> tuple[Eval, str, generation.Sampling]:
    """Settings, model and sampling of an evaluation; an RLSPError for invalid settings."""
    settings = Eval.parse(arguments)
    settings.check()
    return settings, str(settings.model_name_or_path), settings.sampling()


@dataclass
class Budget(Eval):
    """An evaluation at several thinking budgets; see `trl_rlsp.evaluation.budget.ThinkingBudget`. Samples that an
    earlier run left in the folder are kept."""

    models: list[str] = option([], "NAME=PATH of each model, instead of model_name_or_path")
    budgets: str = option("", "reasoning tokens, separated by commas")
    at_least: bool = option(False, "measure each budget also as floor and ceiling, not only as ceiling")
    continuation: str = option("Wait", "text inserted when a model would stop too early")
    answer: str = option("\\boxed{", "text that begins a forced answer")
    ends: list[str] = option([], "texts that end the reasoning; default: a box")
    settled: list[str] = option([], "texts after which the model may stop before the floor")
    answer_tokens: int = option(32, "most tokens for the answer")
    votes: int = option(0, "samples per problem for voting with early stopping; 0 for no votes")
    confidence: float = option(0.95, "confidence of adaptive consistency")

    def named_models(self) -> dict[str, str]:
        """Name -> path or hub id of each model to measure."""
        if self.models:
            return named("models are NAME=PATH, each name once", self.models)
        if not self.model_name_or_path:
            raise ConfigError("no model: give --model_name_or_path PATH, or --models NAME=PATH NAME=PATH")
        return {Path(self.model_name_or_path).name: self.model_name_or_path}

    def sizes(self) -> list[int]:
        """The budgets in tokens."""
        return positive_numbers("budgets", self.budgets, "32,64,128")

    def points(self) -> list[ThinkingBudget]:
        """The budgets to measure: each as a ceiling, with `at_least` also as floor and ceiling, and no budget."""
        from trl_rlsp.evaluation.budget import ThinkingBudget

        given = {name: getattr(self, name) for name in ("continuation", "answer", "settled", "answer_tokens")}
        given |= {"ends": self.ends} if self.ends else {}
        bounds = [(0, most) for most in self.sizes()]
        bounds += [(most, most) for _, most in bounds] if self.at_least else []
        return [*(ThinkingBudget(least, most, **given) for least, most in bounds), ThinkingBudget()]

    def check(self) -> None:
        """Also a ConfigError for invalid budgets, votes or confidence."""
        from trl_rlsp.evaluation.budget import adaptive_consistency

        super().check()
        self.points()
        adaptive_consistency(self.confidence)
        if self.votes < 0 or self.votes == 1 or (self.votes and self.temperature == 0):
            rule = "votes are 0 or at least 2, at a temperature above 0"
            raise ConfigError(f"{rule}, got {self.votes} at {self.temperature}")

    def execute(self) -> None:
        """Measure every model at every budget, then write and print tables and plot."""
        from trl_rlsp.evaluation import budget

        require_plots()
        console, problems, sampling = Terminal(), self.load(), self.sampling()
        folder = Path(self.output_dir or "runs/budget")
        rules: dict[str, Rule] = {
            "unbeatable": budget.unbeatable,
            f"adaptive consistency, {self.confidence:g}": budget.adaptive_consistency(self.confidence),
            "3 of the last 4 agree": budget.last_agree(3, 4),
        }
        longest = max(self.sizes()) + self.answer_tokens + 64  # plus room for inserted texts
        curves: dict[str, list[budget.Point]] = {}
        votes: dict[str, dict[str, RuleResult]] = {}
        for name, path in self.named_models().items():
            with self.scorer(path) as verifier:
                engine = self.open_engine(path, problems, max(self.max_new_tokens, longest))
                made_of, own = self.fingerprint(path, problems), folder / name.replace("/", "_")
                bench = budget.Bench(name, engine, problems, sampling, verifier, own, made_of, asdict(self))
                curves[name] = []
                for point in bench.points(self.points()):
                    curves[name].append(point)
                    accuracy, tokens = point.metrics.pass_at_1.percent(), point.metrics.tokens.number()
                    console.print(f"{name}, {point.label}: {accuracy}, {tokens} tokens")
                votes[name] = bench.votes(self.votes, rules) if self.votes else {}
        numbers = budget.markdown(curves, votes, self.votes)
        points = [asdict(point) for curve in curves.values() for point in curve]
        voted = {name: {rule: asdict(result) for rule, result in results.items()} for name, results in votes.items()}
        atomic_write(folder / "budget.md", numbers)
        budget.plot_curves(curves, folder / "budget.png")
        write_json(folder / "budget.json", {"settings": asdict(self), "points": points, "votes": voted})
        console.print(numbers, soft_wrap=True)
        console.print(f"{folder}: budget.json, budget.md, budget.png, and a folder per model with its evaluations")


def named(rule: str, entries: list[str]) -> dict[str, str]:
    """`NAME=VALUE` entries as a mapping; a ConfigError that states the rule for an incomplete or duplicate entry."""
    pairs = [entry.partition("=")[::2] for entry in entries]
    if not all(name and value for name, value in pairs) or len(dict(pairs)) < len(pairs):
        raise ConfigError(f"{rule}, got {entries}")
    return dict(pairs)


def count_table(things: str, start: str, count: int, dropped: Mapping[str, int], end: str, kept: int) -> Table:
    """A table of counts: how many things there were, how many were dropped for each reason, and how many are kept."""
    counts = {start: count, **{f"dropped: {why}": number for why, number in dropped.items()}, end: kept}
    return evaluation.terminal_table([(things, "number"), *((name, str(number)) for name, number in counts.items())])


def positive_numbers(name: str, text: str, example: str) -> list[int]:
    """Whole numbers of at least 1 from a comma-separated list, sorted and without duplicates."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(f"{name} are whole numbers of at least 1, such as {example}, got {text!r}")
    return sorted({int(part) for part in parts})


def require_plots() -> None:
    """Raise a MissingDependencyError if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'trl-rlsp[report]'")
