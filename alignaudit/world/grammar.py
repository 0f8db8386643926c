"""The grammar: how a language orders and inflects the words of a meaning.

One code path renders every language; what differs is read from :class:`WorldLanguage` and
:class:`Lexicon`. English alone has auxiliaries, agreement of the verb and the article ``an``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from alignaudit.errors import DataError
from alignaudit.world.concept import CLASSES, FIRST_NAME, NOUN_CLASS
from alignaudit.world.language import WorldLanguage
from alignaudit.world.lexicon import Lexicon
from alignaudit.world.meaning import NONE, PLURAL, SINGULAR, Clause, NounPhrase

__all__ = ["ROLES", "TAGS", "Grammar", "Phrase"]

ROLES: tuple[str, ...] = ("subject", "predicate", "object", "place", "time", "punctuation")
"""Roles of the phrases of a sentence."""

TAGS: tuple[str, ...] = (
    *("ADJ", "ADP", "ADV", "AUX", "DET", "NOUN", "NUM", "PART", "PROPN", "PUNCT", "VERB"),
)
"""Parts of speech, named as in Universal Dependencies."""

_ORDERS = {
    "SVO": ("subject", "predicate", "object", "place", "time"),
    "VSO": ("predicate", "subject", "object", "place", "time"),
    "SOV": ("subject", "object", "place", "time", "predicate"),
}
_PERSON = CLASSES.index("person")
_Tagged: TypeAlias = tuple[list[str], list[str]]


class Phrase(NamedTuple):
    """The words of one role, with a part of speech for each."""

    role: str
    words: list[str]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Renders meanings in one language."""

    language: WorldLanguage
    lexicon: Lexicon

    def sentence(self, clause: Clause) -> str:
        """Return the sentence: lower case, a blank between tokens, a full stop at the end."""
        return " ".join([word for phrase in self.phrases(clause) for word in phrase.words])

    def phrases(self, clause: Clause) -> list[Phrase]:
        """Return the phrases of the sentence in order, the full stop as the last one."""
        parts = self._parts(clause)
        return [
            *(parts[role] for role in self._order() if role in parts),
            Phrase("punctuation", ["."], ["PUNCT"]),
        ]

    def argument(self, clause: Clause, role: str) -> tuple[str, int]:
        """Return the noun phrase of a role, without its adposition, and where the sentence has it.

        Returns
        -------
        phrase : str
            As it stands in the sentence.
        start : int
            Offset of its first character in :meth:`sentence`.
        """
        before: list[str] = []
        for phrase in self.phrases(clause):
            words = phrase.words
            if phrase.role != role:
                before += words
                continue
            if role == "place" and self._postpositional():
                words = words[:-1]
            elif role == "place":
                before, words = [*before, words[0]], words[1:]
            return " ".join(words), sum(len(word) + 1 for word in before)
        raise DataError(f"The clause has no {role}.", where="world", hint="Ask for a role that it has.")

    def question(self, clause: Clause, role: str) -> str:
        """Ask for the subject, object or place of an affirmative clause.

        The question word stands first, in SOV languages in the place of what it asks for. Time and,
        unless asked for, place are left out.

        Parameters
        ----------
        clause
            Not negated.
        role
            A role that the clause has.

        Returns
        -------
        str
            The question, ending in a question mark of its own.
        """
        parts = {name: phrase.words for name, phrase in self._parts(clause).items() if name != "time"}
        if role != "place":
            parts.pop("place", None)
        parts[role] = [self.lexicon.function[_question_word(clause, role)]]
        order = [name for name in self._order() if name in parts]
        if not self._postpositional():
            order = [role, *(name for name in order if name != role)]
        if self._is_english() and role == "subject":
            parts["predicate"] = self._english_predicate(clause, plural=False).words
        elif self._is_english():
            parts[role].append(self._auxiliary(clause.tense, _is_plural(clause.subject)))
            parts["predicate"] = [self.lexicon.verbs[0][clause.verb]]
        return " ".join([*(word for name in order for word in parts[name]), "?"])

    def _is_english(self) -> bool:
        return self.language.family == "none"

    def _postpositional(self) -> bool:
        return self.language.word_order == "SOV"

    def _order(self) -> tuple[str, ...]:
        order = _ORDERS[self.language.word_order]
        return tuple(dict.fromkeys(("time", *order))) if self.language.time_first else order

    def _parts(self, clause: Clause) -> dict[str, Phrase]:
        if self._is_english():
            predicate = self._english_predicate(clause, _is_plural(clause.subject))
        else:
            predicate = self._predicate(clause)
        parts = {"predicate": predicate, "subject": Phrase("subject", *self._noun_phrase(clause.subject, 0))}
        if clause.object is not None:
            parts["object"] = Phrase("object", *self._noun_phrase(clause.object, 1))
        if clause.place is not None:
            words, tags = self._noun_phrase(clause.place, 0)
            position = len(words) if self._postpositional() else 0
            words.insert(position, self.lexicon.function["in"])
            tags.insert(position, "ADP")
            parts["place"] = Phrase("place", words, tags)
        if clause.time != NONE:
            parts["time"] = Phrase("time", [self.lexicon.times[clause.time]], ["ADV"])
        return parts

    def _noun_phrase(self, phrase: NounPhrase, accusative: int) -> _Tagged:
        noun, adjective, number, definite = phrase
        lexicon = self.lexicon
        form = lexicon.nouns[accusative][number != SINGULAR][noun]
        if noun >= FIRST_NAME:
            return [form], ["PROPN"]
        words, tags = [form], ["NOUN"]
        if adjective != NONE:
            position = 0 if self.language.adjective_order == "AN" else 1
            words.insert(position, lexicon.adjectives[adjective])
            tags.insert(position, "ADJ")
        if number > SINGULAR:
            words.insert(0, str(number))
            tags.insert(0, "NUM")
        elif number == PLURAL and self.language.morphology == "particles":
            words.insert(0, lexicon.function["plural"])
            tags.insert(0, "PART")
        if definite or number == SINGULAR:
            words.insert(0, self._article(definite, words[0]))
            tags.insert(0, "DET")
        return words, tags

    def _article(self, definite: int, following: str) -> str:
        if definite:
            return self.lexicon.function["the"]
        vowel = self._is_english() and following[0] in "aeiou"
        return self.lexicon.function["an" if vowel else "a"]

    def _predicate(self, clause: Clause) -> Phrase:
        words, tags = [self.lexicon.verbs[clause.tense][clause.verb]], ["VERB"]
        if self.language.morphology == "particles" and clause.tense:
            words.insert(0, self.lexicon.function["past" if clause.tense == 1 else "future"])
            tags.insert(0, "AUX")
        if clause.negated:
            words.insert(0, self.lexicon.function["not"])
            tags.insert(0, "PART")
        return Phrase("predicate", words, tags)

    def _english_predicate(self, clause: Clause, plural: bool) -> Phrase:
        function, (base, third, past) = self.lexicon.function, self.lexicon.verbs
        if clause.negated or clause.tense == 2:
            words, tags = [self._auxiliary(clause.tense, plural), base[clause.verb]], ["AUX", "VERB"]
        else:
            forms = past if clause.tense == 1 else base if plural else third
            words, tags = [forms[clause.verb]], ["VERB"]
        if clause.negated:
            words.insert(1, function["not"])
            tags.insert(1, "PART")
        return Phrase("predicate", words, tags)

    def _auxiliary(self, tense: int, plural: bool) -> str:
        """Return the English auxiliary of a question, negation or future."""
        return self.lexicon.function[("do" if plural else "does", "did", "will")[tense]]


def _is_plural(phrase: NounPhrase) -> bool:
    return phrase.number != SINGULAR


def _question_word(clause: Clause, role: str) -> str:
    """Name the function word that asks for a role."""
    if role == "place":
        return "where"
    phrase = clause.subject if role == "subject" else clause.object
    return "who" if phrase is not None and NOUN_CLASS[phrase.noun] == _PERSON else "what"
