"""Claims, intervals over seeds, verdicts: what is judged, and what is printed."""

import itertools
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib.claims import Claim
from asgd_lib.intervals import interval, slope
from asgd_lib.verdicts import verdict_table

RATIO = Claim("C1", "A is faster than B", "arXiv:0000.00000 v1, Fig. 1", low=1.5, unit="x")
SLOPE = Claim("C2", "time falls like 1/n", "arXiv:0000.00000 v1, Thm 2", low=-1.1, high=-0.9)
NOISE = Claim("C3", "replaying gives the model again", "ours", high=1e-12, floor=1e-15)


def test_interval_is_students_t():
    # Five samples of mean 3 and s = sqrt(2.5); t at 0.975 with 4 degrees of freedom is 2.776445 (printed tables).
    mean, low, high = interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (mean, low, high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-6)


@pytest.mark.parametrize(("level", "log"), [(0.95, False), (0.8, False), (0.95, True)])
def test_interval_covers_the_truth_as_often_as_it_says(level, log):
    rng = np.random.default_rng(7)
    samples = rng.normal(1.0, 2.0, size=(4, 20_000))
    _, low, high = interval(np.exp(samples) if log else samples, level, log)
    truth = math.e if log else 1.0
    covered = np.mean((low <= truth) & (truth <= high))
    # Five standard deviations of a binomial share.
    assert abs(covered - level) < 5 * math.sqrt(level * (1 - level) / 20_000)


@given(st.floats(-1e6, 1e6), st.integers(2, 9))
def test_equal_samples_have_an_interval_of_no_width(value, n):
    assert interval([value] * n) == (value, value, value)


def test_interval_of_columns_is_the_interval_of_each():
    samples = np.random.default_rng(0).lognormal(size=(5, 3))
    for log in (False, True):
        together = np.array(interval(samples, log=log))
        alone = np.array([interval(column, log=log) for column in samples.T]).T
        np.testing.assert_allclose(together, alone, rtol=1e-14)
    even = np.stack([np.full(3, 0.1), np.arange(3.0)], axis=1)
    assert interval(even).mean[0] == interval(even).low[0] == 0.1  # also beside a column that varies


@pytest.mark.parametrize(
    ("samples", "keywords", "says"),
    [([1.0], {}, "at least 2"), (3.0, {}, "at least 2"), ([1, math.nan], {}, "finite"), ([0, 1], {"log": True}, "above 0"),
     ([1, 2], {"level": 95}, "level"), ([1, 2], {"level": 0.0}, "level"), ([1, 2], {"level": 1.0}, "level")],
)  # fmt: skip
def test_interval_refuses(samples, keywords, says):
    with pytest.raises(ValueError, match=says):
        interval(samples, **keywords)


def test_slope_finds_the_power_of_each_seed():
    n = np.array([2.0, 4.0, 8.0, 32.0])
    np.testing.assert_allclose(slope(n, [5 * n**-1.0, 0.1 * n**0.5]), [-1.0, 0.5], rtol=1e-12)


def test_two_points_have_a_slope():
    assert slope([1, 2], [[3, 6], [3, 12]]) == pytest.approx([1, 2], rel=1e-14)


def test_slope_is_least_squares():
    x, y = np.array([1.0, 2.0, 5.0, 7.0]), np.array([3.0, 1.0, 2.0, 0.4])
    assert slope(x, [y])[0] == pytest.approx(np.polyfit(np.log(x), np.log(y), 1)[0], rel=1e-12)


def test_slope_of_a_diverged_seed_is_nan_and_reproduces_nothing():
    slopes = slope([1, 2, 4], [[4, 2, 1], [4, np.inf, np.nan], [4.0, 2.0, 1.0]])
    assert np.isnan(slopes).tolist() == [False, True, False]
    assert SLOPE.check(slopes).verdict == "not reproduced"


@pytest.mark.parametrize(("x", "y"), [([1, 1], [[1, 2]]), ([0, 1], [[1, 2]]), ([1, 2], [[0, 2]]), ([1, 2], [1, 2]), ([1, 2, 3], [[1, 2]])])
def test_slope_refuses(x, y):
    with pytest.raises(ValueError, match="slope"):
        slope(x, y)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8), st.floats(-5, 5), st.floats(0, 5))
def test_the_verdict_is_where_the_interval_lies(samples, low, width):
    claim = Claim("C", "x", "y", low=low, high=low + width)
    _, left, right = interval(samples)
    verdict = claim.check(samples).verdict
    assert (verdict == "reproduced") == (low <= left and right <= low + width)
    assert (verdict == "not reproduced") == (right < low or left > low + width)
    assert verdict in {"reproduced", "partly", "not reproduced"}


