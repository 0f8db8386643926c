from __future__ import annotations

import pickle
import re

import pytest

from alignaudit import errors
from alignaudit.errors import AlignAuditError, did_you_mean

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
NAMES = [kind.__name__ for kind in KINDS]


def test_the_drawn_tree_is_the_real_one():
    drawn = re.findall(r"^ +(├── |└── )?(\w+Error) +(\d+) ", errors.__doc__, flags=re.MULTILINE)
    assert {(name, bool(branch), int(code)) for branch, name, code in drawn} == {
        (kind.__name__, kind is not AlignAuditError, kind.exit_code) for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS[1:], ids=NAMES[1:])
def test_every_error_hangs_on_the_root_directly(kind):
    assert kind.__bases__ == (AlignAuditError,)


def test_every_error_is_exported():
    assert set(NAMES) | {"did_you_mean"} == set(errors.__all__)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_an_error_survives_the_way_to_another_process(kind):
    error = kind("what.", where="there", hint="Do this.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.hint) == ("what.", "there", "Do this.")
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "wrong."),
        ({"where": "file.toml"}, "file.toml: wrong."),
        ({"hint": "Mend it."}, "wrong. Mend it."),
        ({"where": "file.toml", "hint": "Mend it."}, "file.toml: wrong. Mend it."),
    ],
)
def test_an_error_reads_where_what_and_what_to_do(parts, text):
    assert str(AlignAuditError("wrong.", **parts)) == text


def test_nothing_near_lists_all_that_is_known_in_order():
    assert did_you_mean("zzzz", ["pear", "apple"]) == "Known: apple, pear."
    assert did_you_mean("appel", ["pear", "apple"]) == 'Did you mean "apple"?'
