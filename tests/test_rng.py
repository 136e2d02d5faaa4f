"""The hash is SplitMix64's, draws are uniform and unrelated, and no draw depends on how it was asked for."""

import itertools
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asgd_lib import rng

WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def unsigned(words):
    return [w & WORD for w in words.flatten().tolist()]


def finalise(z):
    """SplitMix64's finaliser in unbounded integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


@pytest.mark.parametrize(
    ("seed", "published"),
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]),
    ],
)
def test_the_words_of_a_key_are_splitmix64s_published_sequence(seed, published):
    assert unsigned(rng.bits(torch.tensor(seed), len(published))) == published


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4))
@settings(deadline=None, derandomize=True)
def test_a_key_folds_the_finaliser_over_its_coordinates(parts):
    h = 0
    for part in parts:
        h = finalise(((h ^ (part & WORD)) + GOLDEN) & WORD)
    assert unsigned(rng.key(*parts)) == [h]
    assert unsigned(rng.bits(rng.key(*parts), 2)) == [finalise((h + i * GOLDEN) & WORD) for i in (1, 2)]


def test_a_key_may_be_continued():
    blocks = torch.arange(5)
    assert torch.equal(rng.key(3, 7, 2, blocks), rng.key(2, blocks, after=rng.key(3, 7)))


def test_known_answers():
    key = rng.key(7, rng.stream("compute"), 3)
    assert key.item() == -1351844187065647344
    assert rng.integers(key, 8, 1000).tolist() == [270, 175, 882, 612, 780, 346, 758, 986]
    assert rng.uniform(key, 3).tolist() == [0.2708707842539545, 0.17510911796764284, 0.8829587814663961]
    u = rng.uniform(key, 4)  # four normals from the first four words: radii, then angles
    radius, angle = torch.sqrt(-2 * torch.log(u[:2])), 2 * torch.pi * u[2:]
    by_hand = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)]).tolist()
    assert rng.normal(key, 4).tolist() == pytest.approx(by_hand, rel=1e-14)
    assert by_hand[:3] == pytest.approx([1.1985508064540948, -1.4226325127154391, -1.0842982660301754], rel=1e-14)
    assert torch.equal(rng.normal(key, 3), rng.normal(key, 4)[:3])
    assert rng.stream("compute") == zlib.crc32(b"compute") == 4038894711


def test_key_broadcasts_over_tensors_and_numbers():
    seeds, jobs = torch.tensor([3, 4, 5]), torch.arange(7).unsqueeze(-1)
    keys = rng.key(seeds, 11, jobs)
    assert keys.shape == (7, 3) and keys.dtype == torch.int64
    assert all(keys[j, s] == rng.key(3 + s, 11, j) for j in range(7) for s in range(3))
    assert rng.key(1, 2) != rng.key(2, 1)
    assert len(np.unique(rng.key(torch.arange(300).unsqueeze(-1), 0, torch.arange(300)))) == 90_000


def test_draws_are_inside_the_open_interval_even_at_the_ends(monkeypatch):
    ends = torch.tensor([0, -1, 1 << 12, -(1 << 63)])
    monkeypatch.setattr(rng, "bits", lambda keys, count: ends)
    u = rng.uniform(torch.tensor(0), 4)
    assert u.tolist() == [2**-53, 1 - 2**-53, 3 * 2**-53, 0.5 + 2**-53]


MANY = 200_000


@pytest.mark.parametrize("axis", ["seed", "stream", "job", "word"])
def test_uniform_in_every_coordinate(axis):
    i = torch.arange(MANY)
    keys = {"seed": rng.key(i, 5, 5), "stream": rng.key(5, i, 5), "job": rng.key(5, 5, i), "word": rng.key(5, 5, 5)}[axis]
    u = (rng.uniform(keys, MANY) if axis == "word" else rng.uniform(keys, 1)).flatten().numpy()
    # The seed is fixed: these p-values are numbers, not draws.
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    # Neighbours: correlation and the joint distribution of pairs.
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / MANY**0.5
    pairs = np.histogram2d(u[:-1:2], u[1::2], bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(pairs.flatten()).pvalue > 1e-3


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, -1), (0, 0, 1 << 40)])
def test_neighbouring_keys_are_unrelated(shift):
    jobs = torch.arange(20_000)
    one, other = rng.key(3, 4, jobs), rng.key(3 + shift[0], 4 + shift[1], jobs + shift[2])
    a, b = (rng.normal(k, 5).flatten().numpy() for k in (one, other))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / len(a) ** 0.5
    # The next word of one key is not a word of its neighbour.
    words = [set(rng.bits(k, 4).flatten().tolist()) for k in (one, other)]
    assert len(words[0] & words[1]) == (4 * (20_000 - 1) if shift == (0, 0, 1) else 0)


def test_each_bit_of_a_coordinate_turns_over_half_of_the_key():
    base = torch.arange(500)
    for bit in range(63):
        change = rng.key(base, 9) ^ rng.key(base ^ (1 << bit), 9)
        turned = torch.stack([(change >> i) & 1 for i in range(64)]).double().mean()
        assert abs(turned - 0.5) < 5 * 0.5 / (64 * 500) ** 0.5


def test_normal_moments_and_shape():
    z = rng.normal(rng.key(1, 2, torch.arange(MANY // 4)), 4).numpy()
    assert stats.kstest(z.flatten(), "norm").pvalue > 1e-3
    n = z.size
    # Four standard errors each: variance of the mean of z, z^2, z^3, z^4.
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((z**power).mean() - mean) < 4 * (variance / n) ** 0.5
    corr = np.corrcoef(z.T) - np.eye(4)
    assert abs(corr).max() < 5 / len(z) ** 0.5
    squares = np.corrcoef((z**2).T) - np.eye(4)  # Box and Muller's pairs share a radius
    assert abs(squares).max() < 5 / len(z) ** 0.5


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1797, 60_000, 2**31 - 1])
def test_integers_cover_their_range_with_the_bias_stated(size, monkeypatch):
    drawn = rng.integers(rng.key(1, torch.arange(20_000)), 2, size).flatten()
    assert drawn.min() >= 0 and drawn.max() < size
    if 1 < size <= 1797:
        assert stats.chisquare(np.bincount(drawn, minlength=size)).pvalue > 1e-3
    # The words that give `value` are those from ceil(value 2^32 / size) on: the shares differ by at most one word of 2^32.
    words = {v: -(-v * 2**32 // size) for v in {0, 1, size // 2, size - 1, size} if v <= size}
    monkeypatch.setattr(rng, "bits", lambda keys, count: torch.tensor([w << 32 for w in first], dtype=torch.uint64).view(torch.int64))
    first = [w for v, w in words.items() if v < size]
    assert rng.integers(torch.tensor(0), 1, size).tolist() == [v for v in words if v < size]
    first = [w - 1 for v, w in words.items() if v > 0]
    assert rng.integers(torch.tensor(0), 1, size).tolist() == [v - 1 for v in words if v > 0]


def test_integers_take_a_size_for_each_key():
    keys, sizes = rng.key(2, torch.arange(6)), torch.tensor([1, 2, 3, 100, 1000, 5])
    together = rng.integers(keys, 50, sizes)
    assert all(torch.equal(together[i], rng.integers(keys[i], 50, int(sizes[i]))) for i in range(6))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17, 64, 255])
def test_a_draw_is_the_same_alone_and_in_any_batch(count):
    keys = rng.key(torch.arange(3), 8, torch.arange(37).unsqueeze(-1))
    for draw in (rng.uniform, rng.normal, lambda k, c: rng.integers(k, c, 77)):
        block = draw(keys, count)
        assert block.shape == (37, 3, count)
        assert torch.equal(draw(keys.mT, count), block.transpose(0, 1))
        assert torch.equal(draw(keys[5:9, :1], count), block[5:9, :1])
        for j, s in itertools.product((0, 1, 20, 36), range(3)):
            assert torch.equal(draw(keys[j, s], count), block[j, s])


def test_one_thread_and_two_give_the_same_bits():
    keys, threads = rng.key(torch.arange(400).unsqueeze(-1), torch.arange(3)), torch.get_num_threads()
    try:
        blocks = []
        for number in (1, 2):
            torch.set_num_threads(number)
            blocks.append((rng.uniform(keys, 101), rng.normal(keys, 101), rng.integers(keys, 101, 10)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*blocks, strict=True))


def test_nobody_elses_randomness_is_touched():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    rng.normal(rng.key(1), 10)
    torch.manual_seed(1)
    first = rng.normal(rng.key(1), 10)
    torch.manual_seed(2)
    assert torch.equal(first, rng.normal(rng.key(1), 10))
    torch.set_rng_state(before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
