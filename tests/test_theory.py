"""Published results that the learners must reproduce; each test names its source."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from quanta.frequencies import Zipf
from quanta.learners import Exponential, Hyperbolic, Multilinear, Quantum, Threshold

NAM = Multilinear(target=1.0, initial=0.01, rate=1.0)  # Nam et al. (2024), settings of figure 2
TIMES = np.geomspace(1e2, 1e4, 30)


def mean_loss(learner, n_subtasks, alpha, times=TIMES):
    p = Zipf(n_subtasks=n_subtasks, exponent=1 + alpha).probabilities()
    return np.array([p @ learner.expected(p, t) for t in times])


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


@pytest.mark.parametrize(
    ("p", "target", "initial", "rate"), [(0.3, 1.0, 0.01, 0.5), (0.01, 5.0, 1e-3, 0.02), (1, 0.2, 0.15, 3)]
)
def test_strength_follows_its_differential_equation(p, target, initial, rate):
    """Nam et al. (2024), equations 11 and 34: dR/dt = 2 η p R (S - R)."""
    learner = Multilinear(target=target, initial=initial, rate=rate)
    times = np.linspace(0, 3, 7) * learner.onset(np.array([p]))
    solution = integrate.solve_ivp(
        lambda _, R: 2 * rate * p * R * (target - R), (0, times[-1]), [initial], "DOP853", times, rtol=1e-13, atol=1e-15
    )
    strength = target - np.sqrt(2 * learner.expected(np.array([p]), times))
    np.testing.assert_allclose(strength, solution.y[0], rtol=1e-8)


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.3, 0.5, 0.9, 0.999])
def test_emergence_is_delayed_in_proportion_to_rarity(alpha, share):
    """Nam et al. (2024), equation 40: τ(ε) = ln[(S/R₀ - 1) / (1/ε - 1)] / (2 η p S), which grows as k^(1 + α)."""
    p = Zipf(n_subtasks=1000, exponent=1 + alpha).probabilities()
    left = ((1 - share) / (1 - NAM.initial)) ** 2  # of the loss, where the strength is ε S
    emerged = NAM.crossing(p, left)
    emergent = np.log((1 / NAM.initial - 1) / (1 / share - 1)) / (2 * p)
    np.testing.assert_allclose(emerged, emergent, rtol=1e-10)
    assert slope(np.arange(1, 1001), emerged) == pytest.approx(1 + alpha, abs=1e-10)
    strength = 1 - np.sqrt(2 * NAM.expected(p, emergent))
    np.testing.assert_allclose(strength, share, rtol=1e-10)


@pytest.mark.parametrize(
    ("n_subtasks", "alpha", "expected"),
    [
        (10**5, 0.3, -0.2578),
        (10**5, 0.6, -0.3783),
        (10**5, 0.9, -0.4739),
        (10**6, 0.3, -0.2435),
        (10**6, 0.6, -0.3758),
        (10**6, 0.9, -0.4737),
    ],
)
def test_the_time_scaling_law_of_finitely_many_skills(n_subtasks, alpha, expected):
    """Nam et al. (2024), figure 2: slopes on T from 10² to 10⁴, truncation included."""
    assert slope(TIMES, mean_loss(NAM, n_subtasks, alpha)) == pytest.approx(expected, abs=0.001)


def test_the_prefactor_of_the_time_scaling_law():
    """Nam et al. (2024), equation 321, at α = 0.9 and T = 10⁴."""
    alpha, gap = 0.9, 1 / NAM.initial - 1
    integral, _ = integrate.quad(
        lambda v: (1 + alpha) * v**alpha * v**-1 / (1 + math.exp(2 * v ** (1 + alpha)) / gap) ** 2, 0, 4
    )
    prefactor = 0.5 * special.zeta(1 + alpha) ** (-1 / (1 + alpha)) / (1 + alpha) * integral
    ratio = mean_loss(NAM, 10**6, alpha, [1e4])[0] / (prefactor * 1e4 ** NAM.exponent("steps", 1 + alpha))
    assert ratio == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize(
    ("alpha", "expected", "ratio"), [(0.3, -0.2465, 0.903), (0.6, -0.3757, 0.994), (0.9, -0.4731, 1.000)]
)
def test_the_data_scaling_law_of_one_shot_learning(alpha, expected, ratio):
    """Hutter (2021), equation 2, and Nam et al. (2024), equations 322 to 324: Σ p (1 - p)^D."""
    times = np.rint(TIMES)
    assert slope(times, mean_loss(Threshold(hits=1), 10**6, alpha, times)) == pytest.approx(expected, abs=0.002)
    power = alpha / (1 + alpha)
    prefactor = special.zeta(1 + alpha) ** (-1 / (1 + alpha)) * special.gamma(power) / (1 + alpha)
    last = mean_loss(Threshold(hits=1), 10**6, alpha, [1e4])[0]
    assert last / (prefactor * 1e4**-power) == pytest.approx(ratio, abs=0.002)


@pytest.mark.parametrize(("alpha", "expected"), [(0.3, -0.3188), (0.6, -0.5977), (0.9, -0.8925)])
def test_the_parameter_scaling_law_is_the_tail_beyond_what_fits(alpha, expected):
    """Nam et al. (2024), theorem 5: S² / (2 α ζ(α + 1)) N^-α; slopes for N from 10 to 1000 of a million, truncation included."""
    p = Zipf(n_subtasks=10**6, exponent=1 + alpha).probabilities()
    sizes = np.rint(np.geomspace(10, 1000, 15)).astype(int)
    loss = np.array([p @ NAM.limited("parameters", p, n) for n in sizes])
    np.testing.assert_allclose(loss, 0.5 * np.cumsum(p[::-1])[::-1][sizes], rtol=1e-9)
    assert slope(sizes, loss) == pytest.approx(expected, abs=0.002)
    n, truncated = 300.0, 0.5 * special.zeta(1 + alpha, 1e6 + 1) / special.zeta(1 + alpha)
    prefactor = 1 / (2 * alpha * special.zeta(1 + alpha))
    tail = (1 - 2 * truncated) * p @ NAM.limited("parameters", p, n) + truncated  # of infinitely many skills
    assert tail / (prefactor * n**-alpha) == pytest.approx(1.0, abs=0.002)


@pytest.mark.parametrize("alpha", [0.6, 0.9])
def test_the_compute_scaling_law_at_the_best_split(alpha):
    """Nam et al. (2024), corollary 4: the least over N and T = C/N of equation 328 falls as C^(-α / (α + 2))."""
    p = Zipf(n_subtasks=10**5, exponent=1 + alpha).probabilities()
    compute = np.geomspace(1, 1e3, 4) * 10 * NAM.onset(p)[10]
    loss = [p @ NAM.limited("compute", p, c) for c in compute]
    assert slope(compute, loss) == pytest.approx(-alpha / (alpha + 2), abs=0.01)
    assert NAM.exponent("compute", 1 + alpha) == pytest.approx(-alpha / (alpha + 2))


def test_few_examples_of_a_skill_teach_it_in_part():
    """Nam et al. (2024), equation 17: R/S = 1 - √(1 - d/D_c), 0.2929 at half of the D_c = 800 that real networks need."""
    learner = Multilinear(target=5.0, examples_per_subtask=800)
    share = learner.strength_from(np.array([0, 400, 800, 10**6])) / 5.0
    np.testing.assert_allclose(share, [0, 1 - math.sqrt(0.5), 1, 1], rtol=1e-12)


@pytest.mark.parametrize("axis", ["steps", "parameters"])
@pytest.mark.parametrize("alpha", [0.6, 0.9])
def test_missing_quanta_change_the_prefactor_and_the_floor_and_not_the_exponent(axis, alpha):
    """Michaud et al. (2023), section 2, L_n with a and b; Michaud (2026): missing every M-th, C' = C (M - 1)/M."""
    n_subtasks, every, b, a = 10**5, 5, 3.0, 1.0
    p = Zipf(n_subtasks=n_subtasks, exponent=1 + alpha).probabilities()
    ranks = np.unique(np.rint(np.geomspace(30, 1000, 15))).astype(int) * every  # learned up to
    tail = np.append(np.cumsum(p[::-1])[::-1], 0.0)
    losses = {}
    for missing in (0, every):
        learner = Quantum(before=b, after=a, hits=10, missing=missing)
        kept = 1 - 1 / missing if missing else 1
        amounts = {"steps": 10 / p[ranks - 1] * (1 + 1e-9), "parameters": ranks * kept}[axis]
        losses[missing] = np.array([p @ learner.limited(axis, p, amount) for amount in amounts])
    floor = a + (b - a) * p[every - 1 :: every].sum()
    np.testing.assert_allclose(losses[0], a + (b - a) * tail[ranks], rtol=1e-9)
    assert floor - a == pytest.approx((b - a) * every ** -(1 + alpha), rel=0.02)
    ratio = (losses[every] - floor) / (losses[0] - a)
    np.testing.assert_allclose(ratio, 1 - 1 / every, atol=0.005)
    assert slope(ranks, losses[every] - floor) == pytest.approx(slope(ranks, losses[0] - a), abs=0.005)


