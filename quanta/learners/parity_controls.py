"""The controls of a parity network: models of the same subtasks that cannot have phase changes, for the test to refute.

Each is made of the network that it controls, and simulated with the network's frequencies, batch size and seed: it has
the same subtasks, and where these matter to it the same batches, first weights and optimiser.
"""

from typing import Any

from quanta import _parts
from quanta._errors import InputError
from quanta.learners._parity_control import AbstractParityControl
from quanta.learners.parity_kernel import ParityKernel
from quanta.learners.parity_linearised import ParityLinearised
from quanta.learners.parity_network import ParityNetwork
from quanta.learners.parity_table import ParityTable

CONTROLS: dict[str, Any] = {"kernel": ParityKernel, "linearised": ParityLinearised, "tabular": ParityTable}


def control(network: ParityNetwork, text: str) -> AbstractParityControl:
    """The control that a text names, such as "kernel(n_inputs=8)".

    Raises
    ------
    InputError
        If there is none, or it cannot be had so.

    Examples
    --------
    >>> control(ParityNetwork(width=20, descent="sgd"), "tabular(rate=3)").learning_rate
    3.0
    """
    name = text.partition("(")[0].strip()
    if name not in CONTROLS:
        raise InputError(f"the control {name!r} is unknown; expected one of {', '.join(CONTROLS)}.")
    try:
        fields = _parts.fields(CONTROLS[name], text if "(" in text else f"{name}()", without=("network",))
    except InputError as error:
        raise InputError(f"the control {text!r} cannot be made: {error}.") from None
    made: AbstractParityControl = CONTROLS[name](**{"network": network} | fields)
    return made
