"""Rows of every data set as the Hub has them, hard cases included, and files that hold them.

Few languages: English, and those that make trouble (no blanks between words, right to left).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.task import Task

Row = dict[str, Any]
Splits = Mapping[tuple[str, str], list[Row]]

LONG = " ".join(f"the old man sees river number {number}" for number in range(12))
"""More tokens than any test allows for one row."""

TESTED = {
    "xnli": ("en", "zh", "ar"),
    "pawsx": ("en", "ja"),
    "udpos": ("en", "zh", "ja", "th"),
    "panx": ("en", "zh", "th", "my"),
    "xquad": ("en", "zh", "th", "ar"),
    "mlqa": ("en", "zh", "de"),
    "tydiqa": ("en", "ko", "ar"),
    "xcopa": ("qu", "zh"),
    "belebele": ("en", "zh"),
}
"""Languages that there are rows of, by task."""


def _question(identifier: str, question: str, context: str, *answers: str) -> Row:
    """A row of a question; the last occurrence of an answer counts."""
    found = {"text": list(answers), "answer_start": [context.rindex(answer) for answer in answers]}
    return {"id": identifier, "question": question, "context": context, "answers": found}


def _questions(prefix: str) -> list[Row]:
    """Answers at the start, at the end and in the middle of long contexts; a question after blanks."""
    return [
        _question(f"{prefix}0", "Who won?", "Denver (24-10) won. The dog walks.", "Denver"),
        _question(f"{prefix}1", "What is at the end?", f"{LONG} blue house", "blue house", "house"),
        _question(f"{prefix}2", "  Who eats?", f"the dog. {LONG} and the dog, {LONG}", "the dog"),
        _question(f"{prefix}3", "How many?", "There are 1,503 cats, the man says.", "1,503"),
    ]


_FOREIGN_QUESTIONS = {
    "zh": ("谁赢了比赛？", "丹佛野马队以24比10赢得了比赛。" * 6 + "地点是加利福尼亚", "加利福尼亚"),
    "th": ("ใครชนะ", "เดนเวอร์ชนะการแข่งขันที่แคลิฟอร์เนีย", "แคลิฟอร์เนีย"),
    "ar": ("من فاز؟", "فاز فريق دنفر بالمباراة في كاليفورنيا", "دنفر"),
    "de": ("Wer gewann?", "Die Mannschaft aus Denver gewann.", "Denver"),
    "ko": ("누가 이겼나요?", "덴버가 경기에서 이겼다.", "덴버"),
}


def _asked_in(language: str, prefix: str) -> list[Row]:
    if language == "en":
        return _questions(prefix)
    question, context, answer = _FOREIGN_QUESTIONS[language]
    return [_question(f"{prefix}0", question, context, answer)]


def _nli(premise: str, hypothesis: str, label: Any) -> Row:
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


_INFERENCES = [
    _nli("the cat eats", "the cat walks", 1),
    _nli(LONG, "the man sees a river", 0),
    _nli("the dog is red", LONG, 2),
    _nli("a", "", 1),
]


def _xnli(language: str) -> list[Row]:
    first = {"en": "the cat eats", "zh": "猫在吃东西", "ar": "القطة تأكل"}[language]
    return [
        {"language": language, "sentence1": first, "sentence2": text, "gold_label": label}
        for text, label in (("the cat", "entailment"), (LONG, "neutral"), ("x", "contradiction"))
    ]


_SENTENCES = {
    "en": "the big dog sees the cat".split(),
    "zh": "猫 在 大 房子 里 吃东西".split(),
    "ja": "猫 は 大きな 家 で 食べ ます".split(),
    "th": "แมว กิน ปลา ใน บ้าน".split(),
    "my": "ကြောင် သည် ငါး စား သည်".split(),
}


def _tagged(language: str, column: str, tags: int) -> list[Row]:
    """A sentence, one that needs several rows, one word longer than a row, and a word of no width."""
    words = _SENTENCES[language]
    sentences = [words, words * 20, ["".join(words) * 12], [words[0], "\u200b", words[1]]]
    return [
        {"tokens": sentence, column: [index % tags for index in range(len(sentence))]}
        for sentence in sentences
    ]


def _swag(label: str) -> Row:
    endings = ["walks on", "eats a house", "sees the river", LONG[:40]]
    return {
        "ind": 4,
        "ctx": f"A man sits. {LONG}",
        "ctx_a": "A man sits.",
        "endings": endings,
        "label": label,
    }


def _cosmos(context: str, label: int) -> Row:
    options = {f"answer{index}": f"the {word}" for index, word in enumerate("cat dog house tree".split())}
    return {"id": "x", "context": context, "question": "Who eats ?", **options, "label": label}


def _csqa(label: str) -> Row:
    choices = {"label": list("ABCDE"), "text": ["bank", "river", "库", "the house", "a tree"]}
    return {"id": "1", "question": "Where is the old man?", "choices": choices, "answerKey": label}


def _copa(premise: str, asked: str, label: int) -> Row:
    return {
        "premise": premise,
        "choice1": "the cat",
        "choice2": "a dog",
        "question": asked,
        "idx": 0,
        "label": label,
    }


def _belebele(passage: str, answer: str) -> Row:
    options = {f"mc_answer{index}": f"option {index}" for index in (1, 2, 3, 4)}
    return {"flores_passage": passage, "question": "谁?", **options, "correct_answer_num": answer}


def _social(label: str) -> Row:
    answers = {"answerA": "eat", "answerB": "walk", "answerC": "see the river"}
    return {"context": LONG, "question": "Why?", **answers, "label": label}


ROWS: dict[str, Splits] = {
    "anli": {
        ("plain_text", f"{split}_r{number}"): [{"uid": "u", **row, "reason": ""} for row in _INFERENCES]
        for number in (1, 2, 3)
        for split in ("train", "dev")
    },
    "mnli": {
        ("mnli", split): [{**row, "idx": index} for index, row in enumerate(_INFERENCES)]
        for split in ("train", "validation_matched")
    },
    "snli": {("plain_text", "train"): [*_INFERENCES, _nli("without a label", "h", -1)]},
    "qqp": {
        ("qqp", split): [
            {"question1": first, "question2": second, "label": label, "idx": 3}
            for first, second, label in (("who ?", "who", 1), (LONG, "", 0), ("a", LONG, 1), ("b", "c", -1))
        ]
        for split in ("train", "validation")
    },
    "squad": {
        ("plain_text", split): [{**row, "title": "Denver"} for row in _questions("56be")]
        for split in ("train", "validation")
    },
    "squad_v2": {
        ("squad_v2", split): [
            {**row, "title": "T"}
            for row in (
                *_questions("5a"),
                _question("5b0", "Who lost?", "Denver won."),
                _question("5b1", "Who lost?", LONG),
            )
        ]
        for split in ("train", "validation")
    },
    "hellaswag": {
        ("default", "train"): [_swag("3"), _swag("0")],
        ("default", "validation"): [_swag(""), _swag("1")],
    },
    "cosmosqa": {
        ("default", "train"): [_cosmos("We ran.", 2), _cosmos(LONG, 3)],
        ("default", "validation"): [_cosmos("We ran.", 0), _cosmos("x", -1)],
    },
    "commonsenseqa": {
        ("default", "train"): [_csqa("C"), _csqa("E")],
        ("default", "validation"): [_csqa(""), _csqa("A")],
    },
    "social_i_qa": {("default", split): [_social("3"), _social("1")] for split in ("train", "validation")},
    "wikipedia": {
        (f"20231101.{code}", "train"): [{"id": "1", "text": text}, {"id": "2", "text": LONG}]
        for code, text in (("en", "the cat"), ("zh", "猫在大房子里吃东西" * 9))
    },
    "xnli": {
        ("XNLI", split): [row for language in TESTED["xnli"] for row in _xnli(language)]
        for split in ("validation", "test")
    },
    "pawsx": {
        (code, split): [
            {"id": 1, "sentence1": first, "sentence2": second, "label": label}
            for first, second, label in (('He said "x', "the cat", 1), (LONG, LONG, 0))
        ]
        for code in TESTED["pawsx"]
        for split in ("train", "validation", "test")
    },
    "udpos": {
        (f"udpos.{DATA_SETS['udpos'].languages[code]}", split): _tagged(code, "pos_tags", 17)
        for code in TESTED["udpos"]
        for split in ("train", "validation", "test")
    },
    "panx": {
        (f"PAN-X.{code}", split): _tagged(code, "ner_tags", 7)
        for code in TESTED["panx"]
        for split in ("train", "validation", "test")
    },
    "xquad": {(f"xquad.{code}", "validation"): _asked_in(code, "57") for code in TESTED["xquad"]},
    "mlqa": {
        (f"MLQA.{code}.{code}", "test"): [{**row, "title": "T"} for row in _asked_in(code, "a1")]
        for code in TESTED["mlqa"]
    },
    "tydiqa": {
        ("tydiqa", split): [
            row
            for code in TESTED["tydiqa"]
            for row in _asked_in(code, f"{DATA_SETS['tydiqa'].languages[code]}-{split}-")
        ]
        for split in ("train", "validation")
    },
    "copa": {
        ("copa", split): [_copa("the man eats", "cause", 1), _copa(LONG, "effect", 0)]
        for split in ("train", "validation")
    },
    "xcopa": {(code, "test"): [_copa("前提", "cause", 0)] for code in TESTED["xcopa"]},
    "belebele": {
        (DATA_SETS["belebele"].languages[code], "test"): [_belebele(LONG, "4"), _belebele("我们跑了。", "1")]
        for code in TESTED["belebele"]
    },
}
"""By data set, and there by (configuration, split)."""

SUPERTAGS = "He|PRP|NP ran|VBD|S\\NP .|.|.\nthe|DT|NP/N cat|NN|N eats|VBZ|(S\\NP)/NP fish|NN|N\n"
"""Lines of CCGbank as its holder writes them; the set is not on the Hub."""


def data_sets_of(*tasks: Task) -> list[str]:
    """Names of the data sets that tasks read."""
    parts = [part for task in tasks for part in (*task.train, *task.dev, *([task.test] if task.test else []))]
    return list(dict.fromkeys(part.data for part in parts))


def write_hub(root: Path, names: Iterable[str], rows: Mapping[str, Splits] = ROWS) -> Path:
    """Write copies of repositories: Parquet shards, and cards that list configurations and splits."""
    shown = datasets.utils.are_progress_bars_disabled()
    datasets.utils.disable_progress_bars()
    for name in names:
        folder = root / DATA_SETS[name].repository
        card = folder / "README.md"
        lines = card.read_text().splitlines()[:-1] if card.is_file() else ["---", "configs:"]
        for configuration in dict.fromkeys(key[0] for key in rows[name]):
            lines += [f"- config_name: {configuration}", "  data_files:"]
            for split in (key[1] for key in rows[name] if key[0] == configuration):
                path = folder / configuration / f"{split}-00000-of-00001.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                datasets.Dataset.from_list(rows[name][configuration, split]).to_parquet(str(path))
                lines += [f"  - split: {split}", f"    path: {configuration}/{split}-*"]
        card.write_text("\n".join([*lines, "---"]))
    if not shown:
        datasets.utils.enable_progress_bars()
    return root


def write_lines(root: Path, name: str, rows: Mapping[str, Splits] = ROWS) -> Path:
    """Write the rows of one data set as JSON lines in a folder of its own; return that folder."""
    folder = root / name
    for (configuration, split), content in rows[name].items():
        inner = "" if configuration in ("plain_text", "default", "squad_v2") else configuration
        path = folder / inner / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), "utf-8")
    return folder


def write_ccg(root: Path) -> Path:
    """Write a folder with CCGbank's lines, one tag of the development set unknown to training."""
    folder = root / "ccg"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ccg.train").write_text(SUPERTAGS)
    (folder / "ccg.dev").write_text("He|PRP|NP ran|VBD|(S\\NP)/PP .|.|.\n")
    return folder
