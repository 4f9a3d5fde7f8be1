"""The fields of a stage's flat YAML file in addition to those of TRL's own dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl_rlsp import behaviours, countdown, generation, problems, rewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.stages._parsing import option

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class ProblemArguments:
    """Where the problems come from; see `trl_rlsp.load_problems`."""

    dataset: str | None = option(None, "preset, hub id, file, or `reasoning_gym:TASK?param=value`")
    dataset_split: str | None = option(None, "split of a hub data set")
    dataset_config: str | None = option(None, "configuration of a hub data set")
    dataset_columns: dict | str | None = option(None, "role -> column, as a mapping")
    dataset_limit: int | None = option(None, "at most this many problems")
    dataset_seed: int = option(0, "seed for sampling problems, and for generators")
    unique_problems: bool = option(False, "keep one row of each problem")
    exclude: str | None = option(None, "source of problems to leave out; its split is `exclude_split`")
    exclude_split: str | None = option(None, "split of `exclude`")
    system_prompt: str = option("default", 'system message; "default" asks for reasoning and a box, "none" is none')
    prompt_style: str = option("task", '"task", or "compact" for generated problems in their shortest form')

    def __post_init__(self) -> None:
        if isinstance(self.dataset_columns, str):
            try:
                self.dataset_columns = json.loads(self.dataset_columns)
            except ValueError as error:
                rule = 'dataset_columns is a mapping such as \'{"problem": "question"}\''
                raise ConfigError(f"{rule}, got {self.dataset_columns!r}") from error

    def required(self) -> str:
        """The source; a ConfigError that says how to give one if there is none."""
        if not self.dataset:
            raise ConfigError("no data: set `dataset` in the YAML file or with --dataset SOURCE")
        return self.dataset

    def source(self) -> dict[str, Any]:
        """The loaders' arguments other than the source."""
        named = {"default": problems.DEFAULT_SYSTEM_PROMPT, "none": None}
        return {
            "split": self.dataset_split,
            "name": self.dataset_config,
            "columns": self.dataset_columns,
            "limit": self.dataset_limit,
            "seed": self.dataset_seed,
            "system_prompt": named.get(self.system_prompt, self.system_prompt),
        }

    def load(self) -> Dataset:
        """The problems; an RLSPError if the source cannot be used."""
        style: Any = self.prompt_style
        excluded = None
        if self.exclude:
            excluded = problems.load_problems(self.exclude, split=self.exclude_split, prompt_style=style)
        given = {**self.source(), "unique": self.unique_problems, "exclude": excluded}
        return problems.load_problems(self.required(), prompt_style=style, **given)


@dataclass
class DemonstrationArguments(ProblemArguments):
    """The source and the format of the demonstrations."""

    demonstrations: str = option("file", '"file" reads problem, reasoning, answer; "search" writes countdown searches')
    demonstration_style: str = option(
        "messages",
        '"messages" (loss on the assistant), "prompt_completion" (on the completion), "plain" (no chat template)',
    )
    demonstration_template: str | None = option(None, "the completion; `{reasoning}` and `{answer}` are replaced")
    drop_invalid: bool = option(False, "leave out rows without exactly one answer instead of stopping")
    search_per_problem: int = option(1, '"search" only: demonstrations written for each problem')
    search_mean_attempts: float = option(8.0, '"search" only: mean budget in attempts')
    search_longest: int = option(40, '"search" only: largest budget in attempts')
    search_hit_share: float = option(0.5, '"search" only: share of demonstrations redrawn until they end in a hit')
    search_order: str = option("random", '"search" only: order of the branches, "random" or "systematic"')

    def load_rows(self, seed: int) -> Dataset:
        """Training rows for SFT; searches are drawn with `seed`."""
        if self.demonstrations not in ("file", "search"):
            raise ConfigError(f"demonstrations is 'file' or 'search', got {self.demonstrations!r}")
        template = self.demonstration_template or problems.DEFAULT_TEMPLATE
        written: dict[str, Any] = {"style": self.demonstration_style, "reasoning_template": template}
        if self.demonstrations == "file":
            written |= {**self.source(), "drop_invalid": self.drop_invalid}
            return problems.load_demonstrations(self.required(), **written)
        from datasets import Dataset

        names = ("per_problem", "mean_attempts", "longest", "hit_share", "order")
        options = {name: getattr(self, f"search_{name}") for name in names}
        found = countdown.search_demonstrations(self.load(), seed=seed, **options)
        return Dataset.from_list(problems.demonstration_rows(found, **written))


@dataclass
class VerifierArguments:
    """How answers are parsed and checked; see `trl_rlsp.OutcomeVerifier`."""

    end_of_thinking: str = option("</think>", 'closes the reasoning, or "none"')
    thinking_required: bool | None = option(
        None, "whether an answer needs closed reasoning; default: if the chat template opens the reasoning"
    )
    verifier: str = option("default", '"default", or `module.name` of your own reward function for the outcome')
    verifier_time_limit: float = option(2.0, "seconds for one answer")
    verifier_workers: int = option(2, "processes that check answers; with several ranks, each gets its share of cores")
    all_or_nothing: bool = option(False, "a program that fails a test scores 0, not the share of tests that it passes")

    def outcome_verifier(self, **options: Any) -> rewards.OutcomeVerifier:
        """The verifier; `options` are passed to `OutcomeVerifier` and override these fields."""
        end = None if self.end_of_thinking == "none" else self.end_of_thinking
        limits: dict[str, Any] = {"time_limit": self.verifier_time_limit, "workers": self.verifier_workers}
        limits["code_options"] = {"all_or_nothing": True} if self.all_or_nothing else None
        given = {"end_of_thinking": end, "thinking_required": self.thinking_required, **limits, **options}
        if self.verifier == "default":
            return rewards.OutcomeVerifier(**given)
        return rewards.OwnVerifier(rewards.load_object(self.verifier), **given)


