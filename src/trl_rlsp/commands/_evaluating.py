"""`rlsp eval` and `rlsp check`."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, MissingDependencyError, SourceError

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation import Evaluation
    from trl_rlsp.generation import Engine, Sample, Sampling
    from trl_rlsp.rewards import OutcomeVerifier
    from trl_rlsp.stages import EvaluationArguments
    from trl_rlsp.text import Terminal

logger = logging.getLogger(__name__)

ENGINES = {"transformers": "transformers", "vllm": "vllm", "server": "openai"}
"""Engine -> the module that it needs; those other than transformers are extras of the engine's name."""


def run_eval(arguments: list[str]) -> None:
    """Sample, score and print the metrics of one model on one data set.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from trl_rlsp.evaluation import evaluate_samples, save_evaluation
    from trl_rlsp.text import Terminal
    from trl_rlsp.verification import require_sandbox

    settings = read_settings(arguments)
    console = Terminal()
    if settings.rescore:
        rescore(settings, Path(settings.rescore), console)
        return
    name, sampling = check_eval(settings)
    problems = settings.load()
    require_sandbox(problems.column_names)
    samples = draw_samples(settings, name, sampling, problems, console)
    with verifier_of(settings, name) as verifier:
        metrics, scored = evaluate_samples(samples, problems, verifier=verifier, ks=settings.ks)
    if settings.output_dir:
        save_evaluation(metrics, scored, Path(settings.output_dir), asdict(settings), parquet=settings.save_parquet)
    print_metrics(name, metrics, console)


def parse_eval(arguments: list[str]) -> tuple[EvaluationArguments, str, Sampling]:
    """Settings, model and sampling of an evaluation.

    Raises:
        ConfigError: a field or a value that cannot work.
        MissingDependencyError: the engine is not installed.
    """
    settings = read_settings(arguments)
    return settings, *check_eval(settings)


def read_settings(arguments: list[str]) -> EvaluationArguments:
    """The fields of an evaluation: the command line's, else the YAML file's, else the preset's.

    Raises:
        ConfigError: a field that does not exist, or a preset that does not.
    """
    from trl_rlsp.problems import EVALUATION_PRESETS
    from trl_rlsp.stages import EvaluationArguments, parse_fields

    settings = parse_fields(EvaluationArguments, arguments, "rlsp eval")
    if settings.preset is None:
        return settings
    if settings.preset not in EVALUATION_PRESETS:
        raise ConfigError(f"preset is one of {', '.join(EVALUATION_PRESETS)}, got {settings.preset!r}")
    preset = dict(EVALUATION_PRESETS[settings.preset])
    return parse_fields(EvaluationArguments, arguments, "rlsp eval", written=lambda content: {**preset, **content})


def check_eval(settings: EvaluationArguments) -> tuple[str, Sampling]:
    """The model and the sampling, after everything that can be checked without data has been.

    Raises:
        ConfigError: a value that cannot work.
        MissingDependencyError: the engine is not installed.
    """
    from trl_rlsp.evaluation import check_ks

    if not settings.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    sampling = settings.sampling()
    check_ks(settings.ks or [], sampling.n)
    check_engine(settings)
    settings.required()
    return settings.model_name_or_path, sampling


def check_engine(settings: EvaluationArguments) -> None:
    """Refuse an engine that does not exist, is not installed or lacks its server."""
    if settings.engine not in ENGINES:
        raise ConfigError(f"engine is one of {', '.join(ENGINES)}, got {settings.engine!r}")
    if (settings.engine == "server") != (settings.server_url is not None):
        raise ConfigError(
            "server_url goes with engine 'server' and with no other, "
            f"got engine={settings.engine!r}, server_url={settings.server_url!r}"
        )
    if importlib.util.find_spec(ENGINES[settings.engine]) is None:
        raise MissingDependencyError(
            f"engine {settings.engine!r} needs {ENGINES[settings.engine]}: pip install 'trl-rlsp[{settings.engine}]'"
        )


def open_engine(settings: EvaluationArguments, name: str, problems: Dataset, new_tokens: int) -> Engine:
    """Load the model, or connect to its server.

    Args:
        settings: the engine and its options.
        name: the model.
        problems: those that it will be asked.
        new_tokens: tokens of the longest completion.

    Raises:
        SourceError: there is no such model.
    """
    if settings.engine == "server":
        from trl_rlsp.generation import ServerEngine

        return ServerEngine(name, settings.server_url or "")
    if settings.engine == "vllm":
        from trl_rlsp.generation import VLLMEngine

        return VLLMEngine(
            name,
            prompts=problems["prompt"],
            new_tokens=new_tokens,
            dtype=settings.dtype,
            tensor_parallel_size=settings.tensor_parallel_size,
            gpu_memory_utilization=settings.gpu_memory_utilization,
        )
    import torch

    from trl_rlsp.generation import TransformersEngine, load_model

    placed: dict[str, Any] = {"device_map": "auto"} if torch.cuda.is_available() else {}
    return TransformersEngine(*load_model(name, dtype=settings.dtype, **placed))


def draw_samples(
    settings: EvaluationArguments, name: str, sampling: Sampling, problems: Dataset, console: Terminal
) -> list[Sample]:
    """The samples of an evaluation: those that the output folder has, and the others drawn now."""
    from trl_rlsp.evaluation import SampleStore, draw
    from trl_rlsp.generation import all_requests

    folder = Path(settings.output_dir) if settings.output_dir else None
    total = len(problems) * sampling.n
    with SampleStore(folder, fingerprint(settings, name, problems), problems) if folder else nullcontext() as store:
        there = total - len(store.missing(all_requests(len(problems), sampling.n))) if store else 0
        if there:
            console.print(f"{there} of {total} samples are in {folder} already")
        engine = open_engine(settings, name, problems, sampling.max_new_tokens) if there < total else None
        with progress_bar(console, total, there) as advance:
            return draw(engine, problems, sampling, store=store, on_batch=advance)


@contextmanager
def progress_bar(console: Terminal, total: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar with the count and the time left; yields what sets it to a number of completions."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("sampling", total=total, completed=done)
        yield lambda count: progress.update(bar, completed=count)


def fingerprint(settings: EvaluationArguments, name: str, problems: Dataset) -> dict[str, Any]:
    """All that the samples depend on; the batch size has no part in it, so that it may be lowered in a resumed run."""
    from trl_rlsp.evaluation import model_hash, problems_hash, prompts_hash

    fields = ("engine", "dtype", "num_samples", "temperature", "top_p", "max_new_tokens", "seed")
    chosen = {field: getattr(settings, field) for field in fields}
    hashes = {"problems": problems_hash(problems), "prompts": prompts_hash(problems)}
    return {"model": name if settings.engine == "server" else model_hash(name), **hashes, **chosen}


def rescore(settings: EvaluationArguments, folder: Path, console: Terminal) -> None:
    """Score the samples of a folder again and replace its metrics.

    Raises:
        ConfigError: samples are missing.
        SourceError: the folder holds no samples, or its problems are not beside them.
    """
    from trl_rlsp.evaluation import (
        evaluate_samples,
        load_settings,
        read_problems,
        read_samples,
        save_evaluation,
    )

    samples, problems = read_samples(folder), read_problems(folder)
    before = load_settings(folder)
    if problems is None:
        raise SourceError(f"{folder} holds no problems.parquet beside its samples: evaluate again into another folder")
    expected = len(problems) * before["num_samples"]
    if len(samples) != expected:
        raise ConfigError(
            f"{folder} has {len(samples)} of {expected} samples: finish it with the command that began it"
        )
    model = None if before["engine"] == "server" else before.get("model_name_or_path")
    with verifier_of(settings, model) as verifier:
        metrics, scored = evaluate_samples(samples, problems, verifier=verifier, ks=settings.ks)
    save_evaluation(metrics, scored, folder, before, parquet=settings.save_parquet)
    print_metrics(before.get("model_name_or_path") or folder.name, metrics, console)


def verifier_of(settings: EvaluationArguments, model: str | None) -> OutcomeVerifier:
    """The verifier of an evaluation, whose calls have an hour.

    Args:
        settings: how answers are read and checked.
        model: its chat template says whether completions start inside the reasoning, unless the settings do.
    """
    required = settings.thinking_required
    if required is None and model and settings.engine != "server":
        required = opens_thinking(model, settings.end_of_thinking)
    return settings.outcome_verifier(thinking_required=required, batch_seconds=3600)


def opens_thinking(model: str, end_of_thinking: str) -> bool:
    """Whether a model's chat template opens the reasoning; no, with a warning, where it cannot be read."""
    from transformers import AutoTokenizer

    from trl_rlsp.text import thinking_is_open

    try:
        return thinking_is_open(AutoTokenizer.from_pretrained(model), end_of_thinking)
    except (OSError, ValueError) as error:
        logger.warning("no tokenizer of %s says whether it thinks first (%s): give --thinking_required", model, error)
        return False


def print_metrics(name: str, metrics: Evaluation, console: Terminal) -> None:
    """The table of an evaluation, and one for levels and subjects where there are any."""
    from trl_rlsp.evaluation import evaluation_table, slice_tables

    console.print(evaluation_table({name: metrics}))
    for table in slice_tables(metrics):
        console.print(table)


def run_check(arguments: list[str]) -> int:
    """Prove that every gold answer of a data set verifies as 1.0, and print those that don't.

    Args:
        arguments: command-line arguments.

    Returns:
        0 when every answer verifies, else 1.

    Raises:
        RLSPError: the data set cannot be loaded.
    """
    from trl_rlsp.evaluation import check_dataset, print_report
    from trl_rlsp.stages import ProblemArguments, VerifierArguments, parse_stage
    from trl_rlsp.text import Terminal

    source, checking = parse_stage((ProblemArguments, VerifierArguments), arguments, "rlsp check")
    problems = source.load()
    with checking.outcome_verifier(batch_seconds=3600) as verifier:
        report = check_dataset(problems, verifier)
    print_report(report, source.required(), Terminal())
    return 0 if report.ok else 1
