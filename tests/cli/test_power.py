"""`power`: what is planned, as a table and as an object, and what is refused."""

from __future__ import annotations

import json

import pytest

from alignaudit.infer.power import (
    BalancedDesign,
    Variances,
    equivalence_power,
    minimum_detectable_effect,
    power,
    precision,
)

SDS = ("--sd-run", "0.8", "--sd-residual", "1.5", "--languages", "36")
SAMPLED = (*SDS, "--sd-language", "1", "--population", "languages_like_these")


def planned(cli, *words):
    said = cli("power", *words, "--json")
    assert said.code == 0
    return json.loads(said.out)


def test_the_table_for_people_is_that_of_the_notes(cli):
    said = cli("power", *SAMPLED, "--runs", "3", "5", "10", "20", "--effect", "1")
    assert said.code == 0
    assert said.out == (
        "36 languages, languages like these, paired; SD 0.8 run, 1.5 residual, 1 language; alpha 0.05\n"
        "\n"
        "runs per arm     SE    df  found with 80 %  power at 1\n"
        "3             0.704   2.2             3.62        0.15\n"
        "5             0.556   4.8             1.97        0.31\n"
        "10             0.41  12.6             1.25        0.61\n"
        "20            0.313  32.8            0.904        0.87\n"
        "\n"
        "16 runs per arm find a difference of 1 with 80 % power.\n"
    )
    assert said.err == "Next: alignaudit plan --seeds 1-16, to see what these runs would take\n"


@pytest.mark.parametrize("paired", [True, False])
def test_the_object_holds_what_the_functions_give(cli, paired):
    found = planned(
        cli, *SDS, "--runs", "4", "--effect", "0.5", "--bound", "2", *(() if paired else ["--unpaired"])
    )
    design = BalancedDesign(Variances(0.8**2, 0.0, 1.5**2), 36, paired=paired)
    exact = precision(design, runs=4)
    assert found.pop("rows") == [
        {
            "runs": 4,
            "standard_error": exact.standard_error,
            "df": exact.df,
            "minimum_detectable_effect": minimum_detectable_effect(design, runs=4),
            "power": power(design, effect=0.5, runs=4),
            "equivalence_power": equivalence_power(design, bound=2, runs=4),
        }
    ]
    needed = found.pop("runs_needed")
    assert power(design, effect=0.5, runs=needed) >= 0.8 > power(design, effect=0.5, runs=needed - 1)
    assert found == {
        "schema_version": 1,
        "sd_run": 0.8,
        "sd_language": None,
        "sd_residual": 1.5,
        "languages": 36,
        "population": "these_languages",
        "paired": paired,
        "alpha": 0.05,
        "power": 0.8,
        "effect": 0.5,
        "bound": 2.0,
    }


def test_without_an_effect_there_are_detectable_effects_only(cli):
    found = planned(cli, *SDS)
    assert [row["runs"] for row in found["rows"]] == [3, 5, 6, 10, 20]
    assert {row["power"] for row in found["rows"]} == {None}
    assert found["runs_needed"] is None
    header = cli("power", *SDS).out.splitlines()[2]
    assert header.split("  ")[-1].strip() == "found with 80 %"


def test_level_and_power_are_those_asked_for(cli):
    found = planned(cli, *SDS, "--alpha", "0.01", "--power", "0.9", "--runs", "6")
    design = BalancedDesign(Variances(0.8**2, 0.0, 1.5**2), 36, alpha=0.01)
    expected = minimum_detectable_effect(design, runs=6, wanted=0.9)
    assert found["rows"][0]["minimum_detectable_effect"] == expected


def test_an_effect_that_no_number_of_runs_finds_is_said_and_no_failure(cli):
    said = cli("power", *SAMPLED, "--effect", "0.1")
    assert said.code == 0
    assert said.out.splitlines()[-1] == (
        "No number of runs up to 100,000 finds a difference of 0.1 with power 0.8 in 36 languages. "
        "Look for a larger difference, or measure more languages."
    )
    assert planned(cli, *SAMPLED, "--effect", "0.1")["runs_needed"] is None


def test_quiet_gives_only_data(cli):
    said = cli("power", *SDS, "--quiet")
    assert said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "required"),
        ((*SDS, "--population", "languages_like_these"), "Add --sd-language SD."),
        ((*SAMPLED[:4], "--languages", "1", *SAMPLED[6:]), "State --languages 2 or more."),
        ((*SDS, "--population", "these_language"), 'Did you mean "these_languages"?'),
        ((*SDS, "--power", "0.05"), "a power of 0.05 is not above alpha, 0.05."),
        ((*SDS, "--power", "80"), '"80" is not a share between 0 and 1'),
        ((*SDS, "--alpha", "0"), '"0" is not a share between 0 and 1'),
        ((*SDS, "--effect", "0"), '"0" is not a number above 0'),
        ((*SDS, "--bound", "nan"), '"nan" is not a number above 0'),
        ((*SDS, "--sd-run", "-1"), '"-1" is not a standard deviation of at least 0'),
        ((*SDS, "--sd-run", "inf"), '"inf" is not a standard deviation of at least 0'),
        ((*SDS, "--sd-run", "much"), '"much" is not a standard deviation of at least 0'),
        ((*SDS, "--runs", "1"), "1 run per arm says nothing about how much runs vary"),
        ((*SDS, "--languages", "0"), '"0" is not a whole number of at least 1'),
        (("--sd-run", "0", "--sd-residual", "0", "--languages", "4"), "State an SD above 0."),
    ],
)
def test_what_cannot_be_planned_is_one_line_and_exit_code_2(cli, words, text):
    said = cli("power", *words)
    assert (said.code, said.out) == (2, "")
    assert text in said.err
    assert said.err.count("\n") == 1
