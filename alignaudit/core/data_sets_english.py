"""Published English data sets: what the intermediate tasks, SIQA and COPA are read from.

"Old cards" in the sources are the ``dataset_infos.json`` that huggingface/datasets held for each
set up to commit d7dfbc83, before the sets moved to the Hub: columns, labels and sizes come from
there. A commit that is "pinned in public code" was found in public programs that load the set; it was
not fetched.
"""

from __future__ import annotations

from types import MappingProxyType

from alignaudit.core.task import DataSet

__all__ = ["ENGLISH"]

_NLI = ("entailment", "neutral", "contradiction")
_PAIR = MappingProxyType({"text": "premise", "text_pair": "hypothesis", "label": "label"})
_SENTENCES = MappingProxyType({"text": "sentence1", "text_pair": "sentence2", "label": "gold_label"})
_SQUAD = MappingProxyType(
    {
        "identifier": "id",
        "title": "title",
        "question": "question",
        "context": "context",
        "answers": "answers",
    }
)
_CARD = "old card: columns, labels, sizes; the commit is pinned in public code"
_GLUE_COMMIT = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

SNLI = DataSet(
    name="snli",
    repository="stanfordnlp/snli",
    revision="cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    reader="pair",
    columns=_PAIR,
    file_columns=_SENTENCES,
    labels=_NLI,
    unlabelled=(-1, "-"),
    sizes={("", "train"): 550_152, ("", "validation"): 10_000, ("", "test"): 10_000},
    files={
        "train": ("snli_1.0_train.jsonl",),
        "validation": ("snli_1.0_dev.jsonl",),
        "test": ("snli_1.0_test.jsonl",),
    },
    licence="CC BY-SA 4.0",
    citation="Bowman et al. 2015, A large annotated corpus for learning natural language inference, EMNLP",
    source=f"{_CARD}; sizes count rows without a label too",
)

ANLI = DataSet(
    name="anli",
    repository="facebook/anli",
    revision="8e4813d81f46d313dac7892e1c28076917cfcdf9",
    reader="pair",
    columns=_PAIR,
    file_columns={"text": "context", "text_pair": "hypothesis", "label": "label"},
    labels=_NLI,
    aliases={"e": "entailment", "n": "neutral", "c": "contradiction"},
    sizes={
        ("", "train_r1"): 16_946,
        ("", "dev_r1"): 1_000,
        ("", "test_r1"): 1_000,
        ("", "train_r2"): 45_460,
        ("", "dev_r2"): 1_000,
        ("", "test_r2"): 1_000,
        ("", "train_r3"): 100_459,
        ("", "dev_r3"): 1_200,
        ("", "test_r3"): 1_200,
    },
    files={
        f"{split}_r{number}": (f"{split}_r{number}.jsonl", f"R{number}/{split}.jsonl")
        for number in (1, 2, 3)
        for split in ("train", "dev", "test")
    },
    licence="CC BY-NC 4.0",
    citation="Nie et al. 2020, Adversarial NLI: a new benchmark for natural language understanding, ACL",
    source=f"{_CARD}; publisher's letters and columns as jiant reads them",
)

MNLI = DataSet(
    name="mnli",
    repository="nyu-mll/glue",
    revision=_GLUE_COMMIT,
    reader="pair",
    columns=_PAIR,
    file_columns=_SENTENCES,
    labels=_NLI,
    aliases={"contradictory": "contradiction"},
    unlabelled=(-1, "-"),
    sizes={
        ("mnli", "train"): 392_702,
        ("mnli", "validation_matched"): 9_815,
        ("mnli", "validation_mismatched"): 9_832,
        ("mnli", "test_matched"): 9_796,
        ("mnli", "test_mismatched"): 9_847,
    },
    files={
        "train": ("multinli_1.0_train.jsonl", "MNLI/train.tsv"),
        "validation_matched": ("multinli_1.0_dev_matched.jsonl", "MNLI/dev_matched.tsv"),
        "validation_mismatched": ("multinli_1.0_dev_mismatched.jsonl", "MNLI/dev_mismatched.tsv"),
    },
    licence="see the publisher",
    citation="Williams et al. 2018, A broad-coverage challenge corpus for sentence understanding, NAACL",
    source=f"{_CARD} (of glue)",
)

