"""Reading a stage's flat YAML file with TRL's own parser."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError


def parse_stage(dataclasses: Iterable[Any], arguments: list[str], prog: str) -> tuple[Any, ...]:
    """Parse `--config FILE` and overrides into one instance of each dataclass.

    The file's `env` is set where the environment does not have a value already (TRL's parser alone would override
    it). A `model_name_or_path` that is a folder beside the YAML file is taken from there.

    Args:
        dataclasses: types whose fields the file may hold.
        arguments: the command line.
        prog: name of the command, for --help.

    Raises:
        ConfigError: a field that none of the dataclasses has, or a value of the wrong kind.
    """
    from trl import TrlParser

    parser = TrlParser(tuple(dataclasses), prog=prog)
    environment = dict(os.environ)
    try:
        parsed = parser.parse_args_and_config(arguments)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{error} (`{prog} --help` lists every field)") from error
    finally:
        os.environ.update(environment)
    if "--config" in arguments:
        folder = Path(arguments[arguments.index("--config") + 1]).parent
        for part in parsed:
            name = getattr(part, "model_name_or_path", None)
            if name and not Path(name).is_dir() and (folder / name).is_dir():
                part.model_name_or_path = str(folder / name)
    return parsed
