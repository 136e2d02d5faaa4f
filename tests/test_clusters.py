"""Clusters: each distribution is the one it says, times are pure functions, and phases keep their books."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from asgd_lib import METHODS, clusters, simulate

NAN, INF = float("nan"), float("inf")
ASGD = METHODS["asgd"](0.1)


def durations(cluster, worker, count, seed=0):
    clock = cluster.clock(seed)
    return np.array([clock(worker, i, 0.0)[0] for i in range(count)])


# Two workers each; the second's distribution by scipy.
RANDOM = {
    "Exponential": (clusters.Exponential((1.0, 3.0)), stats.expon(scale=3.0)),
    "LogNormal": (clusters.LogNormal((1.0, 3.0), sigma=0.8), stats.lognorm(0.8, scale=3.0)),
    "Pareto": (clusters.Pareto((1.0, 3.0), shape=2.5), stats.pareto(2.5, scale=3.0)),
    "Uniform": (clusters.Uniform((1.0, 3.0), (2.0, 7.0)), stats.uniform(3.0, 4.0)),
    "TruncatedNormal": (clusters.TruncatedNormal((1.0, 3.0), 2.0, low=0.5), stats.truncnorm(-1.25, np.inf, loc=3.0, scale=2.0)),
    "TruncatedNormal, far": (clusters.TruncatedNormal((9.0, 1.0), (1.0, 5.0)), stats.truncnorm(-0.2, np.inf, loc=1.0, scale=5.0)),
}


@pytest.mark.parametrize(("cluster", "law"), RANDOM.values(), ids=RANDOM)
def test_quantiles_are_scipys(cluster, law):
    u = np.array([2**-53, 1e-9, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-9])
    ours = [cluster.quantile(1, float(v)) for v in u]
    np.testing.assert_allclose(ours, law.ppf(u), rtol=1e-6)
    assert math.isfinite(cluster.quantile(1, 1 - 2**-53))  # the largest draw there is


@pytest.mark.parametrize(("cluster", "law"), RANDOM.values(), ids=RANDOM)
def test_samples_follow_the_law(cluster, law):
    times = durations(cluster, 1, 20_000)
    assert stats.kstest(times, law.cdf).pvalue > 1e-3  # the seed is fixed: a number, not a draw
    assert abs(times.mean() - law.mean()) < 4 * law.std() / len(times) ** 0.5
    assert (times > 0).all()


@pytest.mark.parametrize(("cluster", "law"), RANDOM.values(), ids=RANDOM)
def test_workers_jobs_and_seeds_are_independent(cluster, law):
    one, other = durations(cluster, 0, 5000), durations(cluster, 1, 5000)
    for a, b in ((one, other), (one[:-1], one[1:]), (one, durations(cluster, 0, 5000, seed=1))):
        assert abs(stats.spearmanr(a, b).statistic) < 4 / 5000**0.5


SWITCHING = clusters.Switching((1.0, 2.0), (4.0, 3.0), period=2.5)
TWO_WORKERS = [
    *(cluster for cluster, _ in RANDOM.values()),
    clusters.Fixed((2.0, 5.0)),
    SWITCHING,
    clusters.Dropout(clusters.Exponential((1.0, 2.0)), 5.0, 2.0),
    clusters.Dropout(SWITCHING, 3.0, INF),
    clusters.FromTrace(simulate(clusters.Exponential((1.0, 2.0)), ASGD, arrivals=30)),
]


@pytest.mark.parametrize("cluster", TWO_WORKERS, ids=lambda c: type(c).__name__)
def test_the_same_question_has_the_same_answer_in_any_order(cluster):
    questions = [(w, i, s) for w in range(2) for i in (0, 1, 31, 32, 33, 95, 400) for s in (0.0, 0.3, 17.0, 250.0)]
    clock = cluster.clock(3)
    answers = {q: clock(*q) for q in questions}
    again = cluster.clock(3)
    random.Random(0).shuffle(questions)
    assert {q: again(*q) for q in questions * 2} == answers
    if not isinstance(cluster, (clusters.Fixed, clusters.Switching, clusters.FromTrace)):
        other = cluster.clock(4)
        assert {q: other(*q) for q in questions} != answers


def test_workers_that_are_unequally_far_have_the_draws_of_each_alone():
    n, luck = 150, random.Random(0)
    far = [luck.choice((3, 40, 70, 300, 1000)) for _ in range(n)]
    cluster, seen = clusters.Uniform((0.0001,) * n, 1.0), [[] for _ in range(n)]
    clock = cluster.clock(5)
    while left := [w for w in range(n) if len(seen[w]) < far[w]]:
        for w in luck.choices(left, k=500):
            seen[w].append(clock(w, len(seen[w]), 0.0)[0])
    for w in (0, 1, 64, 127, 128, 149):
        assert seen[w] == durations(cluster, w, len(seen[w]), seed=5).tolist()


@pytest.mark.parametrize("cluster", TWO_WORKERS, ids=lambda c: type(c).__name__)
def test_clusters_compare_and_show_their_numbers(cluster):
    assert cluster.n == 2 and cluster == cluster and type(cluster).__name__ in repr(cluster)


def test_makers_of_fixed_clusters():
    assert clusters.equal(3, 2.0) == clusters.Fixed((2.0, 2.0, 2.0)) == clusters.Fixed(np.full(3, 2))
    assert clusters.straggler(4, 10.0, 0.5) == clusters.Fixed((0.5, 0.5, 0.5, 5.0))
    assert clusters.spread(5, 9.0, 2.0) == clusters.Fixed((2.0, 6.0, 10.0, 14.0, 18.0))
    assert clusters.spread(1, 9.0) == clusters.straggler(1, 1.0) == clusters.Fixed((1.0,))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: clusters.Fixed(()), "seconds must be a finite number above 0"),
        (lambda: clusters.Fixed((1.0, 0.0)), "seconds must be a finite number above 0"),
        (lambda: clusters.Fixed((1.0, -1.0)), "seconds must be"),
        (lambda: clusters.Fixed((NAN,)), "seconds must be"),
        (lambda: clusters.Fixed((INF, 1.0)), "seconds must be"),
        (lambda: clusters.Fixed("fast"), "seconds must be"),
        (lambda: clusters.Fixed(None), "seconds must be"),
        (lambda: clusters.equal(0), "n must be a whole number of at least 1 and at most 1000000; got 0"),
        (lambda: clusters.equal(2.5), "n must be a whole number"),
        (lambda: clusters.equal(10**18), "n must be a whole number of at least 1 and at most 1000000"),
        (lambda: clusters.straggler(10**7, 2.0), "n must be"),
        (lambda: clusters.spread(10**18, 2.0), "n must be"),
        (lambda: clusters.straggler(3, 0.0), "slowdown must be"),
        (lambda: clusters.spread(3, NAN), "slowest must be"),
        (lambda: clusters.Exponential((1.0, INF)), "mean must be"),
        (lambda: clusters.LogNormal((1.0,), -0.1), "sigma must be a finite number of at least 0"),
        (lambda: clusters.Pareto((1.0,), 0.0), "shape must be"),
        (lambda: clusters.Pareto((1.0, 2.0), (1.0, 2.0)), "shape must be one number or"),
        (lambda: clusters.Uniform((1.0, 2.0), (3.0,)), "high must be one number or one for each of the 2 workers; got 1"),
        (lambda: clusters.Uniform((1.0, 2.0), (3.0, 1.0)), "Every worker's high must be at least its low"),
        (lambda: clusters.TruncatedNormal((1.0, 2.0), (1.0, 2.0, 3.0)), "std must be one number or one for each of the 2 workers; got 3"),
        (lambda: clusters.TruncatedNormal((1.0,), 0.1, low=9.0), "cuts away over 99.9 %"),
        (lambda: clusters.TruncatedNormal((1.0,), 1.0, low=-1.0), "low must be"),
        (lambda: clusters.Switching((1.0, 2.0), (3.0,)), "slow must be one number or one for each of the 2 workers; got 1"),
        (lambda: clusters.Switching((1.0,), (3.0,), period=0.0), "period must be"),
        (lambda: clusters.Dropout(clusters.equal(2), 0.0, 1.0), "up must be"),
        (lambda: clusters.Dropout(clusters.equal(2), 1.0, -INF), "down must be"),
        (lambda: clusters.Dropout(clusters.equal(2), INF, 1.0), "up must be"),
    ],
)
def test_senseless_numbers_are_refused_in_a_sentence(make, says):
    with pytest.raises(ValueError, match=rf"{says}.*\."):
        make()


def test_one_number_serves_all_workers():
    assert clusters.Uniform((1.0, 2.0), 3.0).high == (3.0, 3.0)
    assert clusters.Switching((1.0, 2.0), 3).slow == (3.0, 3.0)
    assert clusters.TruncatedNormal((1.0, 2.0)).std == (1.0, 1.0)


@pytest.mark.parametrize("cluster", [clusters.Pareto((1.0, 1.0), shape=1e-4), clusters.LogNormal((1.0, 1.0), sigma=1e4)])
def test_times_beyond_all_numbers_never_end(cluster):
    clock = cluster.clock(0)
    assert math.inf in [clock(0, job, 0.0)[0] for job in range(20)]
    with pytest.raises(ValueError, match="never answer"):
        simulate(cluster, METHODS["asgd"](0.1), arrivals=100)


def test_no_spread_is_a_fixed_cluster():
    t = (1.5, 4.0)
    expected = simulate(clusters.Fixed(t), ASGD, arrivals=40)
    for cluster in (clusters.LogNormal(t, sigma=0.0), clusters.Uniform(t, t), clusters.Switching(t, t)):
        np.testing.assert_allclose(simulate(cluster, ASGD, arrivals=40).end, expected.end, rtol=1e-12)


# FromTrace


def csv(tmp_path, text):
    path = tmp_path / "times.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "worker,seconds\n0,1.5\n1,2\n0,2.5\n1,2\n",
        "seconds,worker,host\n1.5,0,a\n2.5,0,a\n2,1,b\n2,1,b\n",
        "worker,start,end\n0,0,1.5\n1,1,3\n0,1.5,4\n1,3,5\n",
        "worker,start,end,seconds\n0,0,9,1.5\n1,1,9,2\n0,1.5,9,2.5\n1,3,9,2\n",
    ],
)
def test_a_csv_of_times_in_its_forms(text, tmp_path):
    cluster = clusters.FromTrace(csv(tmp_path, text))
    assert cluster.n == 2 and cluster.seconds == ((1.5, 2.5), (2.0, 2.0))
    assert [cluster.clock(9)(0, i, 3.0) for i in range(5)] == [(t, True) for t in (1.5, 2.5, 1.5, 2.5, 1.5)]  # starts again at its end
    # 0 at 1.5 4 5.5 8; 1 at 2 4 6 8, and at 4 and 8 the older job first.
    assert simulate(cluster, ASGD, arrivals=8).end.tolist() == [1.5, 2, 4, 4, 5.5, 6, 8, 8]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no CSV table of times .*No columns"),
        ("worker,seconds\n", "at least one row"),
        ("worker,time\n0,1\n", "needs columns worker and seconds, or worker, start and end; it has worker, time"),
        ("seconds\n1\n", "needs columns worker and seconds"),
        ("worker,start\n0,1\n", "needs columns worker and seconds"),
        ("worker,seconds\n0.5,1\n", "number its workers 0..n-1 in whole numbers"),
        ("worker,seconds\nann,1\n", "number its workers 0..n-1 in whole numbers"),
        ("worker,seconds\n-1,1\n", "number its workers 0..n-1"),
        ("worker,seconds\n,1\n0,2\n", "number its workers 0..n-1"),
        ("worker,seconds\n0,1\n2,1\n", "no gradient of worker 1"),
        ("worker,seconds\n0,0\n", "a gradient of worker 0 takes 0 s; all must take more than 0"),
        ("worker,seconds\n0,1\n1,-2\n", "In row 1 of the recording, .* worker 1 takes -2 s"),
        ("worker,seconds\n0,\n", "seconds of worker 0 must be"),
        ("worker,seconds\n0,soon\n", "seconds of worker 0 must be"),
        ("worker,start,end\n0,2,1\n", "a gradient of worker 0 takes -1 s"),
        ("worker,start,end\n0,a,b\n", "is no CSV table of times"),
        ("worker,seconds\n0,1\n0,1,2,3\n", "is no CSV table of times .*Expected 2 fields in line 3"),
        ("\x00\x01binary", "columns"),
    ],
)
def test_a_senseless_csv_is_refused_in_a_sentence(text, says, tmp_path):
    path = csv(tmp_path, text)
    with pytest.raises(ValueError, match=rf"{says}.*\.$"):
        clusters.FromTrace(path)


def test_a_recording_may_be_a_trace_a_file_or_missing(tmp_path):
    trace = simulate(clusters.Fixed((1.0, 3.0)), ASGD, arrivals=12)
    trace.save(tmp_path / "trace.npz")
    one, other = clusters.FromTrace(trace), clusters.FromTrace(str(tmp_path / "trace.npz"))
    assert one.seconds == other.seconds == ((1.0,) * 9, (3.0,) * 3)
    for name in ("none.csv", "none.npz"):
        with pytest.raises(FileNotFoundError, match=f"There is no .*{name}"):
            clusters.FromTrace(tmp_path / name)
    short = simulate(clusters.Fixed((1.0, 30.0)), ASGD, arrivals=12)
    with pytest.raises(ValueError, match="no gradient of worker 1"):
        clusters.FromTrace(short)
    (tmp_path / "broken.npz").write_bytes(b"x")
    with pytest.raises(ValueError, match="not a whole trace file"):
        clusters.FromTrace(tmp_path / "broken.npz")