@dataclass
class RewardArguments(VerifierArguments):
    """The RLSP reward; see `trl_rlsp.RLSPRewards` and docs/rewards.md."""

    alpha: float = option(0.8, "weight of the outcome, at the start if it has a schedule")
    alpha_schedule: str = option("constant", '"constant", "linear", "cosine" or "solve_rate"')
    alpha_end: float | None = option(None, "weight of the outcome at the end, or at solve rate 1")
    exploration: str = option(
        "length",
        'a list of "length", "calculation", "diversity", "novelty", "behaviour", "judge", module.name; or "none"',
    )
    length_form: str = option("bounded", '"bounded", "relative" or "paper"')
    length_c: float = option(1000.0, "length at which half of the bounded bonus is earned, in words")
    length_ngram: int = option(6, "repeated n-grams of this many words do not count")
    calculation_k: float = option(8.0, "correct calculations at which half of the calculation bonus is earned")
    diversity_k: float = option(8.0, "calculations at which half of the diversity bonus is earned")
    novelty_form: str = option("batch", 'answers are rare in the "batch", or over the run: "historical"')
    behaviour_cap: int = option(4, "occurrences of each behavior that count")
    judge_model: str | None = option(None, 'name of the judge on its server; required by "judge"')
    judge_base_url: str | None = option(None, "address of an OpenAI-compatible server; default: the client's")
    judge_cache: str | None = option(None, "folder or file in which grades are cached")
    gate: str = option("none", 'bonus paid if: "none" (always), "correct", "incorrect", "adaptive" (by failure rate)')
    length_penalty: float = option(0.25, 'weight of the cost of length if a group succeeds, under gate "adaptive"')
    objective: str = option("verdict", '"verdict", "max_rl" (rarely solved problems), "pass@k" or "rare"')
    objective_k: int = option(4, "completions that pass@k draws")
    log_behaviours: bool = option(True, "log `behaviour/...`, occurrences of each search behavior per 1,000 tokens")

    def build(self) -> rewards.RLSPRewards:
        """The reward suite; a ConfigError for an invalid value."""
        shape: Any = self.alpha_schedule
        written: Any = self.exploration
        names = [str(name).strip() for name in (written if isinstance(written, list) else written.split(","))]
        parts = [] if names == ["none"] else [self._part(name) for name in names]
        alpha = rewards.AlphaSchedule(shape, self.alpha, self.alpha_end)
        verifier = self.outcome_verifier(watch=[behaviours.BehaviourMetrics()] if self.log_behaviours else [])
        given: dict[str, Any] = {"gate": self.gate, "objective": self.objective, "k": self.objective_k}
        return rewards.RLSPRewards(verifier, parts, alpha=alpha, length_penalty=self.length_penalty, **given)

    def _part(self, name: str) -> Any:
        if "." in name:
            return rewards.load_object(name)
        parts: dict[str, dict[str, Any]] = {
            "length": {"form": self.length_form, "C": self.length_c, "ngram": self.length_ngram},
            "calculation": {"K": self.calculation_k},
            "diversity": {"K": self.diversity_k},
            "novelty": {"form": self.novelty_form},
            "behaviour": {"cap": self.behaviour_cap},
            "judge": {"model": self.judge_model, "base_url": self.judge_base_url, "cache": self.judge_cache},
        }
        if name not in parts:
            rule = f"exploration is 'none' or a comma-separated list of {', '.join(parts)} and module.name"
            raise ConfigError(f"{rule}, got {self.exploration!r}")
        if name == "judge" and not self.judge_model:
            raise ConfigError("exploration 'judge' needs a model, got none; set judge_model (and judge_base_url)")
        return getattr(rewards, f"{name.capitalize()}Exploration")(**parts[name])


@dataclass
class EvaluationArguments(VerifierArguments, ProblemArguments):
    """The model and problems to evaluate, and the sampling; defaults as in the paper (2502.06773, section 3)."""

    preset: str | None = option(None, "problems and settings of `math-500` or `aime-2024`; given fields override it")
    model_name_or_path: str | None = option(None, "hub id or folder of a model or adapter, or its name on a server")
    output_dir: str | None = option(None, "folder for samples and metrics.json; existing samples are kept")
    rescore: str | None = option(None, "folder of an evaluation whose samples to score again, without the model")
    engine: str = option("transformers", '"transformers", "vllm" or "server"')
    server_url: str | None = option(None, "address of an OpenAI-compatible server, such as http://localhost:8000/v1")
    dtype: str = option("auto", "type of the weights")
    tensor_parallel_size: int = option(1, 'GPUs over which "vllm" splits the model')
    gpu_memory_utilization: float = option(0.9, 'share of each GPU\'s memory that "vllm" takes')
    num_samples: int = option(1, "completions per problem")
    temperature: float = option(0.7, "0 is greedy")
    top_p: float = option(1.0, "nucleus mass")
    max_new_tokens: int = option(8192, "longest completion in tokens")
    batch_size: int = option(64, "sequences decoded at once (transformers) or requests in flight (server)")
    seed: int = option(0, "seed of the sampling")
    ks: list[int] | None = option(None, "values of k for pass@k and maj@k; default: powers of two up to `num_samples`")

    def sampling(self) -> generation.Sampling:
        """The sampling settings; a ConfigError for an invalid value."""
        names = ("temperature", "top_p", "max_new_tokens", "batch_size", "seed")
        return generation.Sampling(n=self.num_samples, **{name: getattr(self, name) for name in names})