def test_the_ends_belong_to_the_region():
    assert RATIO.check_exact(1.5).verdict == "reproduced"
    assert RATIO.check_exact(np.nextafter(1.5, 0)).verdict == "not reproduced"
    assert Claim("C", "x", "y", low=0.1, high=0.1).check([0.1] * 3).verdict == "reproduced"  # their mean must be 0.1


def test_one_seed_is_no_test():
    verdict = RATIO.check([2.0])
    assert (verdict.verdict, verdict.measured, verdict.seeds) == ("not tested", 2.0, 1)
    assert "two or more" in verdict.note


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([2.0] * 7 + [math.nan], "not reproduced"),  # no value lies in no region
        ([2.0] * 7 + [-math.inf], "not reproduced"),
        ([2.0] * 7 + [math.inf], "reproduced"),  # "at least 1.5" holds for each of 8 seeds
        ([2.0] * 4 + [math.inf], "partly"),  # 5 seeds: the range holds the median with 93.75 % only
        ([2.0] * 5 + [math.inf], "reproduced"),  # 6 seeds: 96.9 %
        ([1.0] + [2.0] * 6 + [math.inf], "partly"),
    ],
)
def test_samples_that_are_not_finite_are_judged_and_told(samples, expected):
    verdict = RATIO.check(samples)
    assert verdict.verdict == expected
    assert "gave no finite number" in verdict.note
    assert verdict.seeds == len(samples)


def test_beside_an_infinite_sample_the_median_and_the_range_are_shown():
    verdict = RATIO.check([6.0, 3.0, math.inf, 5.0, 2.0, 4.0])
    assert (verdict.measured, verdict.low, verdict.high) == (4.0, 2.0, math.inf)
    assert verdict.note.endswith("median and range shown")
    lowest = Claim("C", "x", "y", high=0.0).check([-3.0, -math.inf, -1.0, -2.0, -5.0, -4.0])
    assert (lowest.verdict, lowest.measured, lowest.low, lowest.high) == ("reproduced", -4.0, -math.inf, -1.0)
    level = 1 - 2.0**-4  # what the range of five samples reaches, exactly
    assert Claim("C", "x", "y", low=1.5, level=level).check([2.0] * 4 + [math.inf]).verdict == "reproduced"


@pytest.mark.parametrize("samples", [[2.0], [2.0, 2.5], [2.0, math.nan], [2.0, math.inf]])
def test_what_the_caller_notes_is_told(samples):
    assert RATIO.check(samples, "lr = 0.1").note.startswith("lr = 0.1")
    conditions = RATIO.check_all({"a": samples, "b": samples}, "lr = 0.1").note
    assert conditions.startswith("lr = 0.1; worst of 2 conditions") and conditions.endswith(RATIO.check(samples).note)
    assert RATIO.check_exact(2.0, "lr = 0.1").note == "lr = 0.1"


def test_an_infinite_sample_outside_a_bounded_region_is_not_reproduced():
    assert SLOPE.check([-1.0, -1.0, math.inf]).verdict == "not reproduced"
    assert NOISE.check_exact(math.nan).verdict == "not reproduced"


@pytest.mark.parametrize("samples", [[], 3.0, [[1.0, 2.0]]])
def test_check_refuses_what_is_not_one_array_of_seeds(samples):
    with pytest.raises(ValueError, match="C1"):
        RATIO.check(samples)


@pytest.mark.parametrize("region", [{}, {"low": 2, "high": 1}, {"low": math.nan}])
def test_a_claim_that_nothing_could_refute_is_refused(region):
    with pytest.raises(ValueError, match="refute"):
        Claim("C", "x", "y", **region)
    with pytest.raises(ValueError, match="source"):
        Claim("C", "x", "", low=1)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, math.nan])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match=r"The level of C must be in \(0, 1\); got"):
        Claim("C", "x", "y", low=1, level=level)


@pytest.mark.parametrize("floor", [-1e-12, math.inf, math.nan])
def test_a_floor_that_is_no_magnitude_is_refused(floor):
    with pytest.raises(ValueError, match="The floor of C must be a finite number of at least 0; got"):
        Claim("C", "x", "y", low=1, floor=floor)


