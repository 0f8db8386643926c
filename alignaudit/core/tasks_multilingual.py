"""The tasks that are tested in many languages: XTREME's nine, some of XTREME-R's, and Belebele.

Language lists, groups and metrics are those of ``evaluate.py`` in google-research/xtreme at 838c13b;
training data are those of its scripts.
"""

from __future__ import annotations

from types import MappingProxyType

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.task import Part, Task

__all__ = ["TESTED_ON"]

_EVALUATE = "google-research/xtreme evaluate.py at 838c13b"
_SQUAD_TRAIN = Part("squad", "train")
_SQUAD_DEV = Part("squad", "validation")

_UDPOS = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
_PANX = """
ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr
et fi hu
"""
_TATOEBA = """
ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu
"""


TESTED_ON: tuple[Task, ...] = (
    Task(
        name="xnli",
        title="XNLI",
        group="classification",
        format="classification",
        metric="accuracy",
        train=(Part("mnli", "train", "mnli"),),
        dev=(Part("xnli", "validation", "XNLI", "{language}"),),
        test=Part("xnli", "test", "XNLI", "{language}"),
        labels=DATA_SETS["xnli"].labels,
        languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
        benchmarks=("xtreme", "xtreme-r"),
        citation=DATA_SETS["xnli"].citation,
        source=f"{_EVALUATE}; trained on MNLI, developed on XNLI's English",
    ),
    Task(
        name="pawsx",
        title="PAWS-X",
        group="classification",
        format="classification",
        metric="accuracy",
        train=(Part("pawsx", "train", "{language}"),),
        dev=(Part("pawsx", "validation", "{language}"),),
        test=Part("pawsx", "test", "{language}"),
        labels=DATA_SETS["pawsx"].labels,
        languages=tuple("de en es fr ja ko zh".split()),
        benchmarks=("xtreme",),
        citation=DATA_SETS["pawsx"].citation,
        source=_EVALUATE,
    ),
    Task(
        name="udpos",
        title="Universal Dependencies parts of speech",
        group="tagging",
        format="tagging",
        metric="f1",
        train=(Part("udpos", "train", "udpos.{language}"),),
        dev=(Part("udpos", "validation", "udpos.{language}"),),
        test=Part("udpos", "test", "udpos.{language}"),
        labels=DATA_SETS["udpos"].labels,
        languages=tuple(_UDPOS.split()),
        benchmarks=("xtreme",),
        citation=DATA_SETS["udpos"].citation,
        source=f"{_EVALUATE}: F1 of seqeval, though the paper calls it accuracy",
    ),
    Task(
        name="panx",
        title="PAN-X (WikiANN) named entities",
        group="tagging",
        format="tagging",
        metric="f1",
        train=(Part("panx", "train", "PAN-X.{language}"),),
        dev=(Part("panx", "validation", "PAN-X.{language}"),),
        test=Part("panx", "test", "PAN-X.{language}"),
        labels=DATA_SETS["panx"].labels,
        languages=tuple(_PANX.split()),
        benchmarks=("xtreme",),
        citation=DATA_SETS["panx"].citation,
        source=_EVALUATE,
    ),
    Task(
        name="xquad",
        title="XQuAD",
        group="qa",
        format="span",
        metric="em_f1",
        train=(_SQUAD_TRAIN,),
        dev=(_SQUAD_DEV,),
        test=Part("xquad", "validation", "xquad.{language}"),
        languages=tuple("en es de el ru tr ar vi th zh hi".split()),
        benchmarks=("xtreme",),
        answers="squad",
        citation=DATA_SETS["xquad"].citation,
        source=f"{_EVALUATE}; trained and developed on SQuAD v1.1 (scripts/train_qa.sh)",
    ),
    Task(
        name="mlqa",
        title="MLQA",
        group="qa",
        format="span",
        metric="em_f1",
        train=(_SQUAD_TRAIN,),
        dev=(_SQUAD_DEV,),
        test=Part("mlqa", "test", "MLQA.{language}.{language}"),
        languages=tuple("en es de ar hi vi zh".split()),
        benchmarks=("xtreme", "xtreme-r"),
        answers="mlqa",
        citation=DATA_SETS["mlqa"].citation,
        source=f"{_EVALUATE}; question and context in the same language; trained and developed on SQuAD v1.1",
    ),
    Task(
        name="tydiqa",
        title="TyDiQA, gold passages",
        group="qa",
        format="span",
        metric="em_f1",
        train=(Part("tydiqa", "train", "tydiqa", "{language}-"),),
        dev=(Part("tydiqa", "validation", "tydiqa", "{language}-"),),
        test=Part("tydiqa", "validation", "tydiqa", "{language}-"),
        languages=tuple("en ar bn fi id ko ru sw te".split()),
        benchmarks=("xtreme", "xtreme-r"),
        answers="squad",
        citation=DATA_SETS["tydiqa"].citation,
        source=(
            f"{_EVALUATE}; there is no third split: XTREME tests on the development set, so that English "
            "development and English test are the same rows. Trained on the English rows, as in XTREME's "
            "utils_preprocess.py; jiant's download_data/dl_datasets/xtreme.py at daa5a258 instead writes "
            "the rows of all nine languages as English training data"
        ),
    ),
    Task(
        name="bucc2018",
        title="BUCC 2018",
        group="retrieval",
        format="retrieval",
        metric="f1",
        train=(),
        dev=(),
        test=Part("bucc2018", "test", "bucc18.{language}"),
        languages=tuple("de fr ru zh".split()),
        benchmarks=("xtreme",),
        citation=DATA_SETS["bucc2018"].citation,
        source=f"{_EVALUATE}; the threshold is chosen on the validation split",
    ),
    Task(
        name="tatoeba",
        title="Tatoeba",
        group="retrieval",
        format="retrieval",
        metric="accuracy",
        train=(),
        dev=(),
        test=Part("tatoeba", "validation", "tatoeba.{language}"),
        languages=tuple(_TATOEBA.split()),
        benchmarks=("xtreme",),
        citation=DATA_SETS["tatoeba"].citation,
        source=_EVALUATE,
    ),
    Task(
        name="tatoeba_r",
        title="Tatoeba, XTREME-R's languages",
        group="retrieval",
        format="retrieval",
        metric="accuracy",
        train=(),
        dev=(),
        test=Part("tatoeba", "validation", "tatoeba.{language}"),
        languages=(*_TATOEBA.split(), "az", "lt", "pl", "uk", "ro"),
        benchmarks=("xtreme-r",),
        citation=DATA_SETS["tatoeba"].citation,
        source=_EVALUATE,
    ),
    Task(
        name="xcopa",
        title="XCOPA",
        group="reasoning",
        format="multiple_choice",
        options=2,
        metric="accuracy",
        train=(Part("copa", "train", "copa"),),
        dev=(Part("copa", "validation", "copa"),),
        test=Part("xcopa", "test", "{language}"),
        languages=tuple("et ht id it qu sw ta th tr vi zh".split()),
        benchmarks=("xtreme-r",),
        question_words=MappingProxyType({"cause": "What was the cause?", "effect": "What was the effect?"}),
        citation=DATA_SETS["xcopa"].citation,
        source=(
            f"{_EVALUATE}; English questions as in third_party/run_xcopa.py; XTREME-R trains on SIQA and "
            "then on COPA, here the task social_i_qa and then this one, because their numbers of options "
            "differ"
        ),
    ),
    Task(
        name="belebele",
        title="Belebele",
        group="reasoning",
        format="multiple_choice",
        options=4,
        metric="accuracy",
        train=(Part("cosmosqa", "train"),),
        dev=(Part("cosmosqa", "validation"),),
        test=Part("belebele", "test", "{language}"),
        languages=tuple(DATA_SETS["belebele"].languages),
        citation=DATA_SETS["belebele"].citation,
        source=(
            "it has no training data; its authors assemble some from RACE, SciQ, MultiRC, MCTest, "
            "MCScript2.0 and ReClor (README of facebookresearch/belebele); Cosmos QA, which also has four "
            "options to a passage and question, and XTREME's 40 languages are ours"
        ),
    ),
)
"""In the order in which they are shown."""
