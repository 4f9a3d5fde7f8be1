"""What a stage's file may say, how a command line overrides it, and what the stage's folder remembers.

Promises one grammar for every command, errors that name the field and the nearest one, and a folder that belongs to
one run. Reads settings and what they name (data, tokenizer, a model's configuration), never weights. Does not know how
a stage is run nor whether its settings are wise: that is for `commands`, `pipeline` and `doctor`.
"""

from trl_rlsp.stages._models import load_config, model_name, names_adapter, offline_without_network, tokenizer_of
from trl_rlsp.stages._parsing import (
    apply_environment,
    config_of,
    environment_of,
    parse_fields,
    parse_known,
    parse_stage,
    read_yaml,
)
from trl_rlsp.stages._record import (
    STAGE_FILE,
    claimed,
    differences,
    different_runs,
    last_complete_checkpoint,
    read_record,
    refuse_other_run,
    settings_of,
    write_record,
)
from trl_rlsp.stages._stage import Kind, Stage, UnknownError, kind_of, parse_grpo, parse_sft, read_stage
from trl_rlsp.stages.arguments import (
    DemonstrationArguments,
    EvaluationArguments,
    ProblemArguments,
    RewardArguments,
    VerifierArguments,
)

__all__ = [
    "STAGE_FILE",
    "DemonstrationArguments",
    "EvaluationArguments",
    "Kind",
    "ProblemArguments",
    "RewardArguments",
    "Stage",
    "UnknownError",
    "VerifierArguments",
    "apply_environment",
    "claimed",
    "config_of",
    "differences",
    "different_runs",
    "environment_of",
    "kind_of",
    "last_complete_checkpoint",
    "load_config",
    "model_name",
    "names_adapter",
    "offline_without_network",
    "parse_fields",
    "parse_grpo",
    "parse_known",
    "parse_sft",
    "parse_stage",
    "read_record",
    "read_stage",
    "read_yaml",
    "refuse_other_run",
    "settings_of",
    "tokenizer_of",
    "write_record",
]
