"""Records that the tests share: a small sound one, and a strategy for those of every kind."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quanta import record

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
attributes = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5),
    st.one_of(
        words,
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.none(),
        st.lists(words, max_size=3),
        st.dictionaries(words, st.integers(), max_size=2),
    ),
    max_size=4,
)


def _losses(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(0, 100, width=32))


def _shares(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))


def _positive(shape):
    return hnp.arrays(np.float64, shape, elements=st.floats(0, 1e12))


@st.composite
def records(draw):
    """Records of every kind: with and without each optional field, one seed or several."""
    n_subtasks, n_steps = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    leading = draw(st.sampled_from([(), (1,), (3,)]))
    curves = (*leading, n_subtasks, n_steps)
    optional = {
        "accuracy": _shares(curves),
        "probability": _shares(curves),
        "exposures": _positive(curves),
        "examples": _positive(n_steps),
        "learning_rate": _positive(n_steps),
        "true_onset": hnp.arrays(np.float64, (*leading, n_subtasks), elements=st.just(np.nan) | st.floats(0, 1e6)),
        "n_classes": st.integers(2, 50_000),
        "chance_loss": _positive(n_subtasks),
        "config": words,
        "seed": st.integers(0, 2**70),
    }
    fields = {name: draw(field) for name, field in optional.items() if draw(st.booleans())}
    if draw(st.booleans()) or not fields.keys() & {"accuracy", "probability"}:
        fields["loss"] = draw(_losses(curves))
    step = draw(st.lists(st.integers(0, 10**9), min_size=n_steps, max_size=n_steps, unique=True).map(sorted))
    frequency = draw(hnp.arrays(np.float64, n_subtasks, elements=st.floats(0.1, 100)))
    return record.new(
        step=step,
        frequency=frequency,
        units=draw(st.sampled_from(record.UNITS)),
        source=draw(st.sampled_from(record.SOURCES)),
        optimizer=draw(st.sampled_from(record.OPTIMIZERS)),
        attrs=draw(attributes),
        **fields,
    )


def example(**changes):
    """A small sound record."""
    fields = {
        "loss": [[2.0, 1.0, 0.5], [2.0, 1.5, 1.0]],
        "accuracy": [[0.0, 0.5, 1.0], [0.0, 0.25, 0.5]],
        "step": [0, 10, 100],
        "frequency": [0.75, 0.25],
        "examples": [0, 20, 200],
        "n_classes": 5,
        "true_onset": [3.0, np.nan],
        "source": "simulated",
        "optimizer": "sgd",
    }
    return record.new(**{**fields, **changes})
