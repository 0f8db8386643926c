"""Everything about a study that can be validated before training, and what cannot be reached from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alignaudit.core.phase import Phase, TaskSettings
from alignaudit.core.plan import StudyPlan
from alignaudit.core.study import Study
from alignaudit.errors import AlignAuditError, DataError, SetupError, StudyError
from alignaudit.experiment.data import Source, open_source
from alignaudit.experiment.mining import mining_languages, read_mining
from alignaudit.experiment.model import load_config, load_tokenizer
from alignaudit.experiment.perturbed import check_perturbations
from alignaudit.experiment.stages import EMBEDDED, draw_plan
from alignaudit.experiment.tasks.problems import Problem
from alignaudit.experiment.tasks.rows import ENGLISH
from alignaudit.experiment.weights import weights_fingerprint

__all__ = ["StudyCheck", "check_study", "raise_first"]


@dataclass(frozen=True, slots=True)
class StudyCheck:
    """What was found.

    Attributes
    ----------
    problems
        Errors, warnings, and what could not be checked, in this order.
    plan
        The graph of stages; None where errors prevent it. Where something was out of reach, its
        stages have stand-in identities: it can be shown, not run.
    """

    problems: tuple[Problem, ...]
    plan: StudyPlan | None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Return what must be put right before the study can run."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def check_study(
    study: Study, tell: Callable[[str], None] | None = None, plan: StudyPlan | None = None
) -> StudyCheck:
    """Return everything that is wrong with a study and its data, or open to question.

    Every text is read once; nothing is trained, and bad data is collected, not raised.

    Parameters
    ----------
    study
        A validated study.
    tell
        Called with the name of what is being checked.
    plan
        The study's graph, if it has been drawn already.
    """
    say = tell or (lambda _: None)
    problems: list[Problem] = []
    try:
        check_perturbations(study.measure.perturbations, lexicons=study.data.has_lexicons)
        source = open_source(study.data)
    except AlignAuditError as error:
        return StudyCheck((_problem(error),), None)
    for kind, phase in (("intermediate", study.intermediate), ("target", study.target)):
        for name, settings in phase.tasks.items():
            say(f"task {name}")
            problems += _task_problems(source, name, settings, kind)
        problems += _phase_warnings(kind, phase)
    say("parallel text")
    problems += _parallel_problems(study, source)
    if study.measure.switches_code:
        say("lexicons")
        problems += _lexicon_problems(study, source)
    if "bucc2018" in study.measure.retrieval:
        say("mining sets")
        problems += _mining_problems(source)
    say("encoders")
    problems += [problem for name in study.encoder.checkpoints for problem in _encoder_problems(name)]
    try:
        plan = plan or draw_plan(study, unreached=[])
    except StudyError as error:  # a task that is not trained, which is said above
        problems += [] if any(one.severity == "error" for one in problems) else [_problem(error)]
    except AlignAuditError as error:
        problems += [_problem(error)] if all(problem.what != error.what for problem in problems) else []
    rank = ("error", "warning", "unchecked")
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: rank.index(problem.severity))
    return StudyCheck(tuple(ordered), plan)


def raise_first(check: StudyCheck) -> None:
    """Raise the first thing that keeps a study from running, what is out of reach included.

    Raises
    ------
    DataError
        If data or settings are wrong; the message counts the other errors.
    SetupError
        If something could not be reached.
    """
    for severity, kind in (("error", DataError), ("unchecked", SetupError)):
        found = [problem for problem in check.problems if problem.severity == severity]
        if found:
            more = f" ({len(found) - 1} more: see `alignaudit check`.)" if len(found) > 1 else ""
            raise kind(f"{found[0].what}{more}", where=found[0].where, hint=found[0].hint)


def _problem(error: AlignAuditError, severity: str = "error") -> Problem:
    return Problem(severity, error.where, error.what, error.hint)  # type: ignore[arg-type]


def _task_problems(source: Source, name: str, settings: TaskSettings, kind: str) -> list[Problem]:
    """Return what is wrong with the data of a task, and whether it suits the phase it is in."""
    problems = source.problems(name, settings)
    if any(problem.severity == "error" for problem in problems):
        return problems
    where = f"task {name}"
    if not source.is_trained(name):
        what = "is scored from the encoder, without training."
        return [
            Problem("error", where, what, f'List it in measure.retrieval: ["{name.removesuffix("_r")}"].')
        ]
    try:
        size = source.train_size(name, settings)
        if size is not None and size < settings.batch_size:
            what = f"{size} training examples, but a batch takes {settings.batch_size}."
            problems.append(Problem("error", where, what, "Lower its batch_size, or give it training data."))
        if kind == "target" and not source.is_tested(name):
            problems.append(Problem("error", where, "has no test sets, so it cannot be a target task.", ""))
    except (StudyError, DataError) as error:
        problems.append(_problem(error))
    return problems


def _phase_warnings(kind: str, phase: Phase) -> list[Problem]:
    found = []
    if phase.selection == "target-languages":
        what = "checkpoints are chosen on the target languages' test sets: the transfer is not zero-shot."
        hint = 'Use "last" or "english-dev" for a zero-shot claim.'
        found.append(Problem("warning", f"{kind}.selection", what, hint))
        alone = [name for name, settings in phase.tasks.items() if settings.test_languages == (ENGLISH,)]
        what = f"has no language but English for {kind}.selection to look at."
        found += [
            Problem("error", f"task {name}", what, "Add test_languages, or select otherwise.")
            for name in alone
        ]
    for name, settings in phase.tasks.items():
        foreign = [language for language in settings.train_languages if language != ENGLISH]
        if foreign and name != "mlm":
            what = f"trained in {', '.join(foreign)} too: transfer to these languages is not zero-shot."
            found.append(Problem("warning", f"{kind}.tasks.{name}.train_languages", what, ""))
    return found


def _parallel_problems(study: Study, source: Source) -> list[Problem]:
    try:
        for _ in source.parallel(study.measure.languages or source.parallel_languages()):
            pass  # reading is the check
    except SetupError as error:
        return [_problem(error, "unchecked")]
    except AlignAuditError as error:
        return [_problem(error)]
    return []


def _lexicon_problems(study: Study, source: Source) -> list[Problem]:
    try:
        source.lexicons(study.measure.languages or source.parallel_languages())  # reading is the check
    except SetupError as error:
        return [_problem(error, "unchecked")]
    except AlignAuditError as error:
        return [_problem(error)]
    return []


def _mining_problems(source: Source) -> list[Problem]:
    folder = source.mining_folder()
    if folder is None:
        what = "BUCC's sentences are not on the Hub, and no folder is named for them."
        hint = 'Fetch them (data/README.md), then --set data.folders.bucc2018="PATH".'
        return [Problem("unchecked", "measure.retrieval: bucc2018", what, hint)]
    try:
        for language in mining_languages(folder):
            for split in ("dev", "test"):
                read_mining(folder, language, split)
    except AlignAuditError as error:
        return [_problem(error)]
    return []


def _encoder_problems(name: str) -> list[Problem]:
    if name.startswith(EMBEDDED):
        return []
    try:
        load_config(name)
        load_tokenizer(name)
        weights_fingerprint(name)
    except SetupError as error:
        elsewhere = not name.startswith("package:") and not Path(name).is_dir()
        return [_problem(error, "unchecked" if elsewhere else "error")]
    except AlignAuditError as error:
        return [_problem(error)]
    return []
