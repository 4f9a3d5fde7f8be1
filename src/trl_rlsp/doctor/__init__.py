"""The doctor: what is wrong with a stage's settings, and the line to change, before a model is loaded.

Promises: a check that cannot be made is among the findings, nothing is changed and no weights are loaded. Knows TRL's
rules and this machine's hardware, and nothing of how a stage is run.
"""

from trl_rlsp.doctor._checks import Finding, examine, stop_on_errors
from trl_rlsp.stages import Stage, read_stage