QQP = DataSet(
    name="qqp",
    repository="nyu-mll/glue",
    revision=_GLUE_COMMIT,
    reader="pair",
    columns={"text": "question1", "text_pair": "question2", "label": "label"},
    file_columns={"text": "question1", "text_pair": "question2", "label": "is_duplicate"},
    labels=("not_duplicate", "duplicate"),
    aliases={"0": "not_duplicate", "1": "duplicate"},
    unlabelled=(-1,),
    sizes={("qqp", "train"): 363_846, ("qqp", "validation"): 40_430, ("qqp", "test"): 390_965},
    files={"train": ("QQP/train.tsv",), "validation": ("QQP/dev.tsv",)},
    licence="see the publisher",
    citation="Iyer et al. 2017, First Quora dataset release: question pairs",
    source=f"{_CARD} (of glue)",
)

SQUAD = DataSet(
    name="squad",
    repository="rajpurkar/squad",
    revision="7b6d24c440a36b6815f21b70d25016731768db1f",
    reader="squad",
    columns=_SQUAD,
    sizes={("", "train"): 87_599, ("", "validation"): 10_570},
    files={"train": ("train-v1.1.json",), "validation": ("dev-v1.1.json",)},
    licence="CC BY-SA 4.0",
    citation="Rajpurkar et al. 2016, SQuAD: 100,000+ questions for machine comprehension of text, EMNLP",
    source=_CARD,
)

SQUAD_V2 = DataSet(
    name="squad_v2",
    repository="rajpurkar/squad_v2",
    revision="3ffb306f725f7d2ce8394bc1873b24868140c412",
    reader="squad",
    columns=_SQUAD,
    sizes={("", "train"): 130_319, ("", "validation"): 11_873},
    files={"train": ("train-v2.0.json",), "validation": ("dev-v2.0.json",)},
    licence="CC BY-SA 4.0",
    citation="Rajpurkar et al. 2018, Know what you don't know: unanswerable questions for SQuAD, ACL",
    source=_CARD,
)

HELLASWAG = DataSet(
    name="hellaswag",
    repository="Rowan/hellaswag",
    revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
    reader="choice",
    columns={"context": "ctx", "options": "endings", "label": "label", "first": "0"},
    unlabelled=("",),
    sizes={("", "train"): 39_905, ("", "validation"): 10_042, ("", "test"): 10_003},
    files={
        "train": ("hellaswag_train.jsonl",),
        "validation": ("hellaswag_val.jsonl",),
        "test": ("hellaswag_test.jsonl",),
    },
    licence="MIT",
    citation="Zellers et al. 2019, HellaSwag: can a machine really finish your sentence?, ACL",
    source=f"{_CARD}; labels are words of one digit",
)

CCG = DataSet(
    name="ccg",
    repository="",
    revision="",
    reader="supertags",
    columns={"words": "words", "tags": "tags"},
    absent=(
        "CCGbank (LDC2005T13) is licensed by the Linguistic Data Consortium; write one sentence a line, "
        "word|pos|supertag separated by blanks: sections 02-21 train, 00 development, 23 test"
    ),
    files={"train": ("ccg.train",), "validation": ("ccg.dev",), "test": ("ccg.test",)},
    licence="LDC user agreement",
    citation="Hockenmaier and Steedman 2007, CCGbank, Computational Linguistics 33(3)",
    source=(
        "the usual sections; which are made into lines by whoever holds the licence. "
        "jiant tags with 1,363 supertags (jiant/tasks/lib/ccg.py at daa5a258)"
    ),
)

