"""`rlsp plan`: memory and hours of a stage, or of all stages of a recipe, before paying for a GPU."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rich.table import Table

from trl_rlsp import evaluation, planning, stages
from trl_rlsp.commands._measure import Eval, positive_numbers
from trl_rlsp.commands._prepare import OfStage, offline_without_network
from trl_rlsp.errors import ConfigError, did_you_mean
from trl_rlsp.pipeline import Launcher, Step, description_of, parse_run, plan
from trl_rlsp.planning import GIB
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal

_PARTS = ("weights", "adapter", "gradients", "optimizer", "reference", "activations", "logits", "working", "cache")


@dataclass
class Plan(OfStage):
    """Memory on each GPU by part and hours, computed from the model's configuration, and changes that would make it
    fit. Other arguments override fields of the file."""

    recipe: Path | None = option(
        None, "folder or name of a recipe instead of --config, with overrides as of `rlsp run`"
    )
    gpus: str = option("1,2,4,8", "numbers of GPUs")
    card: str = option("h100", f"{', '.join(planning.CARDS)}: peak rates, of which a share is assumed to be reached")
    memory: float | None = option(None, "memory of a GPU in GiB; default: the card's")
    prompt: int = option(512, "tokens of the longest prompt")
    mean: list[int] = option([], "mean tokens of prompt and completion, for hours; default: the longest")
    rows: int | None = option(None, "rows of data, for hours of a stage without max_steps")
    rollout_rate: list[float] = option([], "measured completion tokens per second of one GPU; several give bounds")
    update_rate: list[float] = option([], "measured tokens per second of one GPU in updates; several give bounds")
    planned: list[stages.Stage] = field(init=False)
    steps: list[Step] = field(init=False, default_factory=list)  # of a recipe

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command and its stages: one, or all that train in a recipe, with overrides as of `rlsp run`."""
        given, overrides = stages.parse_known(cls, arguments, "rlsp plan")
        if given.recipe is None:
            given = super().parse(arguments)
            given.planned = [given.described]
            return given
        offline_without_network()
        given.steps = plan(parse_run([str(given.recipe), *overrides], "rlsp plan", vars(given)))
        kinds: Any = [(step.command, step.config, step.arguments) for step in given.steps if step.trains]
        given.planned = [stages.read_stage(k, ["--config", str(file), *more], processes=1) for k, file, more in kinds]
        return given

    def __post_init__(self) -> None:
        if self.card not in planning.CARDS:
            wrong = f"{self.card!r}{did_you_mean(self.card, planning.CARDS)}"
            way = "for another card, name the one with the nearest speed, and give --memory"
            raise ConfigError(f"--card is one of {', '.join(planning.CARDS)}, got {wrong}; {way}")
        self.kind = planning.CARDS[self.card]
        self.memory = self.kind.memory if self.memory is None else self.memory
        if self.memory <= 0 or self.prompt < 0:
            rule = "--memory is above 0 GiB and --prompt at least 0"
            raise ConfigError(f"{rule}, got {self.memory:g} and {self.prompt}")
        self.counts = positive_numbers("--gpus", self.gpus, "1,2,4,8")
        if len(self.mean) not in (0, 2) or min([*self.mean, *self.rollout_rate, *self.update_rate, 1]) <= 0:
            rule = "--mean takes two numbers, the means of prompt and completion; they and rates are above 0"
            raise ConfigError(f"{rule}, got {self.mean}, {self.rollout_rate}, {self.update_rate}")

    def execute(self) -> None:
        """Print memory and hours of each stage, and of all stages of a recipe."""
        planned, evaluated = [_Planned(self, stage) for stage in self.planned], self.evaluation()
        if self.json:
            shown = [one.described() for one in planned]
            whole = {"stages": shown, "evaluation": evaluated and {"fits": evaluated[0], "line": evaluated[1]}}
            print(json.dumps(whole if self.steps else shown[0], indent=2))
            return
        console = Terminal()
        for one in planned:
            one.show(console)
        if evaluated:
            console.print(f"eval: {evaluated[1]}")
        for gpus in self.counts if self.steps else ():
            for step in filter(lambda step: step.trains, self.steps):
                console.print(
                    f"{_gpus(gpus)}: {Launcher(gpus).batch(step, description_of(step.config.parent).processes)}"
                )
            spans = [time.total for one in planned if (time := one.hours[gpus])]
            total = functools.reduce(planning.Span.plus, spans, planning.Span(0, 0, 0))
            lacking = ", without the stages whose --rows are unknown" if len(spans) < len(planned) else ""
            console.print(f"all stages on {_gpus(gpus)}: {_span(total)} hours, evaluation not included{lacking}")

    def evaluation(self) -> tuple[bool, str] | None:
        """Whether the recipe's evaluation fits one GPU, and a line about it, if it samples with transformers."""
        given = [Eval.parse(step.words()[1:]) for step in self.steps if step.command == "eval"]
        if not given or given[0].engine != "transformers":
            return None
        return given[0].memory_line(
            self.planned[0].config, self.prompt, given[0].max_new_tokens, float(self.memory or 0)
        )


