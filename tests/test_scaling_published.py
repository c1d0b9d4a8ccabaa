"""Published digits: Chinchilla's law and its refit, a sum against a mean, a broken law beyond its points."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from quanta.scaling import BrokenPowerLaw, Chinchilla, fit

HOFFMANN = (406.4, 410.7, 0.33917084, 0.2849083, 1.69)  # Hoffmann et al. (2022): A, B, α, β, E
BESIROGLU = (482.01, 2085.43, 0.3478, 0.3658, 1.8172)  # Besiroglu et al. (2024)
COMPUTE = np.repeat(np.geomspace(6e18, 3e21, 9), 13)
N = np.tile(np.geomspace(0.12, 8, 13), 9) * np.sqrt(
    COMPUTE / 120
)  # about the best split of each budget, as was trained
D = COMPUTE / (6 * N)
AT = np.stack([N, D])
BROKEN = (
    2.27727229,
    0.05507735,
    0.41388453,
    5.66290382,
    612.58362,
    0.05919304,
)  # Caballero et al. (2022): b, c0, a, c1, d1, f1


def table(values, scatter, seed=0):
    """Losses of a sweep over budgets, with Laplacian errors of ln loss, which Huber's function is made for."""
    errors = np.random.default_rng(seed).laplace(scale=scatter, size=N.size) if scatter else 0
    return Chinchilla().loss(values, AT) * np.exp(errors)


@pytest.mark.parametrize("values", [HOFFMANN, BESIROGLU], ids=["Hoffmann", "Besiroglu"])
def test_a_table_of_the_published_parameters_has_them(values):
    exact = fit(Chinchilla(), AT, table(values, 0), bootstrap=None)
    np.testing.assert_allclose([*exact.estimate.values()], values, rtol=1e-6)
    noisy = fit(Chinchilla(), AT, table(values, 0.004), confidence=0.99)
    for value, (low, high) in zip(values, noisy.interval.values(), strict=True):
        assert low < value < high
    assert noisy.estimate["alpha_N"] == pytest.approx(values[2], abs=0.03)
    assert noisy.trusted, noisy.warnings


def naive(y, *, mean, begin):
    """The published recipe: L-BFGS-B at its default tolerances, of a sum or a mean of Huber's function."""

    def objective(z):
        a, b, e, alpha, beta = z
        predicted = np.logaddexp(np.logaddexp(a - alpha * np.log(N), b - beta * np.log(D)), e)
        size = np.abs(predicted - np.log(y))
        cost = np.where(size <= 1e-3, size**2 / 2, 1e-3 * (size - 5e-4))
        return cost.mean() if mean else cost.sum()

    end = optimize.minimize(objective, begin, method="L-BFGS-B")
    return end.x[3], end.fun * (N.size if mean else 1)


def test_a_mean_stops_where_a_sum_goes_on_and_ours_is_the_least():
    y = table(BESIROGLU, 0.004)
    ours = fit(Chinchilla(), AT, y, bootstrap=None)
    begins = [(a, b, e, alpha, alpha) for a in (5, 10) for b in (5, 10) for e in (0.0, 0.5) for alpha in (0.25, 0.5)]
    ends = {
        mean: min((naive(y, mean=mean, begin=begin) for begin in begins), key=lambda end: end[1])
        for mean in (True, False)
    }
    assert ours.total <= ends[False][1] * (1 + 1e-9)
    assert ends[False][1] < ours.total * 1.01
    assert ends[True][1] > ours.total * 1.03  # of the best of 16 starts: a mean is small enough to be taken for 0
    assert abs(ends[True][0] - ours.estimate["alpha_N"]) > 3 * abs(ends[False][0] - ours.estimate["alpha_N"])


def test_a_broken_law_is_known_beyond_its_points():
    x = np.arange(1.0, 4096)
    y = BrokenPowerLaw().loss(BROKEN, x[None])
    found = fit(BrokenPowerLaw(), x[:405], y[:405], bootstrap=None)  # the break is at 613
    np.testing.assert_allclose([*found.estimate.values()], BROKEN, rtol=1e-3)
    np.testing.assert_allclose(found.predict(x), y, rtol=1e-3)
    assert found.converged


@pytest.mark.skipif(
    "QUANTA_EPOCH_CSV" not in os.environ, reason="QUANTA_EPOCH_CSV, the table of Besiroglu et al., is not given"
)
def test_the_refit_of_chinchilla_has_its_published_digits():
    with Path(os.environ["QUANTA_EPOCH_CSV"]).open(newline="") as file:  # of its columns one holds colours, with a #
        rows = list(csv.DictReader(file))
    n, compute, loss = (
        np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss")
    )
    kept = np.argsort(loss)[:-5]
    found = fit(Chinchilla(), {"N": n[kept], "D": compute[kept] / (6 * n[kept])}, loss[kept], bootstrap=None)
    assert found.total == pytest.approx(0.00101827, abs=1e-8)  # a unit of its last digit: it may have been cut
    assert found.estimate["alpha_N"] == pytest.approx(0.34731, abs=2e-5)
    assert found.estimate["alpha_D"] == pytest.approx(0.36718, abs=2e-5)
    assert found.estimate["E"] == pytest.approx(1.8172, abs=1e-4)
