"""The record in a stage's folder of the run that it belongs to, and a lock on the folder during the run.

A path inside the run is recorded relative to the stage's folder, so that a run can be moved; any other local path is
absolute, so that it does not depend on the current folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.files import read_json, write_json
from trl_rlsp.stages._parsing import config_of, options_of, read_yaml

STAGE_FILE = "stage.json"  # written last: a stage that has it is complete
_SETTINGS_FILE = "settings.json"
# fields that may name a local file or folder, and fields that must agree between runs that share checkpoints
_PATHS = ("model_name_or_path", "dataset", "exclude", "judge_cache", "chat_template_path")
_SAME_RUN = ("model_name_or_path", "model_revision", "dataset", "dataset_split", "dataset_config", "seed")


def settings_of(arguments: Sequence[str]) -> dict[str, Any]:
    """The fields given to a stage by its YAML file and, with precedence, by the command line, parsed as YAML."""
    import yaml

    path = config_of(arguments)
    found = read_yaml(path) if path else {}
    found.pop("env", None)
    given = {name: [yaml.safe_load(word) for word in words] for name, words in options_of(arguments).items()}
    given = {name: words for name, words in given.items() if name not in ("", "config")}
    return {**found, **{n: words if len(words) > 1 else words[0] if words else True for n, words in given.items()}}


def write_record(folder: Path, command: str, settings: Mapping[str, Any], fingerprint: str = "", **more: Any) -> None:
    """Record the settings of a stage at its start; `fingerprint` is a hash of them and of the steps before it."""
    root = folder.parent.resolve()
    root = root.parent if root.name.startswith("round-") else root

    def from_folder(value: str) -> str:
        place = Path(value).resolve()
        if place.is_relative_to(root):
            return os.path.relpath(place, folder.resolve())
        return str(place) if place.exists() else value

    paths = {name: from_folder(settings[name]) for name in _PATHS if isinstance(settings.get(name), str)}
    written = {"command": command, "fingerprint": fingerprint, "settings": {**settings, **paths}, **more}
    write_json(folder / _SETTINGS_FILE, written)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The recorded settings of a stage with absolute local paths; `None` if there is no record."""
    path = folder / _SETTINGS_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        settings: dict[str, Any] = dict(content["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as the settings of a stage: {error!r}") from error
    for name in _PATHS:
        if str(settings.get(name)).startswith(".."):
            settings[name] = str((folder / settings[name]).resolve())
    return {**content, "settings": settings}


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; a ConfigError if another one holds it. Child processes do not inherit the lock.

    Does nothing if the file system does not support locks.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise ConfigError(
                f"a folder takes one run at a time, and process {file.read().strip() or '?'} works in {folder}: "
                "wait for it, or give another --output_dir"
            ) from error
        except OSError:
            pass
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def refuse_other_run(folder: Path, command: str, settings: Mapping[str, Any], resume: bool) -> Mapping[str, Any] | None:
    """Raise a ConfigError if the folder holds a model or checkpoint that this run does not resume from; return the
    record that this run has already written there, if any."""
    before = read_record(folder)
    other = ""
    if before and before["command"] != command:
        other = f"of rlsp {before['command']}"
    elif before:
        other = ", ".join(differences(before["settings"], settings, _SAME_RUN))
    checkpoint = last_complete_checkpoint(folder)
    if checkpoint or (folder / STAGE_FILE).is_file():
        there = Path(checkpoint).name if checkpoint else STAGE_FILE
        if other:
            raise ConfigError(f"{folder} holds {there} of another run ({other}): give another --output_dir")
        if not resume or not checkpoint:
            way = "--resume_from_checkpoint auto resumes it, " if checkpoint else ""
            raise ConfigError(f"{folder} holds {there} of an earlier run: {way}another --output_dir starts a new one")
    return None if other else before


def differences(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str] | None = None) -> list[str]:
    """The fields in which two stages differ, each with both values; local paths are resolved before comparing."""

    def resolved(value: Any) -> Any:
        return str(Path(value).resolve()) if isinstance(value, str) and Path(value).exists() else value

    chosen = sorted({*old, *new}) if names is None else names
    pairs = [(name, resolved(old.get(name)), resolved(new.get(name))) for name in chosen]
    return [f"{name}: {one!r} -> {two!r}" for name, one, two in pairs if one != two]


def last_complete_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint in `folder`, if any: one with `trainer_state.json`, which is written last."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(ValueError):
            read_json(path)
            found[int(path.parent.name.removeprefix("checkpoint-"))] = path.parent
    return str(found[max(found)]) if found else None
