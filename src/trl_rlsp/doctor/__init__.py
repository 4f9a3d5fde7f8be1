"""The doctor: it finds faults in a stage's settings, and the lines to change, before a model is loaded.

Promises: a check that cannot be made is reported as a finding, nothing is changed and no weights are loaded. Knows the
rules of TRL and this machine's hardware, and nothing about how a stage is run.
"""

from trl_rlsp.doctor._checks import Finding, examine, stop_on_errors
from trl_rlsp.stages import Stage, read_stage