COSMOSQA = DataSet(
    name="cosmosqa",
    repository="allenai/cosmos_qa",
    revision="ed50fe83db62b355759053b1cd5eef344ee371e0",
    reader="choice",
    columns={
        "context": "context",
        "question": "question",
        "options": "answer0 answer1 answer2 answer3",
        "label": "label",
        "first": "0",
    },
    unlabelled=(-1,),
    sizes={("", "train"): 25_262, ("", "validation"): 2_985, ("", "test"): 6_963},
    files={"train": ("train.csv",), "validation": ("valid.csv",), "test": ("test.csv", "test.jsonl")},
    licence="CC BY 4.0",
    citation=(
        "Huang et al. 2019, Cosmos QA: machine reading comprehension with contextual commonsense "
        "reasoning, EMNLP"
    ),
    source=(
        f"{_CARD}; it is one of the branch refs/convert/parquet, because the repository itself is a script, "
        "which no longer loads"
    ),
)

COMMONSENSEQA = DataSet(
    name="commonsenseqa",
    repository="tau/commonsense_qa",
    revision="94630fe30dad47192a8546eb75f094926d47e155",
    reader="choice",
    columns={
        "question": "question",
        "options": "choices.text",
        "label": "answerKey",
        "keys": "choices.label",
    },
    file_columns={
        "question": "question.stem",
        "options": "question.choices.text",
        "label": "answerKey",
        "keys": "question.choices.label",
    },
    unlabelled=("",),
    sizes={("", "train"): 9_741, ("", "validation"): 1_221, ("", "test"): 1_140},
    files={
        "train": ("train_rand_split.jsonl",),
        "validation": ("dev_rand_split.jsonl",),
        "test": ("test_rand_split_no_answers.jsonl",),
    },
    licence="MIT",
    citation=(
        "Talmor et al. 2019, CommonsenseQA: a question answering challenge targeting commonsense "
        "knowledge, NAACL"
    ),
    source=f"{_CARD}; publisher's columns as jiant reads them",
)

SOCIAL_I_QA = DataSet(
    name="social_i_qa",
    repository="allenai/social_i_qa",
    revision="537a2ec8ec565adc0b70b70752893e59e024df26",
    reader="choice",
    columns={
        "context": "context",
        "question": "question",
        "options": "answerA answerB answerC",
        "label": "label",
        "first": "1",
    },
    sizes={("", "train"): 33_410, ("", "validation"): 1_954},
    licence="see the publisher",
    citation="Sap et al. 2019, Social IQa: commonsense reasoning about social interactions, EMNLP",
    source=(
        f"{_CARD}; it is one of the branch refs/convert/parquet, because the repository itself is a script, "
        "which no longer loads; publisher's files call the label `correct` and write letters: not read here"
    ),
)

COPA = DataSet(
    name="copa",
    repository="aps/super_glue",
    revision="3de24cf8022e94f4ee4b9d55a6f539891524d646",
    reader="choice",
    columns={
        "context": "premise",
        "question": "question",
        "options": "choice1 choice2",
        "label": "label",
        "first": "0",
    },
    unlabelled=(-1,),
    sizes={("copa", "train"): 400, ("copa", "validation"): 100, ("copa", "test"): 500},
    files={
        "train": ("train.jsonl", "train-en.jsonl"),
        "validation": ("val.jsonl", "val-en.jsonl"),
        "test": ("test.jsonl", "test-en.jsonl"),
    },
    licence="BSD 2-Clause",
    citation="Roemmele et al. 2011, Choice of plausible alternatives, AAAI Spring Symposium",
    source=f"{_CARD} (of super_glue); files as SuperGLUE or XTREME-R names them",
)

ENGLISH: tuple[DataSet, ...] = (
    SNLI,
    ANLI,
    MNLI,
    QQP,
    SQUAD,
    SQUAD_V2,
    HELLASWAG,
    CCG,
    COSMOSQA,
    COMMONSENSEQA,
    SOCIAL_I_QA,
    COPA,
)
"""In the order in which they are shown."""
