"""Published data sets in many languages: what XTREME, XTREME-R and Belebele test on, and text for MLM.

``google/xtreme`` is the copy of XTREME's sets on the Hub. "Old cards" in the sources are the
``dataset_infos.json`` that huggingface/datasets held up to commit d7dfbc83: columns, labels and sizes
come from there. A commit that is "pinned in public code" was found in public programs that load the
set; it was not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alignaudit.core.language import XTREME_TATOEBA, find_language
from alignaudit.core.task import DataSet

__all__ = ["MULTILINGUAL"]

_XTREME = "google/xtreme"
_XTREME_COMMIT = "ec5f1f46e9af79639a90684a7a70a956c4998f04"
_CARD = "old card: columns, labels, sizes; the commit is pinned in public code"
_XTREME_CARD = f"{_CARD} (of xtreme)"
_SPLITS = ("train", "validation", "test")

_SQUAD = MappingProxyType(
    {"identifier": "id", "question": "question", "context": "context", "answers": "answers"}
)

_XTREME_40 = """
af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur
vi yo zh
"""
_UDPOS_33 = """
af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh
"""

_PANX_SIZES = """
af 5000 1000 1000; ar 20000 10000 10000; bg 20000 10000 10000; bn 10000 1000 1000; de 20000 10000 10000;
el 20000 10000 10000; en 20000 10000 10000; es 20000 10000 10000; et 15000 10000 10000; eu 10000 10000 10000;
fa 20000 10000 10000; fi 20000 10000 10000; fr 20000 10000 10000; he 20000 10000 10000; hi 5000 1000 1000;
hu 20000 10000 10000; id 20000 10000 10000; it 20000 10000 10000; ja 20000 10000 10000; jv 100 100 100;
ka 10000 10000 10000; kk 1000 1000 1000; ko 20000 10000 10000; ml 10000 1000 1000; mr 5000 1000 1000;
ms 20000 1000 1000; my 100 100 100; nl 20000 10000 10000; pt 20000 10000 10000; ru 20000 10000 10000;
sw 1000 1000 1000; ta 15000 1000 1000; te 1000 1000 1000; th 20000 10000 10000; tl 10000 1000 1000;
tr 20000 10000 10000; ur 20000 1000 1000; vi 20000 10000 10000; yo 100 100 100; zh 20000 10000 10000
"""

_UDPOS_SIZES = """
Afrikaans 1315 194 425; Arabic 6075 909 1680; Basque 5396 1798 1799; Bulgarian 8907 1115 1116;
Chinese 18998 3038 5528; Dutch 18051 1394 1471; English 21253 3974 5440; Estonian 25749 3125 3760;
Finnish 27198 3239 4422; French 47308 5979 9465; German 166849 19233 22458; Greek 28152 2559 2809;
Hebrew 5241 484 491; Hindi 13304 1659 2684; Hungarian 910 441 449; Indonesian 4477 559 1557;
Italian 29685 2278 3518; Japanese 7125 511 2372; Kazakh 31 0 1047; Korean 27410 3016 4276;
Marathi 373 46 47; Persian 4798 599 600; Portuguese 17992 1770 2681; Russian 67435 9960 11336;
Spanish 28492 3054 3147; Tagalog 0 0 55; Tamil 400 80 120; Telugu 1051 131 146; Thai 0 0 1000;
Turkish 3664 988 4785; Urdu 4043 552 535; Vietnamese 1400 800 800; Yoruba 0 0 100
"""

_MLQA_SIZES = """
ar 0 517 5335; de 0 512 4517; en 0 1148 11590; es 0 500 5253; hi 0 507 4918; vi 0 511 5495; zh 0 504 5137
"""
_SMALL_TATOEBA = {
    "jav": 205,
    "kat": 746,
    "kaz": 575,
    "mal": 687,
    "swh": 390,
    "tam": 307,
    "tel": 234,
    "tha": 548,
}
_TATOEBA_R = ("aze", "lit", "pol", "ukr", "ron")


def _same(codes: str) -> dict[str, str]:
    """Return the languages of a set that writes codes as we do."""
    return {code: code for code in codes.split()}


def _sizes(configuration: str, table: str) -> dict[tuple[str, str], int]:
    """Return sizes from entries ``word train validation test``; 0 says that there is no such split."""
    sizes = {}
    for line in table.split(";"):
        word, *numbers = line.split()
        for split, number in zip(_SPLITS, map(int, numbers), strict=True):
            if number:
                sizes[configuration.format(word), split] = number
    return sizes


def _words(
    languages: Mapping[str, str], sizes: Mapping[str, int], configuration: str
) -> dict[tuple[str, str], int]:
    """Return the same sizes for every language."""
    return {
        (configuration.format(word), split): number
        for word in languages.values()
        for split, number in sizes.items()
    }


def _udpos_word(code: str) -> str:
    return {"zh": "Chinese"}.get(code, find_language(code).name)


XNLI = DataSet(
    name="xnli",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="pair",
    columns={
        "identifier": "language",
        "text": "sentence1",
        "text_pair": "sentence2",
        "label": "gold_label",
    },
    labels=("entailment", "neutral", "contradiction"),
    aliases={"contradictory": "contradiction"},
    languages=_same("ar bg de el en es fr hi ru sw th tr ur vi zh"),
    sizes={("XNLI", "validation"): 37_350, ("XNLI", "test"): 75_150},
    files={
        "validation": ("xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv"),
        "test": ("xnli.test.tsv", "XNLI-1.0/xnli.test.tsv"),
    },
    licence="CC BY-NC 4.0",
    citation="Conneau et al. 2018, XNLI: evaluating cross-lingual sentence representations, EMNLP",
    source=f"{_XTREME_CARD}; all languages in one split, told apart by the column language",
)

PAWSX = DataSet(
    name="pawsx",
    repository="google-research-datasets/paws-x",
    revision="4cd8187c404bda33cb1f62b49b001115862acf37",
    reader="pair",
    columns={"text": "sentence1", "text_pair": "sentence2", "label": "label"},
    labels=("different", "paraphrase"),
    aliases={"0": "different", "1": "paraphrase"},
    languages=_same("de en es fr ja ko zh"),
    sizes=_words(_same("de en es fr ja ko zh"), {"train": 49_401, "validation": 2_000, "test": 2_000}, "{}"),
    files={
        "train": ("{language}/train.tsv", "{language}/translated_train.tsv"),
        "validation": ("{language}/dev_2k.tsv",),
        "test": ("{language}/test_2k.tsv",),
    },
    licence="free for any purpose, acknowledging Google LLC as the source",
    citation="Yang et al. 2019, PAWS-X: a cross-lingual adversarial dataset for paraphrase "
    "identification, EMNLP",
    source=(
        f"{_CARD}; google/xtreme lacks rows (English train 49,175), because it took quotation marks "
        "for quoting of fields (datasets/xtreme/xtreme.py of huggingface/datasets at d7dfbc83)"
    ),
)

UDPOS = DataSet(
    name="udpos",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="tokens",
    columns={"words": "tokens", "tags": "pos_tags"},
    labels=tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()),
    languages={code: _udpos_word(code) for code in _UDPOS_33.split()},
    sizes=_sizes("udpos.{}", _UDPOS_SIZES),
    files={
        split: (f"UD_{{language}}-*/*-ud-{word}.conllu", f"{{code}}_*-ud-{word}.conllu")
        for split, word in (("train", "train"), ("validation", "dev"), ("test", "test"))
    },
    licence="Universal Dependencies v2.5, by treebank",
    citation="Nivre et al. 2020, Universal Dependencies v2, LREC; release 2.5 of 2019",
    source=(
        f"{_XTREME_CARD}; all treebanks but Arabic NYUAD, one row a sentence, of syntactic words. "
        "XTREME's own preparation writes contractions as one word again (scripts/download_data.sh of "
        "google-research/xtreme at 838c13b)"
    ),
)

PANX = DataSet(
    name="panx",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="tokens",
    columns={"words": "tokens", "tags": "ner_tags"},
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
    languages=_same(_XTREME_40),
    sizes=_sizes("PAN-X.{}", _PANX_SIZES),
    files={
        split: (f"{{language}}/{word}", f"{{language}}-{word}")
        for split, word in (("train", "train"), ("validation", "dev"), ("test", "test"))
    },
    licence="not stated",
    citation="Pan et al. 2017, Cross-lingual name tagging and linking for 282 languages, ACL; "
    "Rahimi et al. 2019, Massively multilingual transfer for NER, ACL",
    source=f"{_XTREME_CARD}; files as XTREME and jiant unpack them: word with language prefix, tab, tag",
)

XQUAD = DataSet(
    name="xquad",
    repository="google/xquad",
    revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    reader="squad",
    columns=_SQUAD,
    languages=_same("en es de el ru tr ar vi th zh hi"),
    sizes=_words(_same("en es de el ru tr ar vi th zh hi"), {"validation": 1_190}, "xquad.{}"),
    files={"validation": ("xquad.{language}.json",)},
    licence="CC BY-SA 4.0",
    citation="Artetxe et al. 2020, On the cross-lingual transferability of monolingual representations, ACL",
    source=f"{_CARD} and in mteb a905523",
)

MLQA = DataSet(
    name="mlqa",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="squad",
    columns=_SQUAD,
    languages=_same("en es de ar hi vi zh"),
    sizes=_sizes("MLQA.{0}.{0}", _MLQA_SIZES),
    files={
        split: tuple(
            f"{folder}{word}-context-{{language}}-question-{{language}}.json"
            for folder in ("", f"{word}/", f"MLQA_V1/{word}/")
        )
        for split, word in (("validation", "dev"), ("test", "test"))
    },
    licence="CC BY-SA 3.0",
    citation="Lewis et al. 2020, MLQA: evaluating cross-lingual extractive question answering, ACL",
    source=_XTREME_CARD,
)

TYDIQA = DataSet(
    name="tydiqa",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="squad",
    columns=_SQUAD,
    languages={code: find_language(code).name.lower() for code in "en ar bn fi id ko ru sw te".split()},
    sizes={("tydiqa", "train"): 49_881, ("tydiqa", "validation"): 5_077},
    files={
        "train": ("tydiqa-goldp-v1.1-train.json",),
        "validation": (
            "tydiqa-goldp-v1.1-dev.json",
            "tydiqa-goldp-dev-{language}.json",
            "tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{language}.json",
        ),
    },
    licence="Apache 2.0",
    citation="Clark et al. 2020, TyDi QA: a benchmark for information-seeking question answering, TACL",
    source=f"{_XTREME_CARD}; gold passages, all languages in one split, identifiers begin with the language",
)

XCOPA = DataSet(
    name="xcopa",
    repository="cambridgeltl/xcopa",
    revision="042f78955ba48e6404616762fa6e05e839c3907a",
    reader="choice",
    columns={
        "context": "premise",
        "question": "question",
        "options": "choice1 choice2",
        "label": "label",
        "first": "0",
    },
    languages=_same("et ht id it qu sw ta th tr vi zh"),
    sizes=_words(_same("et ht id it qu sw ta th tr vi zh"), {"validation": 100, "test": 500}, "{}"),
    files={
        "validation": ("val.{language}.jsonl", "{language}/val.{language}.jsonl"),
        "test": ("test.{language}.jsonl", "{language}/test.{language}.jsonl"),
    },
    licence="CC BY 4.0",
    citation="Ponti et al. 2020, XCOPA: a multilingual dataset for causal commonsense reasoning, EMNLP",
    source=_CARD,
)

TATOEBA = DataSet(
    name="tatoeba",
    repository=_XTREME,
    revision=_XTREME_COMMIT,
    reader="sentences",
    columns={"foreign": "source_sentence", "english": "target_sentence"},
    languages={find_language(word).short: word for word in (*XTREME_TATOEBA, *_TATOEBA_R)},
    sizes={(f"tatoeba.{word}", "validation"): _SMALL_TATOEBA.get(word, 1_000) for word in XTREME_TATOEBA},
    files={"validation": ("tatoeba.{language}-eng.{language}", "tatoeba.{language}-eng.eng")},
    licence="Tatoeba terms (CC BY)",
    citation="Artetxe and Schwenk 2019, Massively multilingual sentence embeddings, TACL",
    source=f"{_XTREME_CARD}; the five further languages of XTREME-R are only in LASER's files",
)

BUCC2018 = DataSet(
    name="bucc2018",
    repository="",
    revision="",
    reader="mining",
    columns={},
    languages=_same("de fr ru zh"),
    sizes=_sizes("bucc18.{}", "de 0 1038 9580; fr 0 929 9086; ru 0 2374 14435; zh 0 257 1899"),
    files={
        split: tuple(f"{{language}}-en.{word}.{side}" for side in ("{language}", "en", "gold"))
        for split, word in (("validation", "sample"), ("test", "training"))
    },
    absent=(
        "google/xtreme has only the translated pairs, not the sentences among which they are to be found; "
        "fetch bucc2018-<language>-en.sample-gold.tar.bz2 and training-gold.tar.bz2 from "
        "comparable.limsi.fr/bucc2018"
    ),
    licence="research only, see the publisher",
    citation="Zweigenbaum et al. 2018, Overview of the third BUCC shared task, BUCC workshop",
    source=(
        f"{_XTREME_CARD}: sizes, which count gold pairs; validation is BUCC's sample and test its training "
        "set, as in XTREME (scripts/download_data.sh at 838c13b)"
    ),
)

_BELEBELE_WORDS = {
    code: f"{find_language(code).code}_{find_language(code).script}" for code in _XTREME_40.split()
} | {"ar": "arb_Arab", "zh": "zho_Hans"}

BELEBELE = DataSet(
    name="belebele",
    repository="facebook/belebele",
    revision="7899cdfa4e1e0d733fd77c848e2c273cb1d32be2",
    reader="choice",
    columns={
        "context": "flores_passage",
        "question": "question",
        "options": "mc_answer1 mc_answer2 mc_answer3 mc_answer4",
        "label": "correct_answer_num",
        "first": "1",
    },
    languages=_BELEBELE_WORDS,
    sizes=_words(_BELEBELE_WORDS, {"test": 900}, "{}"),
    files={"test": ("{language}.jsonl", "data/{language}.jsonl")},
    licence="CC BY-SA 4.0",
    citation="Bandarkar et al. 2024, The Belebele benchmark: a parallel reading comprehension dataset, ACL",
    source=(
        "columns, codes and sizes: README of facebookresearch/belebele at 08633e8e; the commit, at which "
        "each language is a configuration, is pinned in public code"
    ),
)

WIKIPEDIA = DataSet(
    name="wikipedia",
    repository="wikimedia/wikipedia",
    revision="b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
    reader="text",
    columns={"text": "text"},
    languages=_same(_XTREME_40),
    files={"train": ("{language}.txt",)},
    licence="CC BY-SA 3.0 and GFDL",
    citation="Wikimedia Foundation, Wikipedia, dump of 1 November 2023",
    source=(
        "one configuration a language, one row an article; the commit is pinned in public code; sizes were "
        "not found; a file holds one text a line"
    ),
)

MULTILINGUAL: tuple[DataSet, ...] = (
    XNLI,
    PAWSX,
    UDPOS,
    PANX,
    XQUAD,
    MLQA,
    TYDIQA,
    XCOPA,
    TATOEBA,
    BUCC2018,
    BELEBELE,
    WIKIPEDIA,
)
"""In the order in which they are shown."""
