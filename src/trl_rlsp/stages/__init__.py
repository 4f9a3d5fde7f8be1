"""What a stage's file may say, how a command line overrides it, and what the stage's folder remembers.

Promises one grammar for every command, errors that name the field and the nearest one, and a folder that belongs to
one run. Reads settings and what they name (data, tokenizer, a model's configuration), never weights. Does not know how
a stage is run nor whether its settings are wise: that is for `commands`, `pipeline` and `doctor`.
"""

from trl_rlsp.stages._parsing import (
    apply_environment,
    environment_of,
    option,
    options_of,
    parse_fields,
    parse_known,
    parse_stage,
    read_yaml,
)
from trl_rlsp.stages._record import (
    STAGE_FILE,
    claimed,
    differences,
    last_complete_checkpoint,
    read_record,
    refuse_other_run,
    settings_of,
    write_record,
)
from trl_rlsp.stages._stage import (
    Kind,
    Stage,
    kind_of,
    load_config,
    model_name,
    names_adapter,
    parse_grpo,
    parse_sft,
    read_stage,
    tokenizer_of,
)
from trl_rlsp.stages.arguments import (
    DemonstrationArguments,
    EvaluationArguments,
    ProblemArguments,
    RewardArguments,
    VerifierArguments,
)
