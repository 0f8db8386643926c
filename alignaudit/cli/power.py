"""``alignaudit power``: how many runs are needed, and which difference a number of runs can find."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from alignaudit.cli.console import Console, text_table
from alignaudit.cli.options import positive_integer

if TYPE_CHECKING:
    from alignaudit.infer.power import BalancedDesign

__all__ = ["add_options", "run"]

POPULATIONS = ("these_languages", "languages_like_these")

Row = dict[str, float | int | None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = (
        "How many runs per arm a contrast of two schedules needs. Standard deviations, effect and bound are "
        "in one unit, for example points of accuracy; take them from pilot runs."
    )
    parser.add_argument(
        "--sd-run", type=_deviation, required=True, metavar="SD",
        help="between runs of one arm, without what both runs of a pair share (with it if --unpaired)",
    )  # fmt: skip
    parser.add_argument(
        "--sd-residual", type=_deviation, required=True, metavar="SD", help="of one run in one language"
    )
    parser.add_argument(
        "--sd-language", type=_deviation, metavar="SD",
        help="between languages, of the difference of the arms; needed for languages_like_these",
    )  # fmt: skip
    parser.add_argument("--languages", type=positive_integer, required=True, metavar="N")
    parser.add_argument(
        "--runs", type=_runs, nargs="+", default=[3, 5, 6, 10, 20], metavar="N",
        help="runs per arm to look at (default: 3 5 6 10 20)",
    )  # fmt: skip
    parser.add_argument("--effect", type=_positive, metavar="D", help="difference that one wants to find")
    parser.add_argument(
        "--bound", type=_positive, metavar="D", help="smallest effect of interest, for equivalence"
    )
    parser.add_argument(
        "--power", type=_share, default=0.8, metavar="SHARE", help="wanted power (default: 0.8)"
    )
    parser.add_argument(
        "--alpha", type=_share, default=0.05, metavar="SHARE", help="level of the tests (default: 0.05)"
    )
    parser.add_argument("--population", choices=POPULATIONS, default=POPULATIONS[0])
    parser.add_argument("--unpaired", action="store_true", help="the arms share no seeds or checkpoints")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    design = _design(arguments)
    rows = [_row(design, runs, arguments) for runs in dict.fromkeys(arguments.runs)]
    needed, answer = _needed(design, arguments)
    if arguments.json:
        console.give_json(
            {"schema_version": 1, **_stated(design, arguments), "rows": rows, "runs_needed": needed}
        )
    else:
        console.give(_words(design, rows, answer, arguments))
    seeds = f" --seeds 1-{needed}" if needed else ""
    console.say(f"Next: alignaudit plan{seeds}, to see what these runs would take")
    return 0


def _stated(design: BalancedDesign, arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "sd_run": arguments.sd_run,
        "sd_language": arguments.sd_language,
        "sd_residual": arguments.sd_residual,
        "languages": design.languages,
        "population": design.population,
        "paired": design.paired,
        "alpha": design.alpha,
        "power": arguments.power,
        "effect": arguments.effect,
        "bound": arguments.bound,
    }


def _design(arguments: argparse.Namespace) -> BalancedDesign:
    from alignaudit.errors import UsageError
    from alignaudit.infer.power import BalancedDesign, Variances

    sampled = arguments.population == "languages_like_these"
    if sampled and arguments.sd_language is None:
        raise UsageError(
            "languages like these vary by an amount that must be stated.", hint="Add --sd-language SD."
        )
    if sampled and arguments.languages < 2:
        raise UsageError(
            "languages like these cannot be inferred from one.", hint="State --languages 2 or more."
        )
    if not arguments.alpha < arguments.power:
        raise UsageError(f"a power of {arguments.power:g} is not above alpha, {arguments.alpha:g}.")
    deviations = arguments.sd_run, arguments.sd_language or 0.0, arguments.sd_residual
    if not max(deviations if sampled else (deviations[0], deviations[2])) > 0:
        raise UsageError("without any variation one run per arm decides.", hint="State an SD above 0.")
    variances = Variances(*(sd**2 for sd in deviations))
    return BalancedDesign(
        variances, arguments.languages, arguments.population, not arguments.unpaired, arguments.alpha
    )


def _row(design: BalancedDesign, runs: int, arguments: argparse.Namespace) -> Row:
    from alignaudit.infer.power import equivalence_power, minimum_detectable_effect, power, precision

    found = precision(design, runs=runs)
    effect, bound = arguments.effect, arguments.bound
    return {
        "runs": runs,
        "standard_error": found.standard_error,
        "df": found.df,
        "minimum_detectable_effect": minimum_detectable_effect(design, runs=runs, wanted=arguments.power),
        "power": None if effect is None else power(design, effect=effect, runs=runs),
        "equivalence_power": None if bound is None else equivalence_power(design, bound=bound, runs=runs),
    }


def _needed(design: BalancedDesign, arguments: argparse.Namespace) -> tuple[int | None, str]:
    """Return the runs per arm for the effect, None if no number is enough, and say so in words."""
    from alignaudit.errors import FitError
    from alignaudit.infer.power import runs_needed

    if arguments.effect is None:
        return None, ""
    try:
        needed = runs_needed(design, effect=arguments.effect, wanted=arguments.power)
    except FitError as error:
        return None, f"{error.what[0].upper()}{error.what[1:]} {error.hint}"
    share = f"{100 * arguments.power:g} %"
    return needed, f"{needed} runs per arm find a difference of {arguments.effect:g} with {share} power."


def _words(design: BalancedDesign, rows: list[Row], answer: str, arguments: argparse.Namespace) -> str:
    sds = f"SD {arguments.sd_run:g} run, {arguments.sd_residual:g} residual"
    if design.population == "languages_like_these":
        sds += f", {arguments.sd_language:g} language"
    kind = "paired" if design.paired else "unpaired"
    title = (
        f"{design.languages} languages, {design.population.replace('_', ' ')}, {kind}; {sds}; "
        f"alpha {design.alpha:g}"
    )
    header = ["runs per arm", "SE", "df", f"found with {100 * arguments.power:g} %"]
    shown = ["runs", "standard_error", "df", "minimum_detectable_effect"]
    if arguments.effect is not None:
        header, shown = [*header, f"power at {arguments.effect:g}"], [*shown, "power"]
    if arguments.bound is not None:
        header = [*header, f"equivalent within {arguments.bound:g}"]
        shown = [*shown, "equivalence_power"]
    table = text_table(header, [[_cell(name, row[name]) for name in shown] for row in rows])
    return "\n\n".join(part for part in (title, table, answer) if part)


def _cell(name: str, value: float | int | None) -> str:
    if value is None:
        return ""
    if name in ("power", "equivalence_power"):
        return f"{value:.2f}"
    return f"{value:.1f}" if name == "df" else f"{value:.3g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _positive(text: str) -> float:
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number above 0')
    return float(text)


def _deviation(text: str) -> float:
    if not 0 <= _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f'"{text}" is not a standard deviation of at least 0')
    return float(text)


def _share(text: str) -> float:
    if not 0 < _number(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a share between 0 and 1')
    return float(text)


def _runs(text: str) -> int:
    if positive_integer(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} run per arm says nothing about how much runs vary")
    return int(text)
