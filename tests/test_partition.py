"""Partitioners: every sample exactly once, nobody empty, the seed alone decides, and the limits are what they should be."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asgd_lib import partition

LABELS = np.arange(2000) % 10
CALLS = {
    "iid": lambda labels, n, seed, alpha: partition.iid(labels, n, seed=seed),
    "dirichlet": lambda labels, n, seed, alpha: partition.dirichlet(labels, n, alpha, seed=seed),
    "shards": lambda labels, n, seed, alpha: partition.shards(labels, n, 1, seed=seed),
    "quantity_skew": lambda labels, n, seed, alpha: partition.quantity_skew(labels, n, alpha, seed=seed),
    "feature_skew": lambda labels, n, seed, alpha: partition.feature_skew(labels, n, min(alpha, 1.0), seed=seed),
}
every_partitioner = pytest.mark.parametrize("name", CALLS)


def same(a, b) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


@every_partitioner
@settings(max_examples=150, deadline=None)
@given(
    labels=st.lists(st.integers(-3, 5), min_size=1, max_size=120),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
    exponent=st.floats(-320, 300),
)
def test_every_sample_exactly_once_and_nobody_empty(name, labels, share, seed, exponent):
    n, alpha = 1 + int(share * (len(labels) - 1)), max(10.0**exponent, 5e-324)
    parts = CALLS[name](labels, n, seed, alpha)
    assert len(parts) == n and min(map(len, parts)) >= 1
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert same(parts, CALLS[name](np.array(labels), n, seed, alpha))
    assert same(parts, CALLS[name](torch.tensor(labels), n, seed, alpha))


@every_partitioner
def test_the_seed_decides_and_the_count_alone_will_do(name):
    calls = [CALLS[name](LABELS, 7, seed, 0.3) for seed in range(5)]
    assert not any(same(calls[i], calls[j]) for i in range(5) for j in range(i))
    for n in (200, np.int64(200), torch.tensor(200)):
        assert np.array_equal(np.sort(np.concatenate(CALLS[name](n, 7, 0, 0.3))), np.arange(200))


def test_names_in_a_column_of_pandas_are_classes():
    names = [f"class {label}" for label in LABELS]
    for column in (pd.Series(names), np.array(names, dtype=object)):
        assert same(partition.dirichlet(column, 7, 0.3), partition.dirichlet(names, 7, 0.3))


def test_equal_cuts():
    for parts in (partition.iid(103, 10), partition.shards(np.arange(103) % 3, 10, 1), partition.feature_skew(103, 10)):
        assert sorted(map(len, parts)) == [10] * 7 + [11] * 3


def test_regression_targets_may_be_dealt_by_count():
    y = torch.linspace(0, 1, 40)
    assert same(partition.iid(y, 4), partition.iid(40, 4)) and same(partition.quantity_skew(y, 4), partition.quantity_skew(40, 4))


def test_iid_gives_everyone_nearly_the_global_mix():
    assert partition.report(partition.iid(LABELS, 4), LABELS).tv_distance.max() < 0.1


@pytest.mark.parametrize("alpha", [1e6, 1e300])
def test_dirichlet_with_a_large_alpha_is_the_global_mix(alpha):
    assert partition.report(partition.dirichlet(LABELS, 8, alpha, seed=3), LABELS).tv_distance.max() < 0.01


@pytest.mark.parametrize("alpha", [1e-6, 1e-300, 5e-324])
def test_dirichlet_with_a_tiny_alpha_gives_each_class_to_one_worker(alpha):
    table = partition.counts(partition.dirichlet(LABELS, 5, alpha, seed=0, min_size=0), LABELS)
    assert (table.max(axis=0) == 200).all() and (np.count_nonzero(table, axis=0) == 1).all()


def test_dirichlet_is_more_skewed_the_smaller_alpha():
    def skew(alpha):
        reports = [partition.report(partition.dirichlet(LABELS, 10, alpha, seed=s), LABELS) for s in range(5)]
        return np.mean([table.tv_distance.mean() for table in reports])

    skews = [skew(alpha) for alpha in (0.05, 0.5, 5.0, 500.0)]
    assert skews[0] > 0.7 and skews[-1] < 0.06 and skews == sorted(skews, reverse=True)


def test_dirichlet_proportions_have_the_moments_of_the_distribution():
    """Mean 1/n and variance (n - 1) / (n^2 (n alpha + 1)) on both sides of alpha = 1, where the sampler changes."""
    n, samples = 4, 400
    labels = np.repeat(np.arange(2000), samples)
    for alpha in (0.2, 0.999, 1.001, 3.0):
        share = partition.counts(partition.dirichlet(labels, n, alpha, seed=5), labels) / samples
        variance = (n - 1) / (n**2 * (n * alpha + 1))
        assert np.abs(share.mean(axis=1) - 1 / n).max() < 5 * math.sqrt(variance / 2000)
        assert np.abs(share.var(axis=1) / variance - 1).max() < 0.15


def test_no_worker_is_left_below_min_size_and_only_the_needy_are_topped_up():
    asked = partition.dirichlet(LABELS, 50, 1e-6, seed=1, min_size=20)
    free = partition.dirichlet(LABELS, 50, 1e-6, seed=1, min_size=0)
    assert min(map(len, asked)) == 20 and min(map(len, free)) == 0
    assert np.array_equal(np.sort(np.concatenate(free)), np.arange(2000))
    gained = np.array(list(map(len, asked))) - np.array(list(map(len, free)))
    assert (gained[np.array(list(map(len, free))) >= 20] <= 0).all()
    assert partition.dirichlet(range(6), 3, 1e-6, min_size=2)[0].size == 2  # no slack at all: 2 each


def test_thousand_workers_one_sample_each():
    assert sorted(np.concatenate(partition.dirichlet(np.zeros(1000), 1000, 1e-6)).tolist()) == list(range(1000))


def test_shards_limit_the_classes_of_a_worker():
    aligned = partition.counts(partition.shards(LABELS, 5, 2, seed=4), LABELS)
    assert (np.count_nonzero(aligned, axis=1) <= 2).all() and (aligned.sum(axis=1) == 400).all()
    crossing = partition.counts(partition.shards(LABELS, 7, 3, seed=4), LABELS)
    assert (np.count_nonzero(crossing, axis=1) <= 6).all()
    order = partition.shards([0] * 50 + [1] * 50, 2, 1, seed=0)
    assert sorted(part.min() for part in order) == [0, 50]  # a whole class each


def test_quantity_skew_skews_sizes_and_not_labels():
    parts = partition.quantity_skew(LABELS, 10, 0.2, seed=0)
    table = partition.report(parts, LABELS)
    assert table["size"].max() > 3 * 200
    assert table[table["size"] > 300].tv_distance.max() < 0.1
    even = partition.quantity_skew(LABELS, 10, 1e8, seed=0)
    assert max(map(len, even)) - min(map(len, even)) <= 2


def test_feature_skew_sorts_by_the_first_principal_direction():
    rng = np.random.default_rng(0)
    axis = rng.normal(size=6)
    axis[0] = 0.0  # no single feature tells the place, the first one least of all
    place = rng.normal(size=500)
    X = 5 * place[:, None] * axis / np.linalg.norm(axis) + 1e-6 * rng.normal(size=(500, 6)) + 3.0
    parts = partition.feature_skew(torch.tensor(X), 5, seed=2)
    ranges = sorted((place[part].min(), place[part].max()) for part in parts)
    assert all(left[1] < right[0] for left, right in zip(ranges, ranges[1:], strict=False))
    spread = [np.std([place[part].mean() for part in partition.feature_skew(X, 5, s)]) for s in (0.0, 0.5, 1.0)]
    assert spread[0] < 0.2 < spread[1] < spread[2]
    assert same(parts, partition.feature_skew(X.reshape(500, 2, 3), 5, seed=2))
    first = {tuple(int(part[0]) for part in partition.feature_skew(100, 5, seed=s)) for s in range(5)}
    assert len(first) > 1  # which worker gets which stretch of the axis is random
    flat = partition.feature_skew(np.ones((20, 3)), 4)
    assert np.array_equal(np.sort(np.concatenate(flat)), np.arange(20))


def test_what_is_left_out_is_what_the_signature_says():
    assert same(partition.dirichlet(LABELS, 5), partition.dirichlet(LABELS, 5, 0.5, seed=0, min_size=1))
    assert same(partition.quantity_skew(40, 20), partition.quantity_skew(40, 20, 0.5, seed=0, min_size=1))
    assert same(partition.shards(LABELS, 5), partition.shards(LABELS, 5, 2, seed=0))
    assert same(partition.feature_skew(100, 5), partition.feature_skew(100, 5, 1.0, seed=0))


def test_streams_stay_what_they_are():
    """Golden sizes, made with numpy 2.4.6: a numpy that changes its generators' streams changes published partitions."""
    labels = np.arange(200) % 10
    assert list(map(len, partition.dirichlet(labels, 7, 0.3, seed=1))) == [25, 27, 21, 18, 21, 48, 40]
    assert partition.iid(10, 2, seed=0)[0].tolist() == [2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: partition.iid(3, 4), "4 workers with at least 1 sample each need 4 samples; got 3. Use fewer workers"),
        (lambda: partition.dirichlet([0] * 9, 5, 1.0, min_size=2), "5 workers with at least 2 samples each need 10"),
        (lambda: partition.shards(9, 5), "5 workers with at least 2 samples each need 10 samples; got 9"),
        (lambda: partition.iid(3, 0), "n_workers must be a whole number of at least 1; got 0"),
        (lambda: partition.iid(3, 1.5), "n_workers must be a whole number of at least 1; got 1.5"),
        (lambda: partition.iid(0, 1), "the number of samples must be a whole number of at least 1; got 0"),
        (lambda: partition.iid([], 1), "there must be at least 1 sample; got an empty array"),
        (lambda: partition.dirichlet([], 1, 1.0, min_size=0), "there must be at least 1 sample; got an empty array"),
        (lambda: partition.iid("digits", 1), "the number of samples must be a whole number of at least 1; got 'digits'"),
        (lambda: partition.dirichlet(LABELS, 3, 0.0), "alpha must be a finite number above 0; got 0.0"),
        (lambda: partition.dirichlet(LABELS, 3, -1), "alpha must be a finite number above 0; got -1"),
        (lambda: partition.dirichlet(LABELS, 3, math.nan), "alpha must be a finite number above 0; got nan"),
        (lambda: partition.quantity_skew(9, 3, math.inf), "alpha must be a finite number above 0; got inf"),
        (lambda: partition.dirichlet(np.ones((4, 2)), 3, 1.0), r"one a sample, shape \(N,\).*got shape \(4, 2\)"),
        (lambda: partition.dirichlet([1.0, 0.5], 2, 1.0), r"must be classes \(.*\); got 0.5\. For a regression target"),
        (lambda: partition.dirichlet([math.nan, 1.0], 2, 1.0), "must be classes .*; got nan"),
        (lambda: partition.dirichlet([1.0, math.inf], 2, 1.0), "must be classes .*; got inf"),
        (lambda: partition.shards([1.0, -math.inf], 2), "must be classes .*; got -inf"),
        (lambda: partition.shards([1j, 1.0], 2), "must be classes .*; got 1j"),
        (lambda: partition.shards(LABELS, 3, 0), "shards_per_worker must be a whole number of at least 1; got 0"),
        (lambda: partition.feature_skew(9, 3, 1.5), r"strength must be in \[0, 1\]; got 1.5"),
        (lambda: partition.feature_skew([1.0, math.nan], 1), "features must be finite numbers"),
        (lambda: partition.feature_skew(["a", "b"], 1), "features must be finite numbers"),
        (lambda: partition.iid(3, 2, seed=-1), "seed must be a whole number of at least 0; got -1"),
        (lambda: partition.counts([[0, 5]], [0, 1]), r"parts\[0\] must hold indices from 0 to 1"),
        (lambda: partition.counts([[0], [0.5]], [0, 1]), r"parts\[1\] must hold indices from 0 to 1"),
    ],
)
def test_errors_are_sentences(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_counts_and_report():
    labels = ["b", "a", "b", "c", "a", "b"]
    parts = [np.array([0, 2]), [1, 3, 4, 5], torch.tensor([], dtype=torch.int64)]
    counts = partition.counts(parts, labels)
    assert counts.dtype == np.int64 and counts.tolist() == [[0, 2, 0], [2, 1, 1], [0, 0, 0]]
    table = partition.report(parts, labels)
    assert list(table.columns) == ["worker", "size", "classes", "entropy", "tv_distance"]
    assert table["size"].tolist() == [2, 4, 0] and table.classes.tolist() == [1, 3, 0]
    assert table.entropy[:2].tolist() == pytest.approx([0.0, 0.5 * math.log(2) + 0.5 * math.log(4)])
    assert table.tv_distance[:2].tolist() == pytest.approx([0.5, 0.25])
    assert table.loc[2, ["entropy", "tv_distance"]].isna().all() and "zeta_sq" not in table.attrs
    assert partition.report([[0], range(1, 6)], labels).loc[0, ["entropy", "tv_distance"]].tolist() == pytest.approx([0.0, 0.5])


def test_report_measures_the_gradient_dissimilarity():
    """f_i(x) = a_i/2 ||x||^2 - b_i'x: zeta^2 at x is the mean of ||(a_i - mean a) x - (b_i - mean b)||^2."""
    a, b = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    slope = lambda x: a[:, None] * x - b  # noqa: E731
    full_grad = lambda x, worker=None: slope(x).mean(0) if worker is None else slope(x)[worker]  # noqa: E731
    problem = SimpleNamespace(x0=torch.zeros(2), full_grad=full_grad)
    table = partition.report(partition.iid(30, 3), 30, problem)
    spread = ((b - b.mean(0)) ** 2).sum(1)
    assert table.grad_gap_sq.tolist() == pytest.approx(spread.tolist())
    assert table.attrs["zeta_sq"] == pytest.approx(spread.mean().item())
    x = torch.tensor([1.0, -2.0])
    there = (((a - a.mean())[:, None] * x - (b - b.mean(0))) ** 2).sum(1).mean().item()
    assert partition.report(partition.iid(30, 3), 30, problem, x=x).attrs["zeta_sq"] == pytest.approx(there)
    assert partition.gradient_dissimilarity(problem, 3, x) == pytest.approx(there)


def test_the_dissimilarity_of_some_of_the_workers_is_refused():
    problem = SimpleNamespace(n=3, x0=torch.zeros(2), full_grad=lambda x, worker=None: x)
    for call in (partition.gradient_dissimilarity, lambda problem, n: partition.report(partition.iid(30, n), 30, problem)):
        with pytest.raises(ValueError, match=r"has 3 workers, and the gaps of all are needed; got 2\."):
            call(problem, 2)
