from .code.sandbox import (
    Limits as Limits,
    LocalSandbox as LocalSandbox,
    RunResult as RunResult,
    available_backend as available_backend,
    find_sandbox as find_sandbox,
    require_sandbox as require_sandbox,
)
from .code.tests import (
    has_test_columns as has_test_columns,
    read_tests as read_tests,
    reference_program as reference_program,
    shown_problem as shown_problem,
    tests_json as tests_json,
)
from .code.verifier import verify_code as verify_code
from .gym.verifier import GYM_HANDLER as GYM_HANDLER, verify_gym as verify_gym
from .math._verifier import (
    MATH_HANDLER as MATH_HANDLER,
    MathItem as MathItem,
    MathRules as MathRules,
    gold_text as gold_text,
    is_list as is_list,
    verify_math as verify_math,
)
from .verdict import Reason as Reason, Verdict as Verdict
from .workers.pool import Reply as Reply, WorkerPool as WorkerPool
