from ._disk_cache import DiskCache as DiskCache, cache_folder as cache_folder
from ._tables import FILE_EXTENSIONS as FILE_EXTENSIONS
from .data import (
    CODE_SYSTEM_PROMPT as CODE_SYSTEM_PROMPT,
    DEFAULT_SYSTEM_PROMPT as DEFAULT_SYSTEM_PROMPT,
    EVALUATION_PRESETS as EVALUATION_PRESETS,
    PRESETS as PRESETS,
    find_preset as find_preset,
    load_problems as load_problems,
    problem_key as problem_key,
    task_name as task_name,
)
from .demonstrations import (
    DEFAULT_TEMPLATE as DEFAULT_TEMPLATE,
    completion_text as completion_text,
    demonstration_rows as demonstration_rows,
    load_demonstrations as load_demonstrations,
)
