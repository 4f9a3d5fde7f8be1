from ._parsing import (
    apply_environment as apply_environment,
    environment_of as environment_of,
    option as option,
    options_of as options_of,
    parse_fields as parse_fields,
    parse_known as parse_known,
    parse_stage as parse_stage,
    read_yaml as read_yaml,
)
from ._record import (
    STAGE_FILE as STAGE_FILE,
    claimed as claimed,
    differences as differences,
    last_complete_checkpoint as last_complete_checkpoint,
    read_record as read_record,
    refuse_other_run as refuse_other_run,
    settings_of as settings_of,
    write_record as write_record,
)
from ._stage import (
    KINDS as KINDS,
    Kind as Kind,
    Stage as Stage,
    fields_of as fields_of,
    kind_of as kind_of,
    load_config as load_config,
    model_name as model_name,
    names_adapter as names_adapter,
    parse_grpo as parse_grpo,
    parse_sft as parse_sft,
    read_stage as read_stage,
    tokenizer_of as tokenizer_of,
)
from .arguments import (
    DemonstrationArguments as DemonstrationArguments,
    EvaluationArguments as EvaluationArguments,
    ProblemArguments as ProblemArguments,
    RewardArguments as RewardArguments,
    VerifierArguments as VerifierArguments,
)
