"""A stage: its settings, as written or as validated by TRL, and the data and tokenizer that they name; never weights.

TRL's own validation depends on the hardware, so on a laptop it cannot check a recipe for eight GPUs. `read_stage` keeps
the trainer's settings as written; the commands `rlsp sft` and `rlsp grpo` use `parse_sft` and `parse_grpo`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp import trainers
from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.files import read_json
from trl_rlsp.rewards import RLSPRewards, refuse_imbalance
from trl_rlsp.stages._parsing import config_of, parse_stage, read_yaml
from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments, RewardArguments

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase
    from trl import ModelConfig

Kind = Literal["sft", "grpo"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Stage:
    """One stage's settings, and the data, tokenizer and model configuration that they name, loaded lazily.

    Assign `rows`, `rewards` and `tokenizer` if they are loaded already.
    """

    kind: Kind
    data: ProblemArguments | DemonstrationArguments
    training: Any  # as written in the file, or validated by TRL
    model: ModelConfig
    reward: RewardArguments | None = None  # `None` for "sft"
    processes: int = 1  # ranks that the stage will run on
    elsewhere: bool = False  # runs on another machine: ignore the hardware, disk and judge of this one
    arguments: tuple[str, ...] = ()  # the arguments that the settings were read from

    @cached_property
    def rows(self) -> Any:
        """The problems or demonstrations; an RLSPError if the source cannot be used."""
        data: Any = self.data
        return data.load() if self.kind == "grpo" else data.load_rows(self.training.seed)

    @cached_property
    def rewards(self) -> RLSPRewards:
        """The reward suite of an RL stage; a ConfigError for an invalid value."""
        if self.reward is None:
            raise ConfigError("an SFT stage has no rewards")
        return self.reward.build()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with the chat template that an SFT stage sets; a SourceError if it cannot be read."""
        tokenizer = tokenizer_of(self.model)
        replaced = Path(getattr(self.training, "chat_template_path", None) or "")
        if replaced.is_file():
            tokenizer.chat_template = replaced.read_text(encoding="utf-8")
        return tokenizer

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The configuration of the model, or of an adapter's base; a SourceError if it cannot be read."""
        return load_config(model_name(self.model), self.model.model_revision)

    @cached_property
    def is_adapter(self) -> bool:
        """Whether training continues from an adapter."""
        return names_adapter(str(self.model.model_name_or_path), self.model.model_revision)

    @cached_property
    def adapter_config(self) -> PeftConfig | None:
        """The configuration of the adapter that the stage trains."""
        from peft import PeftConfig
        from trl import get_peft_config

        if not self.is_adapter:
            return get_peft_config(self.model)
        return PeftConfig.from_pretrained(str(self.model.model_name_or_path), revision=self.model.model_revision)

    @property
    def adapter(self) -> tuple[int | None, tuple[str, ...] | str | None]:
        """Rank and layers of the adapter that the stage trains; the rank is `None` without an adapter."""
        config: Any = self.adapter_config
        targets = config and config.target_modules
        if targets is None or isinstance(targets, str):
            return config and int(config.r), targets
        return int(config.r), "all-linear" if set(targets) == {"all-linear"} else tuple(sorted(targets))

    @property
    def sequences_per_step(self) -> int:
        """Sequences per optimizer step, over all ranks."""
        t = self.training
        return int(t.per_device_train_batch_size * t.gradient_accumulation_steps * self.processes)

    @property
    def sequences_per_generation(self) -> int:
        """Completions per generation, over all ranks ("grpo" only)."""
        t = self.training
        return t.generation_batch_size or t.per_device_train_batch_size * self.processes * self.steps_per_generation

    @property
    def steps_per_generation(self) -> int:
        """Micro-batches per generation on each rank ("grpo" only)."""
        t = self.training
        if not t.generation_batch_size:
            return t.steps_per_generation or t.gradient_accumulation_steps
        return max(1, t.generation_batch_size // (t.per_device_train_batch_size * self.processes))


def read_stage(
    kind: Kind, arguments: Sequence[str], *, processes: int | None = None, elsewhere: bool = False, also: Any = ()
) -> Stage:
    """Read a stage's YAML file and overrides without TRL's validation; `processes` defaults to `$WORLD_SIZE`, else 1.

    A ConfigError for an unknown field (`also` has more names to suggest) or a value of the wrong kind.
    """
    kinds = _kinds(kind)
    data, *reward, training, model = parse_stage(kinds, arguments, f"rlsp {kind}", as_written=kinds[-2], also=also)
    if training.bf16 is None:
        training.bf16 = not training.fp16  # TRL's default
    ranks = int(os.environ.get("WORLD_SIZE", "1")) if processes is None else processes
    stage = Stage(kind, data, training, model, reward[0] if reward else None, ranks, elsewhere, tuple(arguments))
    _start_at_the_first(stage)
    return stage


def parse_sft(arguments: Sequence[str]) -> tuple[DemonstrationArguments, trainers.RLSPSFTConfig, ModelConfig]:
    """Data, settings and model of an SFT stage; a ConfigError for an invalid field or value."""
    data, training, model = parse_stage(_kinds("sft"), arguments, "rlsp sft")
    data.required()
    model_name(model)
    return data, training, model


def parse_grpo(arguments: Sequence[str]) -> tuple[ProblemArguments, RLSPRewards, trainers.RLSPGRPOConfig, ModelConfig]:
    """Data, rewards, settings and model of an RL stage; a ConfigError also if the settings break the reward balance."""
    data, reward, training, model = parse_stage(_kinds("grpo"), arguments, "rlsp grpo")
    rewards = reward.build()
    refuse_imbalance(rewards, training)
    data.required()
    model_name(model)
    return data, rewards, training, model


def kind_of(path: Path) -> Kind:
    """Whether a YAML file describes an SFT or an RL stage, by its fields or else its name; a ConfigError if unclear."""
    unknown = {kind: set(read_yaml(path)) - fields_of(kind) - {"env"} for kind in KINDS}
    if len({len(names) for names in unknown.values()}) > 1:
        return min(KINDS, key=lambda kind: len(unknown[kind]))
    if names := unknown["grpo"]:
        raise ConfigError(f"{path} is no file of `rlsp sft` or `rlsp grpo`, which have no field {min(names)!r}")
    if named := [kind for kind in KINDS if kind in path.stem]:
        return named[0]
    raise ConfigError(f"{path} has no field of only `rlsp sft` or only `rlsp grpo`: give --stage sft or --stage grpo")


def fields_of(kind: Kind) -> set[str]:
    """The names of a stage's fields."""
    return {field.name for part in _kinds(kind) for field in fields(part)}


def _kinds(kind: Kind) -> tuple[Any, ...]:
    from trl import ModelConfig

    if kind == "sft":
        return DemonstrationArguments, trainers.RLSPSFTConfig, ModelConfig
    return ProblemArguments, RewardArguments, trainers.RLSPGRPOConfig, ModelConfig


def _start_at_the_first(stage: Stage) -> None:
    """If the stage starts from a model that an earlier one beside it has yet to write, use that one's start."""
    config, model = config_of(stage.arguments), str(stage.model.model_name_or_path)
    if config is None or Path(model).exists():
        return
    earlier = itertools.takewhile(lambda kind: kind != config.stem, KINDS)  # so that two cannot name each other
    files = {kind: file for kind in earlier if (file := config.with_name(f"{kind}.yaml")).is_file()}
    written = {str(read_yaml(file).get("output_dir", "")).rstrip("/"): kind for kind, file in files.items()}
    if (kind := written.get(model.rstrip("/"))) is None:
        return
    before = read_stage(kind, ["--config", str(files[kind])])
    stage.model.model_name_or_path, stage.model.model_revision = model_name(before.model), before.model.model_revision
    stage.training.chat_template_path = before.training.chat_template_path
    stage.is_adapter = before.adapter_config is not None
    if stage.is_adapter:
        stage.adapter_config = before.adapter_config


def model_name(model: ModelConfig) -> str:
    """The model to train; a ConfigError if none is named."""
    if not model.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    return str(model.model_name_or_path)


def tokenizer_of(model: ModelConfig, **kwargs: Any) -> PreTrainedTokenizerBase:
    """The model's tokenizer; a SourceError if it cannot be loaded."""
    from transformers import AutoTokenizer

    name = model_name(model)
    try:
        return AutoTokenizer.from_pretrained(name, revision=model.model_revision, **kwargs)
    except (OSError, ValueError, ImportError) as error:
        why = f"neither a folder with a model nor a hub id that can be reached ({str(error).splitlines()[0]})"
        raise SourceError(f"no model at {name!r}: {why}") from error


_ask_once = lru_cache(maxsize=64)(trainers.is_adapter)


def names_adapter(name: str, revision: str | None = None) -> bool:
    """Whether a name is that of an adapter. The hub is queried once, and never for a bundled model."""
    if Path(name).is_dir():
        return trainers.is_adapter(name, revision)
    return bundled_config(name) is None and _ask_once(name, revision)


def load_config(name: str, revision: str | None = None) -> PreTrainedConfig:
    """A model's configuration, or that of an adapter's base: from its folder, the bundled ones or the hub. A
    SourceError if it cannot be read, a DataError for an adapter that names no base."""
    from transformers import AutoConfig

    if Path(name, "adapter_config.json").is_file() and not Path(name, "config.json").is_file():
        base = read_json(Path(name, "adapter_config.json")).get("base_model_name_or_path")
        if not base:
            raise DataError(f"the adapter {name!r} must name its base in base_model_name_or_path, got none")
        return load_config(base)
    if not Path(name).is_dir() and (values := bundled_config(name)):
        return AutoConfig.for_model(**values)
    try:
        return AutoConfig.from_pretrained(name, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        why = str(error).splitlines()[0]
        raise SourceError(f"the model's configuration ({name}) cannot be read here: {why}") from error


def bundled_config(name: str) -> dict[str, Any] | None:
    """The configuration of a model by hub id, with or without owner and `-Instruct`; `None` if it is not bundled."""
    short = name.rstrip("/").split("/")[-1].lower().removeprefix("meta-").removesuffix("-instruct")
    return read_yaml(Path(__file__).with_name("models.yaml"))["models"].get(short)