class _Planned:
    """The plan of one stage, for each number of GPUs."""

    def __init__(self, command: Plan, stage: stages.Stage) -> None:
        self.stage, self.memory, self.card = stage, float(command.memory or 0), command.kind
        self.settings = settings = planning.Settings.of(stage, command.prompt)
        model = planning.Architecture.of(stage.config), settings
        self.architecture, counts = model[0], command.counts
        self.layouts = {n: [planning.layout(*model, n, s) for s in planning.strategies(settings, n)] for n in counts}
        self.every = [one for several in self.layouts.values() for one in several]
        best = min(self.layouts[counts[-1]], key=lambda one: one.peak)
        fits = any(one.fits(self.memory) for one in self.every)
        self.advice = [] if fits else planning.remedies(*model, best.gpus, best.strategy, self.memory)
        self.tokens = {gpus: planning.tokens_per_step(settings, gpus) for gpus in counts}
        self.steps = {gpus: planning.steps_of(stage, gpus, command.rows) for gpus in counts}
        self.hours = {gpus: self._hours(command, steps) if steps else None for gpus, steps in self.steps.items()}

    def _hours(self, command: Plan, steps: float) -> planning.Hours:
        settings = self.settings
        prompt, completion = command.mean or (settings.prompt, settings.completion)
        if settings.kind == "sft":  # a sequence is both
            prompt, completion = 0, sum(command.mean) or completion
        work = planning.Work(steps, prompt, min(completion, settings.completion))
        rates: Any = {"rollout_rates": command.rollout_rate, "update_rates": command.update_rate}
        card = replace(self.card, memory=self.memory)
        return planning.hours(self.architecture, settings, work, card, **rates)

    def described(self) -> dict[str, Any]:
        """The plan as JSON."""
        layouts = [
            {**asdict(one), **{name: getattr(one, name) for name in ("training", "rollout", "peak")}}
            | {"fits": one.fits(self.memory), "tokens_per_step": self.tokens[one.gpus]}
            for one in self.every
        ]
        remedies = [
            {"lines": list(lines), "peak": one.peak, "fits": one.fits(self.memory)} for lines, one in self.advice
        ]
        hours = [
            {"gpus": gpus, "steps": self.steps[gpus], "measured": time.measured}
            | {name: getattr(time, name)._asdict() for name in ("rollouts", "updates", "total")}
            for gpus, time in self.hours.items()
            if time
        ]
        found = {"layouts": layouts, "hours": hours, "remedies": remedies}
        checkpoint = planning.checkpoint_bytes(self.architecture, self.settings)
        return {"kind": self.stage.kind, "settings": asdict(self.settings), **found, "checkpoint": checkpoint}

    def show(self, console: Terminal) -> None:
        """Print the plan."""
        settings, total = self.settings, self.architecture.total / 1e9
        kind = "all weights" if settings.rank is None else f"LoRA of rank {settings.rank}"
        bits = f"{settings.bits}-bit base" if settings.bits else settings.dtype
        stage = f"{self.stage.kind}: {total:.3g} billion parameters, {bits}, {kind}"
        console.print(f"{stage}; computed GiB on each GPU")
        for gpus, step in self.tokens.items():
            console.print(_plan_table(self.layouts[gpus], self.memory))
            sampled, scored = f"{step['sampled']:,.0f} tokens sampled", f"{step['scored']:,} trained on per step"
            console.print(f"{_gpus(gpus)}: at most {sampled}, {scored}")
            console.print(f"{_gpus(gpus)}: {self.said_of_hours(gpus)}")
        saved = planning.checkpoint_bytes(self.architecture, settings) / GIB
        console.print(
            f"a checkpoint takes {saved:.2g} GiB{', with the reference' * (settings.reference and settings.saved)}"
        )
        if settings.vllm == "colocate":
            console.print(share_line(self.every[0], settings, self.memory))
        for lines, one in self.advice:
            verdict = "fits with" if one.fits(self.memory) else "does not fit even with"
            on = f"{_gpus(one.gpus)}, {one.strategy}"
            console.print(f"{verdict} {', '.join(lines)}: {one.peak / GIB:.1f} of {self.memory:g} GiB, {on}")

    def said_of_hours(self, gpus: int) -> str:
        """Hours on a number of GPUs, their bounds, and what they rest on."""
        time, steps = self.hours[gpus], self.steps[gpus]
        if time is None or steps is None:
            return "hours depend on the data, give --rows"
        source = f"from peak rates of an {self.card.name}, an assumption; not measured"
        if time.measured:
            source = "from the rates given"
        elif self.settings.vllm == "server":
            source += "; for a server with as many cards"
        parts = f"rollouts {_span(time.rollouts)}, updates {_span(time.updates)}"
        return f"{steps:,.0f} steps in {_span(time.total)} hours ({parts}), {source}"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' * (count > 1)}"