def test_modes_of_a_deep_linear_network_are_learned_in_inverse_proportion_to_their_strength():
    """Saxe, McClelland, Ganguli (2013), as Nam et al. (2024), equation 25: a/λ = [1 + (λ/a₀ - 1) e^(-2ηλt)]^-1 at fixed λ/a₀."""
    half = [
        strength * Multilinear(target=strength, initial=0.01 * strength, rate=0.1).onset(np.ones(1))[0]
        for strength in (1.0, 0.5, 0.25)
    ]
    np.testing.assert_allclose(half, half[0], rtol=1e-8)


def test_a_neuron_escapes_in_finite_time():
    """Ren et al. (2025): dv²/dt = 8 a v⁴ blows up at T = 1 / (8 a v₀²)."""
    start, speed = 0.05, 0.3
    learner = Hyperbolic(initial=start, rate=speed)
    blow_up = 1 / (8 * speed * start)
    times = np.linspace(0, 0.94, 12) * blow_up
    strength = integrate.solve_ivp(
        lambda _, v2: 8 * speed * v2**2, (0, times[-1]), [start], "DOP853", times, rtol=1e-13, atol=1e-15
    ).y[0]
    np.testing.assert_allclose(learner.loss(times), 0.5 * (1 - strength) ** 2, rtol=1e-8)
    assert learner.loss(np.array([blow_up]))[0] == 0
    for small in (1e-2, 1e-4):  # learned, v² = 1, a share v₀² earlier than that
        end = Hyperbolic(initial=small, rate=speed).hits_at(1e-30)
        assert end * 8 * speed * small == pytest.approx(1 - small, rel=1e-9)


