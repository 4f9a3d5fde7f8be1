"""An evaluation on disk: `generation.json` (the settings that the samples depend on), `problems.parquet`,
`samples.jsonl` (one line per sample, appended as it is drawn and scored at the end) and, written last, `metrics.json`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.evaluation._metrics import Estimate, Evaluation, ScoredSample, Slice
from trl_rlsp.files import atomic_write, read_json, write_json
from trl_rlsp.generation import Request, Sample
from trl_rlsp.problems import problem_key
from trl_rlsp.text import GOLD_COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

GENERATION, PROBLEMS, SAMPLES, METRICS = "generation.json", "problems.parquet", "samples.jsonl", "metrics.json"
INTERVALS = "95 % percentile bootstrap over problems, 2000 resamples"
MODEL_FILES = (
    *("config.json", "generation_config.json", "adapter_config.json", "tokenizer*.json", "chat_template*"),
    *("*.safetensors", "*.bin"),
)
PIECE = 1 << 20  # bytes hashed at the start, in the middle and at the end of a model's file


class SampleStore(AbstractContextManager["SampleStore"]):
    """Samples of one run, each (problem, sample) once, stored with the problems in a folder, created if missing.

    Raises:
        ConfigError: another process is writing there, or the samples were drawn with another `fingerprint`, the
            settings that they depend on.
        DataError: `samples.jsonl` is damaged before its last line.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], problems: Dataset) -> None:
        fingerprint = json.loads(json.dumps(fingerprint))  # tuples become lists, as in the file
        folder.mkdir(parents=True, exist_ok=True)
        self._file = _locked(folder / SAMPLES)
        try:
            started = self._file.tell() > 0
            before = read_generation(folder) if started else fingerprint
            if changed := sorted(k for k in {*before, *fingerprint} if before.get(k) != fingerprint.get(k)):
                how = ", ".join(f"{k}: {before.get(k)!r} then, {fingerprint.get(k)!r} now" for k in changed)
                raise ConfigError(f"{folder} holds samples drawn with other settings ({how}): give another output_dir")
            content = (folder / SAMPLES).read_bytes()
            os.truncate(folder / SAMPLES, content.rfind(b"\n") + 1)  # the rest was written by a killed process
            self.samples = {sample.request: sample for sample in read_samples(folder)}
        except BaseException:
            self._file.close()
            raise
        if not started:
            write_problems(folder, problems)
        write_json(folder / GENERATION, fingerprint)

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """The requests that have no sample yet."""
        return [request for request in requests if request not in self.samples]

    def append(self, samples: Sequence[Sample]) -> None:
        """Write samples to the disk; once this returns, they survive a killed process."""
        for s in samples:
            line = {"problem": s.prompt_index, "sample": s.sample_index, "text": s.text, "tokens": s.tokens}
            line["truncated"] = s.truncated
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.samples.update({sample.request: sample for sample in samples})

    def close(self) -> None:
        """Close the file, which unlocks the folder."""
        self._file.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(path: Path) -> BinaryIO:
    """The file, locked for this process if the file system supports locks."""
    file = open(path, "ab")  # noqa: SIM115 - held open for the life of the store
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            file.close()
            text = f"another process is writing to {path.parent}: wait for it, or give another folder"
            raise ConfigError(text) from error
        logger.warning("%s cannot be locked (%s): make sure that nothing else writes to it", path.parent, error)
    file.seek(0, os.SEEK_END)
    return file


def read_generation(folder: Path) -> dict[str, Any]:
    """The settings that the samples of a folder depend on."""
    path = folder / GENERATION
    if not path.is_file():
        raise ConfigError(f"{folder} has samples but no {path.name} with their settings: give another folder")
    return read_json(path)


def write_problems(folder: Path, problems: Dataset) -> None:
    """Store the problems beside their samples."""
    from pyarrow import parquet

    parquet.write_table(problems.with_format("arrow")[:], folder / PROBLEMS)


def read_problems(folder: Path) -> Dataset | None:
    """The problems stored beside the samples of a folder."""
    import pyarrow.parquet as parquet
    from datasets import Dataset

    path = folder / PROBLEMS
    return Dataset(parquet.read_table(path)) if path.is_file() else None


