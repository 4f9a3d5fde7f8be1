"""`rlsp plan`: memory and hours of a stage, or of all stages of a recipe, before paying for a GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rich.table import Table

from trl_rlsp import evaluation, planning, stages
from trl_rlsp.commands._measure import positive_numbers
from trl_rlsp.commands._prepare import OfStage, offline_without_network
from trl_rlsp.errors import ConfigError
from trl_rlsp.pipeline import parse_run, plan
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

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command and its stages: one, or all that train in a recipe, with overrides as of `rlsp run`."""
        given, overrides = stages.parse_known(cls, arguments, "rlsp plan")
        if given.recipe is None:
            given = super().parse(arguments)
            given.planned = [given.described]
            return given
        offline_without_network()
        steps = [step for step in plan(parse_run([str(given.recipe), *overrides])) if step.trains]
        parts: list[tuple[Any, list[str]]] = [
            (step.command, ["--config", str(step.config), *step.arguments]) for step in steps
        ]
        given.planned = [stages.read_stage(kind, one, processes=1) for kind, one in parts]
        return given

    def __post_init__(self) -> None:
        if self.card not in planning.CARDS:
            raise ConfigError(f"--card is one of {', '.join(planning.CARDS)}, got {self.card!r}")
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
        planned = [_Planned(self, stage) for stage in self.planned]
        if self.json:
            shown = [one.described() for one in planned]
            print(json.dumps(shown[0] if len(shown) == 1 else {"stages": shown}, indent=2))
            return
        console = Terminal()
        for one in planned:
            one.show(console)
        for gpus in self.counts if len(planned) > 1 else ():
            times = [one.hours[gpus] for one in planned]
            spans = [time.total for time in times if time]
            total = planning.Span(0, 0, 0)
            for span in spans:
                total = total.plus(span)
            lacking = "" if None not in times else ", without the stages whose --rows are unknown"
            console.print(f"all stages on {gpus} GPUs: {_span(total)} hours, evaluation not included{lacking}")


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
        derived = ("training", "rollout", "peak")
        layouts = [
            {**asdict(one), **{name: getattr(one, name) for name in derived}, "fits": one.fits(self.memory)}
            | {"tokens_per_step": asdict(self.tokens[one.gpus])}
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
        settings = asdict(self.settings)
        return {"kind": self.stage.kind, "settings": settings, "layouts": layouts, "hours": hours, "remedies": remedies}

    def show(self, console: Terminal) -> None:
        """Print the plan."""
        settings, total = self.settings, self.architecture.total / 1e9
        kind = "all weights" if settings.rank is None else f"LoRA of rank {settings.rank}"
        bits = f"{settings.bits}-bit base" if settings.bits else settings.dtype
        stage = f"{self.stage.kind}: {total:.3g} billion parameters, {bits}, {kind}"
        console.print(f"{stage}; computed GiB on each GPU")
        for gpus, step in self.tokens.items():
            console.print(_plan_table(self.layouts[gpus], self.memory))
            sampled, scored = f"{step.sampled:,.0f} tokens sampled", f"{step.scored:,} trained on per step"
            console.print(f"{gpus} GPUs: at most {sampled}, {scored}")
            console.print(self.said_of_hours(gpus))
        if settings.vllm == "colocate":
            console.print(share_line(self.every[0], settings, self.memory))
        for lines, one in self.advice:
            verdict = "fits with" if one.fits(self.memory) else "does not fit even with"
            console.print(f"{verdict} {', '.join(lines)}: {one.peak / GIB:.1f} GiB, {one.gpus} GPUs, {one.strategy}")

    def said_of_hours(self, gpus: int) -> str:
        """Hours on a number of GPUs, their bounds, and what they rest on."""
        time, steps = self.hours[gpus], self.steps[gpus]
        if time is None or steps is None:
            return f"{gpus} GPUs: hours depend on the data, give --rows"
        source = f"from peak rates of an {self.card.name}, an assumption; not measured"
        if time.measured:
            source = "from the rates given"
        elif self.settings.vllm == "server":
            source += "; for a server with as many cards"
        parts = f"rollouts {_span(time.rollouts)}, updates {_span(time.updates)}"
        return f"{gpus} GPUs: {steps:,.0f} steps in {_span(time.total)} hours ({parts}), {source}"


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
    least = f"{full}; from {start:.2f} vLLM starts and samples them in turns"
    return f"vllm_gpu_memory_utilization {share:g}, {share * memory:.1f} GiB, {verdict} {needs}: {least}"


def _plan_table(layouts: Sequence[planning.Layout], memory: float) -> Table:
    """The parts as rows and the strategies for one number of GPUs as columns, narrow enough for any terminal."""
    rows = [[f"GPUs: {layouts[0].gpus}", *(one.strategy for one in layouts)]]
    for name in (*_PARTS, "training", "rollout"):
        values = [getattr(one, name) / GIB for one in layouts]
        rows.append([name, *(f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values)])
    rows.append([f"fits {memory:g}", *("yes" if one.fits(memory) else "no" for one in layouts)])
    return evaluation.terminal_table(rows)