def _span(span: planning.Span) -> str:
    """A value and its bounds."""
    low, expected, high = (f"{v:.0f}" if v >= 10 else f"{v:.1f}" if v >= 1 else f"{v:.2g}" for v in span)
    return expected if low == high else f"{expected} [{low} to {high}]"


def share_line(one: planning.Layout, settings: planning.Settings, memory: float) -> str:
    """Whether vLLM's share of a GPU holds its weights and the cache of the rollouts, and the smallest that does."""
    share, start, whole = one.vllm, one.smallest_share(memory, whole=False), one.smallest_share(memory)
    verdict = "holds" if share >= whole else "starts with, but does not hold" if share >= start else "is too small for"
    needs = (
        f"weights and working memory of {one.vllm_fixed / GIB:.1f} GiB and the cache of {settings.rollouts} sequences"
    )
    full = f"from {whole:.2f} it holds them at full length" if whole < 1 else "no share holds them at full length"
    least = f"{full}; from {start:.2f} vLLM starts and samples them in turns" if start < 1 else "no share is enough"
    return f"vllm_gpu_memory_utilization {share:g}, {share * memory:.1f} GiB, {verdict} {needs}: {least}"


def _plan_table(layouts: Sequence[planning.Layout], memory: float) -> Table:
    """The parts as rows and the strategies for one number of GPUs as columns, narrow enough for any terminal."""
    rows = [[f"GPUs: {layouts[0].gpus}", *(one.strategy for one in layouts)]]
    for name in (*_PARTS, "training", "rollout"):
        values = [getattr(one, name) / GIB for one in layouts]
        rows.append([name, *(f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values)])
    rows.append([f"fits {memory:g}", *("yes" if one.fits(memory) else "no" for one in layouts)])
    return evaluation.terminal_table(rows)
