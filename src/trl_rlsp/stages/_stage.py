"""A stage: its settings as they were written, lazily what they name, and its settings as TRL has judged them.

TRL's own validation stops at the first thing that is wrong and asks for the hardware, so a recipe for eight GPUs cannot
be judged on a laptop. `read_stage` therefore keeps the trainer's settings as they were written; `parse_sft` and
`parse_grpo` are what the stage's own command does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages import _models as models
from trl_rlsp.stages._parsing import parse_stage, read_yaml

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase
    from trl import ModelConfig

    from trl_rlsp.rewards import RLSPRewards
    from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments, RewardArguments
    from trl_rlsp.trainers import RLSPGRPOConfig, RLSPSFTConfig

Kind = Literal["sft", "grpo"]
T = TypeVar("T")

ONLY_GRPO = {"num_generations", "max_completion_length", "alpha", "exploration", "steps_per_generation", "gate"}
ONLY_SFT = {"demonstrations", "demonstration_style", "demonstration_template", "assistant_only_loss", "max_length"}
"""Fields that tell the two kinds of stage apart."""


class UnknownError(RLSPError):
    """Something that a check needs cannot be had here."""


@dataclass
class Stage:
    """One stage's settings, and lazily what they name: data, tokenizer, the model's configuration. Never weights.

    What has been loaded already is assigned to `rows`, `rewards` and `tokenizer`.

    Attributes:
        kind: "sft" or "grpo".
        data: where the rows come from.
        training: the trainer's settings, as written in the file; TRL may not have judged them.
        model: the model's settings.
        reward: settings of the reward; `None` for "sft".
        processes: ranks that the stage will run on.
        elsewhere: the stage will run on another machine: hardware, disk and judge of this one say nothing.
        arguments: the command line that the settings were read from.
        before: the SFT stage whose model this one starts from, where that model has not been trained yet.
    """

    kind: Kind
    data: ProblemArguments | DemonstrationArguments
    training: Any
    model: ModelConfig
    reward: RewardArguments | None = None
    processes: int = 1
    elsewhere: bool = False
    arguments: tuple[str, ...] = ()
    before: Stage | None = None

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
        if self.before is not None:
            return self.before.tokenizer
        tokenizer = _had(lambda: models.tokenizer_of(self.model), "the tokenizer")
        replaced = getattr(self.training, "chat_template_path", None)
        if replaced and Path(replaced).is_file():
            tokenizer.chat_template = Path(replaced).read_text(encoding="utf-8")
        return tokenizer

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, of an adapter that of its base; see `load_config`.

        Raises:
            UnknownError: it cannot be had here.
        """
        if self.before is not None:
            return self.before.config
        name = models.model_name(self.model)
        return _had(lambda: models.load_config(name, self.model.model_revision), f"the model's configuration ({name})")

    @cached_property
    def is_adapter(self) -> bool:
        """Whether training goes on from an adapter."""
        if self.before is not None:
            return bool(self.before.model.use_peft) or self.before.is_adapter
        return models.names_adapter(str(self.model.model_name_or_path), self.model.model_revision)

    @cached_property
    def adapter(self) -> tuple[int | None, tuple[str, ...] | str | None]:
        """Rank and layers of the adapter that the stage trains; a rank of `None` for none."""
        if self.is_adapter and self.before is not None:
            return self.before.adapter
        if self.is_adapter:
            from peft import PeftConfig

            found = PeftConfig.from_pretrained(str(self.model.model_name_or_path), revision=self.model.model_revision)
            rank, targets = int(found.r), found.target_modules
        elif self.model.use_peft:
            rank, targets = self.model.lora_r, self.model.lora_target_modules
        else:
            return None, None
        if targets is None or isinstance(targets, str):
            return rank, targets
        return rank, "all-linear" if list(targets) == ["all-linear"] else tuple(sorted(targets))

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one optimizer step learns from, on all ranks together."""
        t = self.training
        return int(t.per_device_train_batch_size * t.gradient_accumulation_steps * self.processes)

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


def read_stage(kind: Kind, arguments: Sequence[str], *, processes: int | None = None, elsewhere: bool = False) -> Stage:
    """Read a stage's YAML file without judging it.

    Args:
        kind: "sft" or "grpo".
        arguments: `--config FILE` and overrides.
        processes: ranks; default `$WORLD_SIZE`, else 1.
        elsewhere: the stage will run on another machine.

    Raises:
        ConfigError: a field that no stage has, or a value of the wrong kind.
    """
    if processes is None:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
    data, *reward, training, model = parse_stage(_kinds(kind), arguments, f"rlsp {kind}", as_written=_kinds(kind)[-2])
    if training.bf16 is None:
        training.bf16 = not training.fp16  # TRL's default
    before = _stage_before(arguments, str(model.model_name_or_path)) if kind == "grpo" else None
    kept = reward[0] if reward else None
    return Stage(kind, data, training, model, kept, processes, elsewhere, tuple(arguments), before)


def parse_sft(arguments: Sequence[str]) -> tuple[DemonstrationArguments, RLSPSFTConfig, ModelConfig]:
    """Data, settings and model of an SFT stage.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    data, training, model = parse_stage(_kinds("sft"), arguments, "rlsp sft")
    data.required()
    models.model_name(model)
    return data, training, model


