"""The fields that a stage's flat YAML file may hold beside those of TRL's own dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.generation import Sampling
    from trl_rlsp.rewards import OutcomeVerifier, RLSPRewards


@dataclass
class ProblemArguments:
    """Where the problems come from; see `trl_rlsp.load_problems`.

    Args:
        dataset: preset, hub id, file, or `reasoning_gym:TASK?param=value`.
        dataset_split: split of a hub data set.
        dataset_config: configuration of a hub data set.
        dataset_columns: role -> column, as a mapping.
        dataset_limit: at most this many problems.
        dataset_seed: seed of the draw, and of a generator.
        unique_problems: keep one row of each problem.
        exclude: source of problems that must not occur; its split is `exclude_split`.
        exclude_split: split of `exclude`.
        system_prompt: the system message; "default" asks for reasoning and a box, "none" is none.
        prompt_style: "task", or "compact" for generated problems in their shortest form.
    """

    dataset: str | None = None
    dataset_split: str | None = None
    dataset_config: str | None = None
    dataset_columns: dict | str | None = None
    dataset_limit: int | None = None
    dataset_seed: int = 0
    unique_problems: bool = False
    exclude: str | None = None
    exclude_split: str | None = None
    system_prompt: str = "default"
    prompt_style: str = "task"

    def __post_init__(self) -> None:
        if isinstance(self.dataset_columns, str):
            try:
                self.dataset_columns = json.loads(self.dataset_columns)
            except ValueError as error:
                raise ConfigError(
                    f'dataset_columns is a mapping such as \'{{"problem": "question"}}\', got {self.dataset_columns!r}'
                ) from error

    def required(self) -> str:
        """The source, or a ConfigError that says how to give one."""
        if not self.dataset:
            raise ConfigError("no data: set `dataset` in the YAML file or with --dataset SOURCE")
        return self.dataset

    def source(self) -> dict[str, Any]:
        """What the loaders take beside the source."""
        from trl_rlsp.problems import DEFAULT_SYSTEM_PROMPT

        prompt = {"default": DEFAULT_SYSTEM_PROMPT, "none": None}.get(self.system_prompt, self.system_prompt)
        return {
            "split": self.dataset_split,
            "name": self.dataset_config,
            "columns": self.dataset_columns,
            "limit": self.dataset_limit,
            "seed": self.dataset_seed,
            "system_prompt": prompt,
        }

    def load(self) -> Dataset:
        """The problems; an RLSPError if something is wrong with the source."""
        from trl_rlsp.problems import load_problems

        style: Any = self.prompt_style
        excluded = load_problems(self.exclude, split=self.exclude_split, prompt_style=style) if self.exclude else None
        return load_problems(
            self.required(), unique=self.unique_problems, exclude=excluded, prompt_style=style, **self.source()
        )


@dataclass
class DemonstrationArguments(ProblemArguments):
    """Where the demonstrations come from, and how they are written.

    Args:
        demonstrations: "file" reads (problem, reasoning, answer) rows from `dataset`; "search" writes depth-first
            searches for the countdown problems of `dataset`.
        demonstration_style: "messages" (loss on the assistant's turns), "prompt_completion" (loss on the
            completion) or "plain" (text without a chat template).
        demonstration_template: the completion; `{reasoning}` and `{answer}` are replaced.
        drop_invalid: leave out rows without exactly one answer instead of stopping.
        search_per_problem: "search" only: demonstrations written for each problem.
        search_mean_attempts: "search" only: mean budget in attempts.
        search_longest: "search" only: largest budget in attempts.
        search_hit_share: "search" only: share of demonstrations redrawn until they end in a hit.
        search_order: "search" only: order of the branches, "random" or "systematic".
    """

    demonstrations: str = "file"
    demonstration_style: str = "messages"
    demonstration_template: str | None = None
    drop_invalid: bool = False
    search_per_problem: int = 1
    search_mean_attempts: float = 8.0
    search_longest: int = 40
    search_hit_share: float = 0.5
    search_order: str = "random"

    def load_rows(self, seed: int) -> Dataset:
        """Training rows for SFT; searches are drawn with `seed`."""
        from trl_rlsp.problems import DEFAULT_TEMPLATE, load_demonstrations

        if self.demonstrations not in ("file", "search"):
            raise ConfigError(f"demonstrations is 'file' or 'search', got {self.demonstrations!r}")
        written: dict[str, Any] = {
            "style": self.demonstration_style,
            "reasoning_template": self.demonstration_template or DEFAULT_TEMPLATE,
        }
        if self.demonstrations == "search":
            return self._searches(seed, written)
        return load_demonstrations(self.required(), drop_invalid=self.drop_invalid, **self.source(), **written)

    def _searches(self, seed: int, written: dict[str, Any]) -> Dataset:
        from datasets import Dataset

        from trl_rlsp.countdown import search_demonstrations
        from trl_rlsp.problems import demonstration_rows

        names = ("per_problem", "mean_attempts", "longest", "hit_share", "order")
        options: dict[str, Any] = {name: getattr(self, f"search_{name}") for name in names}
        found = search_demonstrations(self.load(), seed=seed, **options)
        return Dataset.from_list(demonstration_rows(found, **written))


@dataclass
class VerifierArguments:
    """How answers are read and checked; see `trl_rlsp.OutcomeVerifier`.

    Args:
        end_of_thinking: closes the reasoning, or "none".
        thinking_required: whether a completion that does not close its reasoning is without an answer; default: where
            the chat template opens the reasoning.
        verifier: "default", or `module.name` of a reward function of your own that gives the outcome.
        verifier_time_limit: seconds for one answer.
        verifier_workers: processes that check answers, on each rank; among several, at most its share of the cores.
    """

    end_of_thinking: str = "</think>"
    thinking_required: bool | None = None
    verifier: str = "default"
    verifier_time_limit: float = 2.0
    verifier_workers: int = 2

    def outcome_verifier(self, **options: Any) -> OutcomeVerifier:
        """The verifier; `options` are for `OutcomeVerifier`, in the place of these fields."""
        from trl_rlsp.rewards import OutcomeVerifier, OwnVerifier, load_object

        given = {
            "end_of_thinking": None if self.end_of_thinking == "none" else self.end_of_thinking,
            "thinking_required": self.thinking_required,
            "time_limit": self.verifier_time_limit,
            "workers": self.verifier_workers,
            **options,
        }
        if self.verifier == "default":
            return OutcomeVerifier(**given)
        return OwnVerifier(load_object(self.verifier), **given)


@dataclass
class RewardArguments(VerifierArguments):
    """The RLSP reward; see `trl_rlsp.RLSPRewards` and docs/rewards.md.

    Args:
        alpha: weight of the outcome, at the start if it moves.
        alpha_schedule: "constant", "linear", "cosine" or "solve_rate".
        alpha_end: weight of the outcome at the end, or at solve rate 1.
        exploration: of "length", "calculation", "diversity", "behaviour", "judge" and `module.name` of reward
            functions or classes of your own, with commas or as a YAML list; or "none".
        length_form: "bounded", "relative" or "paper".
        length_c: length at which half of the bounded bonus is earned, in words.
        length_ngram: repeated n-grams of this many words do not count.
        calculation_k: calculations that hold at which half of the calculation bonus is earned.
        diversity_k: calculations at which half of the diversity bonus is earned.
        behaviour_cap: occurrences of each behaviour that count.
        judge_model: name of the judge at its server; needed by "judge".
        judge_base_url: address of an OpenAI-compatible server; default as the `openai` client's.
        judge_cache: folder or file that keeps grades.
        gate: completions that exploration pays: "none" (all), "correct", "incorrect", or "adaptive" (by failure rate).
        length_penalty: weight of the cost of length where a group succeeds, under gate "adaptive", 0 to 1.
        log_behaviours: log `behaviour/...`, occurrences of each search behaviour per 1,000 tokens.
    """

    alpha: float = 0.8
    alpha_schedule: str = "constant"
    alpha_end: float | None = None
    exploration: str = "length"
    length_form: str = "bounded"
    length_c: float = 1000.0
    length_ngram: int = 6
    calculation_k: float = 8.0
    diversity_k: float = 8.0
    behaviour_cap: int = 4
    judge_model: str | None = None
    judge_base_url: str | None = None
    judge_cache: str | None = None
    gate: str = "none"
    length_penalty: float = 0.25
    log_behaviours: bool = True

    def build(self) -> RLSPRewards:
        """The reward suite; a ConfigError for a value that cannot work."""
        from trl_rlsp.behaviours import BehaviourMetrics
        from trl_rlsp.rewards import AlphaSchedule, RLSPRewards

        shape: Any = self.alpha_schedule
        gate: Any = self.gate
        written: Any = self.exploration
        names = [str(name).strip() for name in (written if isinstance(written, list) else written.split(","))]
        parts = [] if names == ["none"] else [self._part(name) for name in names]
        alpha = AlphaSchedule(shape, self.alpha, self.alpha_end)
        verifier = self.outcome_verifier(watch=[BehaviourMetrics()] if self.log_behaviours else [])
        return RLSPRewards(verifier, parts, alpha=alpha, gate=gate, length_penalty=self.length_penalty)

    def _part(self, name: str) -> Any:
        """One exploration reward."""
        from trl_rlsp import rewards

        form: Any = self.length_form
        parts = {
            "length": lambda: rewards.LengthExploration(form, C=self.length_c, ngram=self.length_ngram),
            "calculation": lambda: rewards.CalculationExploration(K=self.calculation_k),
            "diversity": lambda: rewards.DiversityExploration(K=self.diversity_k),
            "behaviour": lambda: rewards.BehaviourExploration(cap=self.behaviour_cap),
            "judge": self._judge,
        }
        if name not in parts and "." not in name:
            raise ConfigError(
                f"exploration is 'none', or of {', '.join(parts)} and module.name with commas between, got "
                f"{self.exploration!r}"
            )
        return parts[name]() if name in parts else rewards.load_object(name)

    def _judge(self) -> Any:
        from trl_rlsp.rewards import JudgeExploration

        if not self.judge_model:
            raise ConfigError(
                "exploration 'judge' needs a model to ask, got none; set judge_model (and judge_base_url)"
            )
        return JudgeExploration(self.judge_model, base_url=self.judge_base_url, cache=self.judge_cache)


@dataclass
class EvaluationArguments(VerifierArguments, ProblemArguments):
    """What to evaluate and how to sample; the paper's settings by default (2502.06773, section 3).

    Args:
        preset: problems and settings of a benchmark (`math-500`, `aime-2024`); what is given beside it wins.
        model_name_or_path: hub id or folder of a model or an adapter; the server's name for it with `server`.
        output_dir: folder for the samples and metrics.json; samples already there are not drawn again.
        rescore: folder of an evaluation whose samples are scored again; no model is loaded.
        engine: "transformers", "vllm" or "server".
        server_url: address of an OpenAI-compatible server, such as http://localhost:8000/v1.
        dtype: type of the weights.
        tensor_parallel_size: cards over which "vllm" splits the model.
        gpu_memory_utilization: share of each card's memory that "vllm" takes.
        num_samples: completions a problem.
        temperature: 0 is greedy.
        top_p: nucleus mass.
        max_new_tokens: longest completion in tokens.
        batch_size: sequences decoded at once (transformers) or requests in flight (server).
        seed: seed of the sampling.
        ks: values of k for pass@k and maj@k; default powers of two up to `num_samples`.
        save_parquet: write samples.parquet beside samples.jsonl.
    """

    preset: str | None = None
    model_name_or_path: str | None = None
    output_dir: str | None = None
    rescore: str | None = None
    engine: str = "transformers"
    server_url: str | None = None
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    num_samples: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 8192
    batch_size: int = 64
    seed: int = 0
    ks: list[int] | None = None
    save_parquet: bool = False

    def sampling(self) -> Sampling:
        """How completions are drawn; a ConfigError for a value out of its range."""
        from trl_rlsp.generation import Sampling

        names = ("temperature", "top_p", "max_new_tokens", "batch_size", "seed")
        return Sampling(n=self.num_samples, **{name: getattr(self, name) for name in names})
