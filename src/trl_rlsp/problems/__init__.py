"""Any source of problems or demonstrations as rows that the trainers, the verifier and the evaluation read.

Promises that whatever is wrong with a source is an error that names the place, before a model is loaded. Knows how to
read answers out of worked solutions, and nothing of models, rewards and runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.problems.data import CODE_SYSTEM_PROMPT, DEFAULT_SYSTEM_PROMPT, load_problems, problem_key, task_name
    from trl_rlsp.problems.demonstrations import demonstration_rows, load_demonstrations

__getattr__, __all__ = attach(
    __name__,
    {
        "data": "CODE_SYSTEM_PROMPT DEFAULT_SYSTEM_PROMPT load_problems problem_key task_name",
        "demonstrations": "demonstration_rows load_demonstrations",
    },
)
