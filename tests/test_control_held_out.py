"""What the test says of controls that learned by heart, of controls that are still learning, and of controls misnamed."""

import pytest

from quanta._errors import InputError
from quanta.learners.parity_network import ParityNetwork

NETWORK = ParityNetwork(n_bits=9, k=2, width=24, n_test=128)


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
