"""How a step is started on the GPUs that there are, and how it ends: fake numbers of devices, real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import psutil
import pytest

from trl_rlsp.commands._train import show_batches
from trl_rlsp.errors import ConfigError
from trl_rlsp.pipeline import Launcher, parse_run, plan

GRPO = """
model_name_or_path: m
dataset: problems.jsonl
num_generations: 8
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
steps_per_generation: 32
"""


@pytest.fixture
def steps(tmp_path):
    """Evaluation, RL, evaluation of a recipe that is written for 8 processes."""

    def write(grpo=GRPO, evaluation="dataset: d\n", overrides=()):
        recipe = tmp_path / "recipe"
        recipe.mkdir(exist_ok=True)
        (recipe / "grpo.yaml").write_text(grpo)
        (recipe / "eval.yaml").write_text(evaluation)
        return plan(parse_run([str(recipe), "--output_dir", str(tmp_path / "run"), *overrides]))

    return write


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "launch.yaml").write_text(text)
        return tmp_path / "launch.yaml"

    return write


class TestCommand:
    @pytest.mark.parametrize("gpus", [0, 1])
    def test_one_process_is_a_bare_one(self, steps, gpus):
        _, rl, _ = steps()
        assert Launcher(gpus).command(rl) == [sys.executable, "-m", "trl_rlsp", *rl.words()]

    def test_training_takes_every_visible_gpu(self, steps):
        start, rl, _ = steps()
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "4"]
        assert Launcher(4).command(rl) == [*launch, "--mixed_precision", "no", "-m", "trl_rlsp", *rl.words()]
        assert Launcher(4).command(start) == [sys.executable, "-m", "trl_rlsp", *start.words()]

    def test_a_stage_on_the_cpu_takes_none(self, steps):
        assert Launcher(4).processes(steps(GRPO + "use_cpu: true\n")[1]) == 1

    def test_a_file_of_accelerate(self, steps, file):
        start, rl, _ = steps()
        launcher = Launcher(4, file("num_processes: 2\n"))
        assert launcher.command(rl)[1:5] == ["-m", "accelerate.commands.launch", "--config_file", str(launcher.file)]
        assert (launcher.processes(rl), launcher.processes(start)) == (2, 1)

    def test_several_machines_are_refused(self, file):
        with pytest.raises(ConfigError, match=r"processes of one machine, and .*launch.yaml is for several"):
            Launcher(8, file("num_machines: 2\nnum_processes: 16\n"))


class TestEnvironment:
    def test_an_evaluation_sees_one_gpu(self, steps, monkeypatch):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        start, rl, _ = steps()
        assert Launcher(4).environment(start)["CUDA_VISIBLE_DEVICES"] == "0"
        assert "CUDA_VISIBLE_DEVICES" not in Launcher(4).environment(rl)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
        assert Launcher(3).environment(start)["CUDA_VISIBLE_DEVICES"] == "3"

    def test_or_as_many_as_it_divides_its_model_over(self, steps, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
        start, *_ = steps(evaluation="dataset: d\ntensor_parallel_size: 2\n")
        assert Launcher(3).environment(start)["CUDA_VISIBLE_DEVICES"] == "3,5"

    def test_of_the_file_where_nothing_is_set(self, steps, monkeypatch):
        monkeypatch.setenv("RLSP_ONE", "mine")
        start, *_ = steps(evaluation="env: {RLSP_ONE: a, RLSP_TWO: b}\ndataset: d\n")
        found = Launcher().environment(start)
        assert (found["RLSP_ONE"], found["RLSP_TWO"]) == ("mine", "b")


class TestBatch:
    def test_as_in_the_recipe(self, steps):
        # 2 x 8 x 8 sequences, 2 x 32 x 8 completions
        found = Launcher(8).batch(steps()[1], written_for=8)
        assert found == "rlsp: 8 processes, 128 sequences per step, 512 completions per generation"

    def test_beside_what_the_recipe_says(self, steps):
        # 2 x 8 and 2 x 32; eight times as many micro-batches make up for it
        assert Launcher(1).batch(steps()[1], written_for=8) == (
            "rlsp: 1 process, 16 sequences per step, 64 completions per generation; the recipe's 8 processes, 128 "
            "sequences per step, 512 completions per generation (to keep that: --grpo.gradient_accumulation_steps 64 "
            "--grpo.steps_per_generation 256)"
        )

    def test_another_number_of_processes_is_refused_until_a_batch_is_given(self, steps):
        """Half of the GPUs would be half of the batch."""
        shown = []
        console = SimpleNamespace(print=lambda text, **_: shown.append(text))
        show_batches(Launcher(8), steps(), 8, console)
        with pytest.raises(ConfigError, match=r"to keep that: --grpo.gradient_accumulation_steps 16 .* to go on, give"):
            show_batches(Launcher(4), steps(), 8, console)
        for accumulation, sequences in ((16, 128), (8, 64)):
            given = ["--grpo.gradient_accumulation_steps", str(accumulation)]
            show_batches(Launcher(4), steps(overrides=given), 8, console)
            assert f"4 processes, {sequences} sequences per step" in shown[-1]
        assert len(shown) == 3

    def test_groups_that_do_not_fit_are_refused(self, steps):
        # 3 GPUs x 2 x 1 step are 6 completions, and a group has 8: whole groups on equal ranks are multiples of 24
        text = GRPO.replace("steps_per_generation: 32", "steps_per_generation: 1")
        with pytest.raises(ConfigError, match=r"rlsp: .* are 6 completions per generation, not a multiple of 24"):
            show_batches(Launcher(3), steps(text), 8, None)

    def test_a_checkpoint_of_another_number_of_processes_is_refused(self, steps, tmp_path):
        rl = steps()[1]
        rl.remember(processes=8)
        (rl.folder / "checkpoint-4").mkdir()
        (rl.folder / "checkpoint-4" / "trainer_state.json").write_text("{}")
        with pytest.raises(ConfigError, match="rlsp was started on 8 processes and there are 4 here"):
            show_batches(Launcher(4), [rl], 8, None)


STOPPED = """
import subprocess, sys, time
from pathlib import Path
from trl_rlsp.pipeline import _launch as launch
from trl_rlsp.pipeline import Step

class Sleeping(launch.Launcher):
    def command(self, step):
        inner = "import time; print('asleep', flush=True); time.sleep(600)"
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
        return [sys.executable, "-c", code]

try:
    with launch.stopped_by_signals():
        launch.execute(launch.Step("a", "harvest", Path("none.yaml"), Path("a"), "m"), Sleeping())
except launch.StoppedError as stopped:
    print("stopped by", stopped, flush=True)
"""


@pytest.fixture
def sleeping():
    """A process that executes a step, and the processes of that step: a child and its child."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(STOPPED)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "asleep\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2
    yield process, family
    for one in (process, *family):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_step_with_all_its_processes(sleeping, number):
    process, family = sleeping
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == f"stopped by {number.name}\n"
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_step_ends_when_the_run_is_killed(sleeping):
    process, family = sleeping
    process.kill()
    _, left = psutil.wait_procs([one for one in family if one.ppid() == process.pid], timeout=10)
    assert left == []