@pytest.mark.parametrize(
    ("conditions", "expected", "worst"),
    [
        ({"a": [2.0, 2.1], "b": [3.0, 3.0]}, "partly", "a"),  # 2 seeds: the interval of a reaches below 1.5
        ({"a": [2.0, 2.0], "b": [3.0, 3.0]}, "reproduced", "a"),
        ({"a": [1.0, 1.0], "b": [0.5, 0.5]}, "not reproduced", "b"),
        ({"a": [1.0, 1.0], "b": [2.0, 2.0]}, "partly", "a"),
        ({"wide": [2.0, 9.0, 1.0], "outside": [1.4, 1.4, 1.4]}, "not reproduced", "outside"),  # refuted once, established nowhere
        ({"wide": [2.0, 9.0, 1.0], "wider": [2.0, 9.0, 0.5]}, "partly", "wider"),
        ({"a": [2.0, 2.0], "b": [2.0, math.nan]}, "partly", "b"),
        ({"a": [2.0], "b": [2.0, 2.0]}, "partly", "b"),
        ({"a": [1.0, 1.0], "b": [2.0, math.nan], "c": [0.5, 0.5]}, "not reproduced", "b"),
        ({"a": [2.0], "b": [2.0]}, "not tested", "a"),
        ({5: 2.0, 25: 1.0}, "partly", "25"),
    ],
)
def test_check_all_takes_every_condition_and_names_the_worst(conditions, expected, worst):
    verdict = RATIO.check_all(conditions)
    assert verdict.verdict == expected
    assert f"worst of {len(conditions)} conditions: {worst};" in verdict.note
    assert sum(int(number) for number in re.findall(r"(\d+) (?:reproduced|partly|not)", verdict.note)) == len(conditions)
    assert verdict.measured == pytest.approx(np.mean(dict(verdict.conditions)[worst].measured), nan_ok=True)
    with pytest.raises(ValueError, match="condition"):
        RATIO.check_all({})


def test_the_worst_is_the_nearest_to_either_end():
    assert "conditions: high;" in SLOPE.check_all({"low": -1.08, "high": -0.91}).note
    assert "conditions: low;" in SLOPE.check_all({"low": -1.09, "high": -0.92}).note


@pytest.mark.parametrize("claim", [Claim("C", "x", "y", low=0.0), Claim("C", "x", "y", high=0.0)])
def test_a_sample_at_an_open_end_is_not_the_worst_in_any_order(claim):
    sign = 1.0 if claim.low == 0 else -1.0
    conditions = {"near": [sign] * 8, "middle": [2 * sign] * 8, "far": [sign * math.inf] * 8}
    for labels in itertools.permutations(conditions):
        verdict = claim.check_all({label: conditions[label] for label in labels})
        assert (verdict.verdict, verdict.measured) == ("reproduced", sign), labels


def test_one_condition_is_not_called_the_worst_of_one():
    assert RATIO.check_all({"equal speeds": [2.0, 2.1, 2.2]}).note.startswith("equal speeds; each at 95 %")
    assert RATIO.check_all({5: 2.0, 25: 1.0}).note == "worst of 2 conditions: 25; 1 reproduced, 1 not reproduced"


def test_check_all_corrects_for_the_number_of_conditions():
    samples = np.array([2.0, 2.2, 2.5, 2.6])
    one = dict(RATIO.check_all(dict.fromkeys(range(5), samples)).conditions)["0"]
    assert (one.low, one.high) == pytest.approx(interval(samples, 0.99)[1:], rel=1e-12)  # 1 - 0.05 / 5
    assert one.low < interval(samples).low


def test_a_geometric_claim_uses_the_geometric_mean():
    claim = Claim("C", "x", "y", low=0.5, log=True)
    assert claim.check([1.0, 100.0, 10.0]).measured == pytest.approx(10.0)


def test_not_tested_needs_a_reason():
    assert str(RATIO.not_tested("needs real = True")).endswith("needs real = True")
    with pytest.raises(ValueError, match="reason"):
        RATIO.not_tested("")


@pytest.mark.parametrize(
    ("region", "words"),
    [({"low": 1.5, "unit": "x"}, ">= 1.5x"), ({"low": 0.9, "high": 1.1}, "0.9 to 1.1"), ({"high": 1e-12}, "<= 1e-12"),
     ({"low": 0, "high": 0}, "= 0"), ({"high": 3, "unit": "s"}, "<= 3 s")],
)  # fmt: skip
def test_the_region_in_words(region, words):
    assert Claim("C", "x", "y", **region).expected == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(2.7349, "2.73x"), (2.0, "2x"), (20000, "20000x"), (12345.6, "12300x"), (0.00123456, "0.00123x"), (1.2e-7, "1.20e-07x"),
     (1.49999, "1.49999x"), (1.5000004, "1.50x"), (-0.0999, "-0.0999x"), (9.996, "10.0x"), (math.inf, "infinite"),
     (-math.inf, "-infinite")],
)  # fmt: skip
def test_three_digits_and_more_only_where_rounding_would_cross_the_threshold(value, words):
    assert RATIO.check_exact(value).shown == words