@pytest.mark.parametrize("beta", [0.8, 1.1])
def test_neurons_of_falling_amplitude_sum_to_power_laws(beta):
    """Ren et al. (2025): t^((1 - 2β)/β) in time and m^(1 - 2β) in neurons; at β = 0.8 (m t)^(-1/3) in compute.

    Amplitudes a_k ∝ k^-β set the speed, and squared the weight: frequencies of Zipf exponent 2β, with γ = ½.
    """
    learner = Hyperbolic(initial=0.01, timing=0.5)
    p = Zipf(n_subtasks=10**6, exponent=2 * beta).probabilities()
    times = learner.onset(p)[30] * np.geomspace(1, 30, 10)
    expected = (1 - 2 * beta) / beta
    assert slope(times, [p @ learner.expected(p, t) for t in times]) == pytest.approx(expected, abs=0.02)
    assert learner.exponent("steps", 2 * beta) == pytest.approx(expected)
    assert learner.exponent("parameters", 2 * beta) == pytest.approx(1 - 2 * beta)
    assert Hyperbolic(timing=0.5).exponent("compute", 1.6) == pytest.approx(-1 / 3)


@pytest.mark.parametrize(("hits", "expected", "disorder"), [(1, 0.694, 0.90), (10, 0.714, 0.46), (100, 0.713, 0.18)])
def test_hits_needed_set_how_orderly_subtasks_are_learned(hits, expected, disorder):
    """Michaud et al. (2023), section 2: n(D) ∝ D^(1 / (1 + α)); its essay: few hits, little order (α = 0.4)."""
    p = Zipf(n_subtasks=10**6, exponent=1.4).probabilities()
    learner = Threshold(hits=hits)
    examples = hits * np.rint(np.geomspace(1e2, 1e6, 9)).astype(int)
    counts, late = [], []
    for seed in range(5):
        state = learner.start(p, np.random.default_rng(seed), dynamics="sampled")
        for n in examples:
            state = learner.advance(state, n)
            known = learner.measure(state)["loss"] == 0
            counts.append(known.sum())
        late.append(np.mean(np.flatnonzero(known) > np.argmin(known)))  # known beyond the first unknown
    in_the_mean = np.reshape(counts, (5, -1)).mean(axis=0)
    assert slope(examples, in_the_mean) == pytest.approx(expected, abs=0.02)
    assert np.mean(late) == pytest.approx(disorder, abs=0.05)


@pytest.mark.parametrize("learner", [Multilinear(), Threshold(), Exponential()], ids=repr)
@pytest.mark.parametrize("alpha", [0.6, 0.9])
def test_every_learner_comes_to_the_exponent_that_it_declares(learner, alpha):
    """α / (1 + α): Hutter (2021), Michaud et al. (2023), Nam et al. (2024), whatever the single curves look like."""
    start = learner.onset(Zipf(n_subtasks=10**6, exponent=1 + alpha).probabilities()[[30]])[0]
    times = np.rint(start * np.geomspace(1, 30, 8))
    assert slope(times, mean_loss(learner, 10**6, alpha, times)) == pytest.approx(
        learner.exponent("steps", 1 + alpha), abs=0.01
    )


def test_no_exponent_is_declared_where_there_is_no_infinite_zipf_law():
    assert math.isnan(Multilinear().exponent("steps", 1.0))
    assert Multilinear().exponent("steps", 1.5) == pytest.approx(-1 / 3)
