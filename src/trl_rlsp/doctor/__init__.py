"""The doctor: what is wrong with a stage's settings, before a model is loaded."""

from trl_rlsp.doctor.examination import examine, stop_on_errors
from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage, read_stage

__all__ = ["Finding", "Stage", "examine", "read_stage", "stop_on_errors"]
