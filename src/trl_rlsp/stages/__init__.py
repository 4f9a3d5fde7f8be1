"""What a stage's file may say: its fields, how a command line overrides them, and the stage that they describe.

It reads settings and what they name (data, tokenizer, a model's configuration), never weights. It knows neither how a
stage is run nor whether its settings are wise: that is for `commands`, `pipeline` and `doctor`.
"""

from trl_rlsp.stages.parsing import apply_environment, environment_of, parse_fields, parse_stage, read_yaml
from trl_rlsp.stages.stage import Kind, Stage, UnknownError, kind_of, parse_grpo, parse_sft, read_stage

__all__ = [
    "Kind",
    "Stage",
    "UnknownError",
    "apply_environment",
    "environment_of",
    "kind_of",
    "parse_fields",
    "parse_grpo",
    "parse_sft",
    "parse_stage",
    "read_stage",
    "read_yaml",
]
