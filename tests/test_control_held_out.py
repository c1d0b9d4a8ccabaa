"""What the test says of controls that learned by heart, of controls that are still learning, and of controls misnamed."""

import re

import numpy as np
import pytest
import xarray as xr

from quanta import composition, worlds
from quanta._errors import InputError
from quanta.learners.parity_network import ParityNetwork

NETWORK = ParityNetwork(n_bits=9, k=2, width=24, n_test=128)
RUN = "ordered_with_control"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kernel(n_inputs=8", "expected plain values by name, such as n_inputs=16."),
        ("tabular(", "expected plain values by name, such as rate=0.0."),
        ("kernel(n_input=8)", "it has no field n_input; expected n_inputs, rate."),
        ("kernel(network=parity_network)", "it has no field network; expected n_inputs, rate."),
    ],
)
def test_a_control_that_cannot_be_read_is_answered_with_what_could(text, says):
    with pytest.raises(InputError) as caught:
        NETWORK.control(text)
    assert str(caught.value).startswith(f"the control {text!r} cannot be made: ")
    assert str(caught.value).endswith(says)


def beside(control, **of_the_run):
    return composition.test(worlds.make(RUN).assign_attrs(of_the_run), controls=[control]).attrs


def of_the_control(reasons):
    (said,) = [reason for reason in reasons if reason.startswith("the kernel control")]
    return said


# ----------------------------------------------------------------------------------------------- learned by heart


def held_out(share):
    """A control that finishes on its own inputs; on others its loss goes to a share of chance."""
    (control,) = worlds.controls(RUN)
    way = xr.DataArray(np.linspace(0, 1, control.sizes["step"]), dims="step")
    others = control["chance_loss"] * (1 + (share - 1) * way)
    return control.assign(held_out=others.transpose("subtask", "step")).assign_attrs(inputs="3 of 64 strings")


@pytest.mark.parametrize("share", [3.0, 1.0, 0.55])
def test_a_control_that_learned_by_heart_is_told_as_such_and_remains_a_null(share):
    said = beside(held_out(share))
    assert said["controls"] == ["kernel: ok"]
    assert said["verdict"] == "ordered-composition"
    assert (
        "sharper than the linearised network of the same run (learning a part of its inputs by heart, not the subtasks)"
        in said["sentence"]
    )
    reason = of_the_control(said["reasons"])
    assert "could have refuted it, and did not; but it learned its inputs by heart and not the subtasks" in reason
    chance = float(worlds.controls(RUN)[0]["chance_loss"][0])
    assert f"{share * chance:.1f}"[:2] in reason.partition("on its own inputs, ")[2]
    assert f"chance {chance:.2g})" in reason


def test_a_control_that_learned_the_subtasks_from_a_part_of_its_inputs_is_not():
    said = beside(held_out(0.2))
    assert "the linearised network of the same run (on a part of its inputs)" in said["sentence"]
    assert not any("by heart" in text for text in [said["sentence"], *said["reasons"]])


def test_by_heart_changes_no_number_and_no_verdict():
    with_others, without = (
        composition.test(worlds.make(RUN), controls=[control])
        for control in (held_out(3.0), held_out(3.0).drop_vars("held_out"))
    )
    xr.testing.assert_equal(with_others, without)
    assert with_others.attrs["row"] == without.attrs["row"]


# ----------------------------------------------------------------------------------------------- still learning


def course(shape, **attrs):
    """A control of which every subtask goes the way ``shape`` of (ln t / ln T), from 1 at the start."""
    (control,) = worlds.controls("ordered_unfinished_control")
    step = control["step"].values
    way = shape(np.log(np.maximum(step, 1)) / np.log(step[-1]))
    noise = 0.01 * np.random.default_rng(0).standard_normal(control["loss"].shape)
    loss = control["chance_loss"].values[:, None] * (way + noise)
    return control.assign(loss=(("subtask", "step"), loss, control["loss"].attrs)).assign_attrs(attrs)


def falling(x):
    return 1 - 0.5 * np.clip(2 * x - 1, 0, 1)


def early(x):
    return 1 - 0.5 * np.clip(4 * x - 1, 0, 1)


def flat(x):
    return 1 - 0.03 * x


def later(control, factor):
    """As if that many times as many steps, and as much time, had been made."""
    scaled = control.assign_coords(step=control["step"] * factor)
    return scaled.assign({name: scaled[name] * factor for name in ("learning_rate_sum",) if name in scaled})


def test_a_control_that_still_falls_is_no_evidence_of_anything():
    said = beside(course(falling))
    assert said["controls"] == ["kernel: unfinished"]
    assert said["verdict"] == "ordered-composition"
    assert "the linearised network has not finished, and says nothing" in said["sentence"]
    reason = of_the_control(said["reasons"])
    assert "is unfinished and still falling (" in reason
    assert "it says nothing yet; run it longer, about a hundred times the steps of the run" in reason
    assert not any("does not account" in text for text in [said["sentence"], *said["reasons"]])


def test_what_still_falls_after_a_hundred_times_the_steps_is_not_told_to_make_as_many():
    assert of_the_control(beside(later(course(falling), 100))["reasons"]).endswith("run it longer still")


@pytest.mark.parametrize(("factor", "time"), [(1, "the run's own time"), (100, "100 times the run's own time")])
def test_a_control_that_stays_at_chance_does_not_account_for_the_drop_in_the_time_it_was_given(factor, time):
    said = beside(later(course(flat), factor))
    assert f"linear learning does not account for the drop in {time}" in of_the_control(said["reasons"])
    assert f"linear learning does not account for the drop in {time}, but" in said["sentence"]


def test_a_control_at_chance_that_was_followed_for_less_than_the_run_says_nothing():
    step = worlds.make(RUN)["step"].values
    short = course(flat).isel(step=np.flatnonzero(step <= 0.1 * step[-1]))
    said = beside(short)
    assert "in too short a time: it says nothing yet" in of_the_control(said["reasons"])
    assert "does not account" not in said["sentence"]


@pytest.mark.parametrize(("factor", "enough"), [(1, False), (5, False), (20, True)])
def test_a_flow_beside_another_optimizer_must_stay_at_chance_for_ten_times_the_steps(factor, enough):
    said = beside(later(course(flat), factor), optimizer="adam")
    assert ("linear learning does not account for the drop in 20 times the run's steps" in said["sentence"]) == enough
    assert ("it says nothing yet" in of_the_control(said["reasons"])) == (not enough)


def test_a_control_that_came_to_rest_half_way_may_account_for_a_part():
    said = beside(course(early))
    assert re.search(r"settled at (49|50|51)% of its start", of_the_control(said["reasons"]))
    assert "may account for a part of the drop" in of_the_control(said["reasons"])
    assert "does not account" not in said["sentence"]


def test_where_one_of_two_still_falls_nothing_is_claimed_of_linear_learning():
    controls = [course(flat), course(falling)]
    result = composition.test(worlds.make(RUN), controls=controls)
    assert "the linearised network has not finished, and says nothing" in result.attrs["sentence"]
