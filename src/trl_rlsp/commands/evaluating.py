"""`rlsp eval` and `rlsp check`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trl_rlsp.commands.arguments import EvaluationArguments
    from trl_rlsp.generation import Sampling


def run_eval(arguments: list[str]) -> None:
    """Sample, score and print the figures of one model on one data set.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from rich.console import Console
    from rich.progress import Progress

    from trl_rlsp.evaluation import evaluate, save_evaluation
    from trl_rlsp.generation import load_model
    from trl_rlsp.reporting import evaluation_table

    settings, name, sampling = parse_eval(arguments)
    problems = settings.load()
    model, tokenizer = load_model(name, dtype=settings.dtype)
    console = Console()
    with Progress(console=console) as progress:
        bar = progress.add_task("sampling", total=len(problems) * sampling.n)
        figures, samples = evaluate(
            model, tokenizer, problems, sampling, on_batch=lambda done: progress.update(bar, completed=done)
        )
    if settings.output_dir:
        save_evaluation(figures, samples, Path(settings.output_dir), asdict(settings))
    console.print(evaluation_table({name: figures}))


def parse_eval(arguments: list[str]) -> tuple[EvaluationArguments, str, Sampling]:
    """Settings, model and sampling of an evaluation.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl_rlsp.commands.arguments import EvaluationArguments
    from trl_rlsp.commands.config import parse_stage
    from trl_rlsp.errors import ConfigError
    from trl_rlsp.generation import Sampling

    (settings,) = parse_stage((EvaluationArguments,), arguments, "rlsp eval")
    if not settings.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    sampling = Sampling(
        n=settings.num_samples,
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    settings.required()
    return settings, settings.model_name_or_path, sampling


def run_check_command(arguments: list[str]) -> int:
    """Prove that every gold answer of a data set verifies as 1.0, and print those that don't.

    Args:
        arguments: command-line arguments.

    Returns:
        0 when every answer verifies, else 1.

    Raises:
        RLSPError: the data set cannot be loaded.
    """
    from trl_rlsp.checking import run_check
    from trl_rlsp.commands.arguments import ProblemArguments
    from trl_rlsp.commands.config import parse_stage

    (source,) = parse_stage((ProblemArguments,), arguments, "rlsp check")
    return run_check(
        source.required(),
        split=source.dataset_split,
        name=source.dataset_config,
        columns=source.columns,
        limit=source.dataset_limit,
        seed=source.dataset_seed,
        prompt_style=source.prompt_style,
    )