def read_samples(folder: Path) -> list[Sample]:
    """The completions of a folder, scored or not; the run may be incomplete."""
    samples: dict[Request, Sample] = {}
    for number, line in enumerate(read_lines(folder), start=1):
        where = f"{folder / SAMPLES}, line {number}"
        try:
            sample = Sample(line["problem"], line["text"], line["tokens"], line["truncated"], line["sample"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: not a sample ({error!r})") from error
        if sample.request in samples:
            raise DataError(f"{where}: problem {line['problem']}, sample {line['sample']} is there twice")
        samples[sample.request] = sample
    return list(samples.values())


def read_lines(folder: Path) -> list[Any]:
    """The lines of `samples.jsonl` as JSON, without an incomplete last line."""
    try:
        content = (folder / SAMPLES).read_bytes()
    except OSError as error:
        raise SourceError(f"{str(folder)!r} holds no {SAMPLES}: give the output_dir of an `rlsp eval`") from error
    try:
        return [json.loads(line) for line in content.split(b"\n")[:-1]]
    except ValueError as error:
        raise DataError(f"{folder / SAMPLES} is damaged: {error}; delete the folder and evaluate again") from error


def save_evaluation(
    evaluation: Evaluation, samples: Sequence[ScoredSample], folder: Path, settings: dict[str, Any]
) -> None:
    """Write `samples.jsonl` and, last, `metrics.json` into `folder`."""
    lines = (json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)
    atomic_write(folder / SAMPLES, lines)
    write_json(folder / METRICS, {**asdict(evaluation), "intervals": INTERVALS, "settings": settings})


def load_evaluation(folder: Path) -> Evaluation:
    """Read the metrics that `save_evaluation` wrote; a DataError if the evaluation is not complete."""
    try:
        written = read_metrics(folder)
        found = {field.name: written[field.name] for field in fields(Evaluation) if field.name in written}
        for name, number in (("pass_at", int), ("maj_at", int), ("cover_at", float)):
            found[name] = {number(k): estimate for k, estimate in found.get(name, {}).items()}
        return Evaluation(**found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings of an evaluation or, if it is not complete, those of its samples."""
    return dict(read_metrics(folder)["settings"]) if (folder / METRICS).is_file() else read_generation(folder)


def read_metrics(folder: Path) -> dict[str, Any]:
    """`metrics.json`, with `Estimate` and `Slice` objects."""
    return read_json(folder / METRICS, object_hook=_revived)


def _revived(found: dict[str, Any]) -> Any:
    kinds = [kind for kind in (Estimate, Slice) if found.keys() == {f.name for f in fields(kind)}]
    return kinds[0](**found) if kinds else found


def load_scored(folder: Path) -> list[ScoredSample]:
    """The scored samples of an evaluation; a SourceError if there are none, a DataError if they have no scores."""
    scored = []
    for number, line in enumerate(read_lines(folder), start=1):
        try:
            scored.append(ScoredSample(**line))
        except TypeError as error:
            place = f"{folder / SAMPLES}, line {number}: not a sample with a score and an answer"
            raise DataError(f"{place}; finish the evaluation, or run `rlsp eval --rescore {folder}`") from error
    return scored


def problems_hash(dataset: Dataset) -> str:
    """Hash of the problems and their gold answers, in order, without the system message."""
    return _hash([problem_key(row) for row in dataset], [[row.get(name) for name in GOLD_COLUMNS] for row in dataset])


def prompts_hash(dataset: Dataset) -> str:
    """Hash of the prompts as they are given to the model, in order."""
    return _hash(dataset["prompt"][:])


def _hash(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def model_hash(name_or_path: str) -> str:
    """A hub id unchanged, or a hash of the files in a model's or adapter's folder, independent of its path."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        return name_or_path
    digest = hashlib.sha256()
    for path in (path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern))):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with open(path, "rb") as file:
            for start in (0, size // 2, max(0, size - PIECE)):
                file.seek(start)
                digest.update(file.read(PIECE))
    return digest.hexdigest()[:16]
