"""The doctor: what is wrong with a stage's settings, and the line to change, before a model is loaded.

It knows TRL's rules and what the checks have been told of the machine; it changes nothing and loads no weights.
"""

from trl_rlsp.doctor._examination import examine, stop_on_errors
from trl_rlsp.doctor._finding import Finding
from trl_rlsp.doctor._settings_checks import check_groups, visible_gpus
from trl_rlsp.stages import Stage, read_stage

__all__ = ["Finding", "Stage", "check_groups", "examine", "read_stage", "stop_on_errors", "visible_gpus"]
