"""An evaluation on disk: samples appended as they come, so that a killed run goes on where it was, and its metrics.

A folder holds `generation.json` (what the samples depend on), `problems.parquet`, `samples.jsonl` (one line a sample,
with its score once all are drawn) and, written last, `metrics.json`. Knows nothing of models and verifiers.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.evaluation._estimators import Estimate
from trl_rlsp.evaluation._metrics import Evaluation, ScoredSample, Slice
from trl_rlsp.files import atomic_write, read_json, write_json
from trl_rlsp.generation import Request, Sample
from trl_rlsp.problems import problem_key

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

GENERATION, PROBLEMS, SAMPLES, METRICS = "generation.json", "problems.parquet", "samples.jsonl", "metrics.json"
INTERVALS = "95 % percentile bootstrap over problems, 2000 resamples"


class SampleStore:
    """Samples of one run, each (problem, sample) once.

    Args:
        folder: where to write; made if it is not there.
        fingerprint: whatever the samples depend on; a folder that was started with another one is refused.
        problems: written beside the samples, so that they can be scored again without the source.

    Raises:
        ConfigError: the folder holds samples drawn with other settings, or another process is writing to it.
        DataError: `samples.jsonl` is damaged before its last line.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], problems: Dataset) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = _locked(folder / SAMPLES)
        try:
            started = self._file.tell() > 0
            if started:
                _refuse_other(folder, fingerprint)
            drop_torn_line(folder / SAMPLES)
            self.samples = {sample.request: sample for sample in read_samples(folder)}
        except BaseException:
            self._file.close()
            raise
        if not started:
            write_problems(folder, problems)
        write_json(folder / GENERATION, fingerprint)

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """Those of the requests that are still to be drawn."""
        return [request for request in requests if request not in self.samples]

    def append(self, samples: Sequence[Sample]) -> None:
        """Write samples to the disk; when this returns, no kill can lose them."""
        lines = "".join(json.dumps(raw_line(sample), ensure_ascii=False) + "\n" for sample in samples)
        self._file.write(lines.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.samples.update({sample.request: sample for sample in samples})

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def __enter__(self) -> SampleStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def raw_line(sample: Sample) -> dict[str, Any]:
    """A sample under the names that it has in `samples.jsonl`."""
    return {
        "problem": sample.prompt_index,
        "sample": sample.sample_index,
        "text": sample.text,
        "tokens": sample.tokens,
        "truncated": sample.truncated,
    }


def read_samples(folder: Path) -> list[Sample]:
    """The completions of a folder, scored or not, also of a run that was cut off.

    Raises:
        SourceError: there is no `samples.jsonl`.
        DataError: a line is not a sample, or a sample is there twice.
    """
    samples: dict[Request, Sample] = {}
    for number, line in enumerate(read_lines(folder), start=1):
        try:
            sample = Sample(line["problem"], line["text"], line["tokens"], line["truncated"], line["sample"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{folder / SAMPLES}, line {number}: not a sample ({error!r})") from error
        if sample.request in samples:
            raise DataError(
                f"{folder / SAMPLES}, line {number}: problem {line['problem']}, sample {line['sample']} is there twice"
            )
        samples[sample.request] = sample
    return list(samples.values())


def read_lines(folder: Path) -> list[Any]:
    """The lines of `samples.jsonl` as JSON, without a last one that was cut off.

    Raises:
        SourceError: there is no such file.
        DataError: a line before the last is not JSON.
    """
    path = folder / SAMPLES
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{str(folder)!r} holds no samples.jsonl: give the output_dir of an `rlsp eval`") from error
    try:
        return [json.loads(line) for line in content.split(b"\n")[:-1]]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; delete the folder and evaluate again") from error


def drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a sample that was being written when the process was killed."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def write_problems(folder: Path, problems: Dataset) -> None:
    """Put the problems beside their samples."""
    import pyarrow.parquet as parquet

    parquet.write_table(problems.with_format("arrow")[:], folder / PROBLEMS)


def read_problems(folder: Path) -> Dataset | None:
    """The problems that lie beside the samples; `None` where there are none."""
    import pyarrow.parquet as parquet
    from datasets import Dataset

    path = folder / PROBLEMS
    return Dataset(parquet.read_table(path)) if path.is_file() else None


def read_generation(folder: Path) -> dict[str, Any]:
    """What the samples of a folder were drawn with.

    Raises:
        ConfigError: the folder does not say.
    """
    path = folder / GENERATION
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds samples, but no {GENERATION} that says how they were drawn: give another output_dir"
        )
    return read_json(path)


def _locked(path: Path) -> BinaryIO:
    """The file, for this process alone where the file system can lock."""
    file = open(path, "ab")  # noqa: SIM115 - held open for the life of the store
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            file.close()
            raise ConfigError(
                f"another process is writing to {path.parent}: wait for it, or give another folder"
            ) from error
        logger.warning(
            "%s cannot be locked (%s): make sure that no other process writes to that folder", path.parent, error
        )
    file.seek(0, os.SEEK_END)
    return file


def _refuse_other(folder: Path, fingerprint: Mapping[str, Any]) -> None:
    before = read_generation(folder)
    changed = sorted(k for k in {*before, *fingerprint} if before.get(k) != fingerprint.get(k))
    if changed:
        shown = ", ".join(f"{k}: {before.get(k)!r} then, {fingerprint.get(k)!r} now" for k in changed)
        raise ConfigError(
            f"{folder} holds samples that were drawn otherwise ({shown}): give another output_dir, or delete that "
            "folder"
        )


def save_evaluation(
    evaluation: Evaluation,
    samples: Sequence[ScoredSample],
    folder: Path,
    settings: dict[str, Any],
    *,
    parquet: bool = False,
) -> None:
    """Write `samples.jsonl`, `samples.parquet` if it is wanted and, last, `metrics.json` into `folder`."""
    rows = [asdict(sample) for sample in samples]
    atomic_write(folder / SAMPLES, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if parquet:
        import pyarrow
        from pyarrow.parquet import write_table

        table = pyarrow.Table.from_pylist(rows)
        if not any(sample.task_metrics for sample in samples):  # Parquet has no type for nothing
            table = table.drop_columns("task_metrics")
        write_table(table, folder / "samples.parquet")
    metrics = {**asdict(evaluation), "intervals": INTERVALS, "settings": settings}
    write_json(folder / METRICS, metrics)


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Raises:
        DataError: the folder holds no complete evaluation.
    """
    try:
        metrics = _read_metrics(folder)
        for name in ("settings", "intervals"):
            metrics.pop(name)
        for name in ("pass_at", "maj_at"):
            metrics[name] = {int(k): Estimate(**v) for k, v in metrics[name].items()}
        for name in ("levels", "subjects"):
            metrics[name] = {label: _slice(v) for label, v in metrics[name].items()}
        for name in ("pass_at_1", "tokens", "finished"):
            metrics[name] = Estimate(**metrics[name])
        metrics["task_metrics"] = {name: Estimate(**v) for name, v in metrics["task_metrics"].items()}
        return Evaluation(**metrics)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error


def load_scored(folder: Path) -> list[ScoredSample]:
    """The scored samples of a complete evaluation, with the keys of their answers.

    Raises:
        SourceError: there is no `samples.jsonl`.
        DataError: the samples are not scored yet.
    """
    names = {field.name for field in fields(ScoredSample)}
    lines = read_lines(folder)
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, dict) or not names <= line.keys():
            raise DataError(
                f"{folder / SAMPLES}, line {number}: not a sample with a score and an answer; finish the evaluation, "
                f"or score it again with `rlsp eval --rescore {folder}`"
            )
    return [ScoredSample(**{name: line[name] for name in names}) for line in lines]


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings that an evaluation was made with.

    Raises:
        DataError: the folder holds no complete evaluation.
    """
    try:
        return dict(_read_metrics(folder)["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error


def _read_metrics(folder: Path) -> dict[str, Any]:
    return read_json(folder / METRICS)


def _slice(values: dict[str, Any]) -> Slice:
    accuracy = None if values["pass_at_1"] is None else Estimate(**values["pass_at_1"])
    return Slice(values["problems"], accuracy, Estimate(**values["tokens"]), Estimate(**values["finished"]))


WEIGHTS = ("*.safetensors", "*.bin")
SETTINGS = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer*.json", "chat_template*")
PIECE = 1 << 20
"""Bytes read at the start, in the middle and at the end of a file of weights; smaller files are read whole."""


def problems_hash(dataset: Dataset) -> str:
    """Hash of the problems and their gold answers, in order; the system message has no part in it."""
    truths = [[row.get(name) for name in ("solution", "task", "tests")] for row in dataset]
    return _hash([problem_key(row) for row in dataset], truths)


def prompts_hash(dataset: Dataset) -> str:
    """Hash of the prompts as they are given to the model, in order."""
    return _hash(dataset["prompt"][:])


def model_hash(name_or_path: str) -> str:
    """Hash of a model's folder, or the hub id itself.

    Args:
        name_or_path: hub id, or folder of a model or of an adapter.

    Returns:
        A text that changes when another model is trained into the same folder, and not when the folder is moved.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        return name_or_path
    digest = hashlib.sha256()
    for pattern in (*SETTINGS, *WEIGHTS):
        for path in sorted(folder.glob(pattern)):
            digest.update(path.name.encode())
            for piece in _pieces(path):
                digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(path: Path) -> list[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= 3 * PIECE:
            return [file.read()]
        pieces = [str(size).encode()]
        for start in (0, size // 2, size - PIECE):
            file.seek(start)
            pieces.append(file.read(PIECE))
    return pieces


def _hash(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]
