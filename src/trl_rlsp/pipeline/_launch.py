"""How a step is started, in one process or in one per visible GPU, and how it ends when the run is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.pipeline._steps import Step
from trl_rlsp.stages import Stage, environment_of, read_stage, read_yaml

_GRACE_SECONDS = 30.0  # from SIGTERM to SIGKILL


class StageError(RLSPError, RuntimeError):
    """A stage's process failed."""


class StoppedError(BaseException):
    """A signal stopped the run; a `BaseException`, so that only the command catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Launcher:
    """The visible GPUs, and accelerate's YAML file for the training stages.

    A ConfigError if the file is for several machines, which one command cannot start.
    """

    gpus: int = 0
    file: Path | None = None

    def __post_init__(self) -> None:
        if self.file and int(read_yaml(self.file).get("num_machines", 1)) > 1:
            raise ConfigError(
                f"rlsp run starts the processes of one machine, and {self.file} is for several: launch each training "
                "stage separately, see docs/multi_process.md"
            )

    def processes(self, step: Step) -> int:
        """Number of processes of a step."""
        if not step.trains:
            return 1
        if self.file:
            return int(read_yaml(self.file).get("num_processes", 1))
        return 1 if step.settings.get("use_cpu") else max(1, self.gpus)

    def command(self, step: Step) -> list[str]:
        """The command line of a step."""
        count = self.processes(step)
        given = ["--multi_gpu", "--num_processes", str(count), "--mixed_precision", "no"] if count > 1 else []
        if step.trains and self.file:
            given = ["--config_file", str(self.file)]
        launch = ["-m", "accelerate.commands.launch", *given] if given else []
        return [sys.executable, *launch, "-m", "trl_rlsp", *step.words()]

    def environment(self, step: Step) -> dict[str, str]:
        """The environment of a step: unset variables from its file's `env`, and the GPUs that it may use."""
        variables = {**(environment_of(step.config) if step.config.is_file() else {}), **os.environ}
        if self.gpus > 1 and not step.trains:
            needed = int(step.settings.get("tensor_parallel_size") or 1)
            visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(visible.split(",")[:needed])
        return variables

    def batch(self, step: Step, written_for: int) -> str:
        """The batch of a training stage with this launcher, and with the number of processes that its recipe is for."""
        kind: Any = step.command
        here, there = (read_stage(kind, step.words()[1:], processes=n) for n in (self.processes(step), written_for))
        text, ratio = f"{step.title}: {_counted(here)}", there.processes / here.processes
        if ratio == 1:
            return text
        generates = kind == "grpo" and here.training.steps_per_generation
        names = ["gradient_accumulation_steps", *(["steps_per_generation"] if generates else [])]
        kept = [f"--{kind}.{name} {max(1, round(getattr(there.training, name) * ratio))}" for name in names]
        return f"{text}; the recipe's {_counted(there)} (to keep that: {' '.join(kept)})"


def _counted(stage: Stage) -> str:
    plural = "es" if stage.processes > 1 else ""
    text = f"{stage.processes} process{plural}, {stage.sequences_per_step} sequences per step"
    return text if stage.kind == "sft" else f"{text}, {stage.sequences_per_generation} completions per generation"


def execute(step: Step, launcher: Launcher) -> None:
    """Run a step in its own processes, which end with it; a StageError if it fails."""
    process = subprocess.Popen(
        launcher.command(step), env=launcher.environment(step), start_new_session=True, preexec_fn=_end_with_parent
    )
    try:
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    if code != 0:
        way = "fix the error above and run the same command again to continue"
        raise StageError(f"stage `{step.title}` ended with status {code}; {way}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step: SIGTERM to its process group and, after a grace period, SIGKILL to the processes that remain."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=_GRACE_SECONDS)
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside this context, the first SIGTERM, SIGINT or SIGHUP raises `StoppedError`; only in the main thread."""
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(number: int, frame: Any) -> None:
        for one in wanted:
            signal.signal(one, signal.SIG_IGN)
        raise StoppedError(number)

    with contextlib.ExitStack() as before:
        for number in wanted:
            before.callback(signal.signal, number, signal.signal(number, stop))
        yield


def _end_with_parent() -> None:
    """In the child process, on Linux: request a SIGTERM for when the process of `rlsp run` ends in any way."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
