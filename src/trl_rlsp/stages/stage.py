"""A stage as the doctor sees it: its settings before TRL has judged them, and what they point to.

TRL's own validation stops at the first thing that is wrong and asks for the hardware, so a recipe for eight GPUs cannot
be parsed on a laptop. The settings are therefore read into the same dataclass without its validation; the validation
itself is one of the checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trl_rlsp.errors import ConfigError, RLSPError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase
    from trl import ModelConfig

    from trl_rlsp.rewards.suite import RLSPRewards
    from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments, RewardArguments

Kind = Literal["sft", "grpo"]
T = TypeVar("T")


class UnknownError(RLSPError):
    """Something that a check needs cannot be had here."""


@dataclass
class Stage:
    """One stage's settings, and lazily what they name: data, tokenizer, the model's configuration. Never weights.

    Attributes:
        kind: "sft" or "grpo".
        data: where the rows come from.
        training: the trainer's settings, as written in the file; TRL may not have judged them.
        model: the model's settings.
        reward: settings of the reward; `None` for "sft".
        processes: ranks that the stage will run on.
        elsewhere: the stage will run on another machine: hardware, disk and judge of this one say nothing.
        arguments: the command line that the settings were read from.
    """

    kind: Kind
    data: ProblemArguments | DemonstrationArguments
    training: Any
    model: ModelConfig
    reward: RewardArguments | None = None
    processes: int = 1
    elsewhere: bool = False
    arguments: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> Any:
        """The problems, or the demonstrations.

        Raises:
            RLSPError: whatever is wrong with the source.
        """
        if self.kind == "grpo":
            return self.data.load()
        return self.data.load_rows(self.training.seed)  # type: ignore[union-attr]

    @cached_property
    def rewards(self) -> RLSPRewards:
        """The reward suite.

        Raises:
            ConfigError: a value that cannot work.
        """
        if self.reward is None:
            raise ConfigError("an SFT stage has no rewards")
        return self.reward.build()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer, with the chat template that an SFT stage puts in its place.

        Raises:
            UnknownError: it cannot be had here.
        """
        from trl_rlsp.commands.training import tokenizer_of

        tokenizer = _had(lambda: tokenizer_of(self.model), "the tokenizer")
        replaced = getattr(self.training, "chat_template_path", None)
        if replaced and Path(replaced).is_file():
            tokenizer.chat_template = Path(replaced).read_text(encoding="utf-8")
        return tokenizer

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, of an adapter that of its base; see `trl_rlsp.planning.architecture`.

        Raises:
            UnknownError: it cannot be had here.
        """
        from trl_rlsp.commands.training import model_name
        from trl_rlsp.planning.architecture import load_config

        name = model_name(self.model)
        return _had(lambda: load_config(name, self.model.model_revision), f"the model's configuration ({name})")

    @cached_property
    def is_adapter(self) -> bool:
        """Whether training goes on from an adapter."""
        from trl_rlsp.trainers.adapter import is_adapter

        return is_adapter(str(self.model.model_name_or_path), self.model.model_revision)

    @property
    def sequences_per_generation(self) -> int:
        """Completions of one generation, on all ranks together ("grpo" only)."""
        t = self.training
        return t.generation_batch_size or t.per_device_train_batch_size * self.processes * self.steps_per_generation

    @property
    def steps_per_generation(self) -> int:
        """Micro-batches that one generation is cut into on each rank ("grpo" only)."""
        t = self.training
        if t.generation_batch_size:
            return max(1, t.generation_batch_size // (t.per_device_train_batch_size * self.processes))
        return t.steps_per_generation or t.gradient_accumulation_steps


def read_stage(kind: Kind, arguments: list[str], *, processes: int | None = None, elsewhere: bool = False) -> Stage:
    """Read a stage's YAML file without judging it.

    Args:
        kind: "sft" or "grpo".
        arguments: `--config FILE` and overrides.
        processes: ranks; default `$WORLD_SIZE`, else 1.
        elsewhere: the stage will run on another machine.

    Raises:
        ConfigError: a field that no stage has, or a value of the wrong kind.
    """
    from trl import ModelConfig

    from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments, RewardArguments
    from trl_rlsp.stages.config import parse_stage
    from trl_rlsp.trainers.grpo import RLSPGRPOConfig
    from trl_rlsp.trainers.sft import RLSPSFTConfig

    prog = f"rlsp {kind}"
    if processes is None:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
    reward = None
    if kind == "sft":
        wanted: tuple[Any, ...] = (DemonstrationArguments, unjudged(RLSPSFTConfig), ModelConfig)
        data, training, model = parse_stage(wanted, arguments, prog)
    else:
        wanted = (ProblemArguments, RewardArguments, unjudged(RLSPGRPOConfig), ModelConfig)
        data, reward, training, model = parse_stage(wanted, arguments, prog)
    if training.bf16 is None:
        training.bf16 = not training.fp16  # TRL's default
    return Stage(kind, data, training, model, reward, processes, elsewhere, tuple(arguments))


def unjudged(settings: type[T]) -> type[T]:
    """The same dataclass, its fields left as they were written."""

    def leave(self: Any) -> None:
        """Nothing is derived and nothing is refused."""

    return dataclass(type(f"Unjudged{settings.__name__}", (settings,), {"__post_init__": leave}))


def kind_of(path: Path) -> Kind:
    """Whether a YAML file is of an SFT or an RL stage: by its name, else by its fields.

    Raises:
        ConfigError: neither tells.
    """
    from trl_rlsp.cli import read_yaml

    fields = set(read_yaml(path))
    rl = {"num_generations", "max_completion_length", "alpha", "exploration", "steps_per_generation", "gate"}
    sft = {"demonstrations", "demonstration_style", "demonstration_template", "assistant_only_loss", "max_length"}
    if fields & rl and not fields & sft:
        return "grpo"
    if fields & sft and not fields & rl:
        return "sft"
    for kind in ("sft", "grpo"):
        if kind in path.stem:
            return kind
    raise ConfigError(f"{path} has no field of `rlsp sft` or `rlsp grpo` alone: say which with --stage sft or grpo")


def _had(get: Callable[[], T], what: str) -> T:
    try:
        return get()
    except (OSError, ValueError, ImportError) as error:  # of transformers, and SourceError
        raise UnknownError(f"{what} cannot be read here: {str(error).splitlines()[0]}") from error