def parse_grpo(arguments: Sequence[str]) -> tuple[ProblemArguments, RLSPRewards, RLSPGRPOConfig, ModelConfig]:
    """Data, rewards, settings and model of an RL stage.

    Raises:
        ConfigError: a field or a value that cannot work, or settings that lose the balance of the rewards.
    """
    from trl_rlsp.rewards import refuse_imbalance

    data, reward, training, model = parse_stage(_kinds("grpo"), arguments, "rlsp grpo")
    rewards = reward.build()
    refuse_imbalance(rewards, training)
    data.required()
    models.model_name(model)
    return data, rewards, training, model


def kind_of(path: Path) -> Kind:
    """Whether a YAML file is of an SFT or an RL stage: by its name, else by its fields.

    Raises:
        ConfigError: neither tells.
    """
    fields = set(read_yaml(path))
    if fields & ONLY_GRPO and not fields & ONLY_SFT:
        return "grpo"
    if fields & ONLY_SFT and not fields & ONLY_GRPO:
        return "sft"
    for kind in ("sft", "grpo"):
        if kind in path.stem:
            return kind
    raise ConfigError(f"{path} has no field of `rlsp sft` or `rlsp grpo` alone: say which with --stage sft or grpo")


def _kinds(kind: Kind) -> tuple[Any, ...]:
    """The dataclasses that hold a stage's fields: data, perhaps reward, training, model."""
    from trl import ModelConfig

    from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments, RewardArguments

    if kind == "sft":
        from trl_rlsp.trainers import RLSPSFTConfig

        return DemonstrationArguments, RLSPSFTConfig, ModelConfig
    from trl_rlsp.trainers import RLSPGRPOConfig

    return ProblemArguments, RewardArguments, RLSPGRPOConfig, ModelConfig


def _stage_before(arguments: Sequence[str], model: str) -> Stage | None:
    """The SFT stage beside an RL stage's file that will write the model which the latter starts from."""
    from trl_rlsp.stages._parsing import config_of

    config = config_of(arguments)
    if config is None or Path(model).exists() or not (beside := config.parent / "sft.yaml").is_file():
        return None
    if str(read_yaml(beside).get("output_dir", "")).rstrip("/") != model.rstrip("/"):
        return None
    return read_stage("sft", ["--config", str(beside)])


def _had(get: Callable[[], T], what: str) -> T:
    try:
        return get()
    except (OSError, ValueError, ImportError) as error:  # of transformers, and SourceError
        raise UnknownError(f"{what} cannot be read here: {str(error).splitlines()[0]}") from error
