"""The tasks that are only trained on: the nine intermediate ones, their parts, SIQA, language modelling."""

from __future__ import annotations

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.task import Part, Task

__all__ = ["TRAINED_ON"]

_NLI = ("entailment", "neutral", "contradiction")
_MNLI_TRAIN = Part("mnli", "train", "mnli")
_ANLI_TRAIN = tuple(Part("anli", f"train_r{number}") for number in (1, 2, 3))
_ANLI_DEV = tuple(Part("anli", f"dev_r{number}") for number in (1, 2, 3))


TRAINED_ON: tuple[Task, ...] = (
    Task(
        name="anli_plus",
        title="ANLI, MNLI and SNLI together",
        group="intermediate",
        format="classification",
        metric="accuracy",
        train=(*_ANLI_TRAIN, _MNLI_TRAIN, Part("snli", "train")),
        dev=_ANLI_DEV,
        labels=_NLI,
        citation="; ".join(DATA_SETS[name].citation for name in ("anli", "mnli", "snli")),
        source="Phang et al. 2020 name it ANLI+; that it is developed on ANLI alone is ours",
    ),
    Task(
        name="anli",
        title="ANLI, rounds 1 to 3",
        group="intermediate",
        format="classification",
        metric="accuracy",
        train=_ANLI_TRAIN,
        dev=_ANLI_DEV,
        labels=_NLI,
        citation=DATA_SETS["anli"].citation,
    ),
    Task(
        name="mnli",
        title="MNLI",
        group="intermediate",
        format="classification",
        metric="accuracy",
        train=(_MNLI_TRAIN,),
        dev=(Part("mnli", "validation_matched", "mnli"),),
        labels=_NLI,
        citation=DATA_SETS["mnli"].citation,
        source="developed on the matched genres, as in GLUE",
    ),
    Task(
        name="qqp",
        title="Quora question pairs",
        group="intermediate",
        format="classification",
        metric="accuracy",
        train=(Part("qqp", "train", "qqp"),),
        dev=(Part("qqp", "validation", "qqp"),),
        labels=DATA_SETS["qqp"].labels,
        citation=DATA_SETS["qqp"].citation,
        source="GLUE reports accuracy and F1; accuracy here",
    ),
    Task(
        name="squad",
        title="SQuAD v1.1",
        group="intermediate",
        format="span",
        metric="em_f1",
        train=(Part("squad", "train"),),
        dev=(Part("squad", "validation"),),
        answers="squad",
        citation=DATA_SETS["squad"].citation,
    ),
    Task(
        name="squad_v2",
        title="SQuAD v2.0",
        group="intermediate",
        format="span",
        metric="em_f1",
        train=(Part("squad_v2", "train"),),
        dev=(Part("squad_v2", "validation"),),
        answers="squad",
        unanswerable=True,
        citation=DATA_SETS["squad_v2"].citation,
        source="some questions have no answer in their context",
    ),
    Task(
        name="hellaswag",
        title="HellaSwag",
        group="intermediate",
        format="multiple_choice",
        metric="accuracy",
        train=(Part("hellaswag", "train"),),
        dev=(Part("hellaswag", "validation"),),
        citation=DATA_SETS["hellaswag"].citation,
    ),
    Task(
        name="ccg",
        title="CCG supertagging",
        group="intermediate",
        format="tagging",
        metric="accuracy",
        train=(Part("ccg", "train"),),
        dev=(Part("ccg", "validation"),),
        citation=DATA_SETS["ccg"].citation,
        source="supertags are collected from the training data; accuracy of words",
    ),
    Task(
        name="cosmosqa",
        title="Cosmos QA",
        group="intermediate",
        format="multiple_choice",
        metric="accuracy",
        train=(Part("cosmosqa", "train"),),
        dev=(Part("cosmosqa", "validation"),),
        citation=DATA_SETS["cosmosqa"].citation,
    ),
    Task(
        name="commonsenseqa",
        title="CommonsenseQA",
        group="intermediate",
        format="multiple_choice",
        metric="accuracy",
        train=(Part("commonsenseqa", "train"),),
        dev=(Part("commonsenseqa", "validation"),),
        citation=DATA_SETS["commonsenseqa"].citation,
        source="the random split, as in the data set's leaderboard",
    ),
    Task(
        name="social_i_qa",
        title="Social IQa",
        group="auxiliary",
        format="multiple_choice",
        metric="accuracy",
        train=(Part("social_i_qa", "train"),),
        dev=(Part("social_i_qa", "validation"),),
        citation=DATA_SETS["social_i_qa"].citation,
        source="XTREME-R trains on it before COPA (google-research/xtreme scripts/train_xcopa.sh at 838c13b)",
    ),
    Task(
        name="mlm",
        title="Masked language modelling",
        group="auxiliary",
        format="mlm",
        metric="accuracy",
        train=(Part("wikipedia", "train", "20231101.{language}"),),
        dev=(),
        citation=DATA_SETS["wikipedia"].citation,
        source="Phang et al. 2020 continue it in many languages; which text is ours",
    ),
)
"""In the order in which they are shown."""