@given(st.floats(-1e9, 1e9), st.floats(-100, 100), st.floats(0, 10))
def test_what_is_printed_and_kept_never_contradicts_the_verdict(value, low, width):
    claim = Claim("C", "x", "y", low=low, high=low + width)
    verdict = claim.check_exact(value)
    for number in (float(verdict.shown), verdict.as_dict()["measured"]):
        assert (claim.low <= number <= claim.high) == (verdict.verdict == "reproduced")
        assert number == pytest.approx(value, rel=6e-3, abs=1e-300)


@pytest.mark.parametrize(
    ("samples", "words"),
    [([math.inf] * 6, "infinite"), ([math.inf], "infinite"), ([-math.inf] * 3, "-infinite"), ([3.0, math.inf, 4.0], "4x (3 to inf)")],
)
def test_what_is_infinite_in_every_seed_has_no_unit_and_no_range(samples, words):
    assert RATIO.check(samples).shown == words


def test_a_number_a_hair_below_its_threshold_is_not_printed_as_the_threshold():
    verdict = Claim("C", "x", "y", low=100.0, high=100.0).check_exact(99.99999999999999)
    assert (verdict.verdict, verdict.shown) == ("not reproduced", "99.99999999999999")


def test_rounding_noise_prints_alike_on_every_machine():
    assert NOISE.check_exact(2.2e-16).shown == NOISE.check_exact(0.0).shown == "below 1e-15"
    assert NOISE.check_exact(3.14159e-13).shown == "3.14e-13"
    assert NOISE.check_exact(2.2e-16).as_dict() == NOISE.check_exact(1.1e-16).as_dict()
    assert "(0 to 0.8" in str(Claim("C", "x", "y", high=1.0, floor=0.5).check([0.4, 0.5, 0.7, 0.8]))  # the interval's lower end


def test_last_bits_do_not_change_the_line():
    samples = np.array([2.71828, 2.91, 3.123])
    assert str(RATIO.check(samples)) == str(RATIO.check(samples * (1 + 1e-12)))


def test_one_verdict_is_one_line():
    assert str(RATIO.check([2.7, 2.8, 2.9])) == (
        "C1   reproduced      measured 2.80x (2.55 to 3.05)            expected >= 1.5x         3 seeds"
    )


def test_the_table_is_aligned_and_tells_notes_and_level():
    verdicts = [RATIO.check([2.7, 2.8, 2.9]), SLOPE.check_exact(-0.5), NOISE.not_tested("real = False")]
    assert verdict_table(verdicts).splitlines() == [
        "id  verdict         measured              expected      repeats  source",
        "C1  reproduced      2.80x (2.55 to 3.05)  >= 1.5x       3 seeds  arXiv:0000.00000 v1, Fig. 1",
        "C2  not reproduced  -0.500                -1.1 to -0.9  exact    arXiv:0000.00000 v1, Thm 2",
        "C3  not tested      -                     <= 1e-12      -        ours",
        "C3: real = False",
        "Intervals: 95 %, Student's t over seeds unless noted.",
    ]


def test_samples_that_are_no_seeds_are_called_what_they_are():
    claim = replace(RATIO, id="C9", sample="draw")
    assert claim.check([2.7, 2.8, 2.9]).repeats == "3 draws" and claim.check([2.7]).repeats == "1 draw"
    assert claim.check([2.7]).note == "one draw gives no interval: run two or more"
    assert claim.check([2.7, math.inf]).note.startswith("1 of 2 draws gave no finite number: too few draws")
    last = verdict_table([claim.check([2.7, 2.8, 2.9]), RATIO.check([2.7, 2.8, 2.9])]).splitlines()[-1]
    assert last == "Intervals: 95 %, Student's t over draws or seeds unless noted."


@pytest.mark.parametrize("samples", [[2.0, 3.0], [2.0, math.nan], [2.0, math.inf], [2.0]])
def test_a_verdict_is_json(samples):
    kept = RATIO.check_all({"a": samples, "b": [2.0, 2.5, 2.7]}).as_dict()
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert kept["conditions"]["b"]["measured"] == 2.4
    assert kept["region"] == [1.5, None]
