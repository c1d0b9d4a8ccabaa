"""The network: a small pre-LN transformer decoder."""

from dataclasses import dataclass
from typing import final

from quanta._errors import InputError
from quanta.models.base import AbstractModel, AbstractRun, Setting
from quanta.tasks.base import check_whole
from quanta.tasks.stream import Stream


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Decoder(AbstractModel):
    """Pre-LN decoder: learned positions, GELU, an MLP four times as wide, biases, no dropout.

    Initial weights are normal: tokens with standard deviation 0.2, positions 0.02, matrices 0.6/√fan-in;
    biases are 0. The last layer is evaluated at the readout positions only, which changes no result.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need; Xiong et al. (2020), On Layer Normalization in the
    Transformer Architecture, for the place of the layer norms.

    Examples
    --------
    >>> Decoder(depth=2)
    Decoder(width=64, depth=2, heads=4)
    """

    width: int = 64
    """Width of the residual stream."""
    depth: int = 1
    """Number of layers."""
    heads: int = 4
    """Attention heads in a layer; must divide the width."""

    def __post_init__(self) -> None:
        check_whole("width", self.width, 1)
        check_whole("depth", self.depth, 1)
        check_whole("heads", self.heads, 1)
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of heads {self.heads}; change one of them.")

    @property
    def control_kind(self) -> str:
        """None: this is what the controls are for."""
        return ""

    @property
    def network(self) -> str:
        """Itself."""
        return repr(self)

    def default_rate(self, optimizer: str) -> float:
        """0.1 for SGD, 0.001 for Adam.

        SGD at 0.3 learns as much, but in bursts of noise that leave a third of its subtasks unresolved.
        """
        return {"sgd": 0.1, "adam": 1e-3}[optimizer]

    def check(self, stream: Stream, setting: Setting) -> None:
        """It learns any task."""

    def start(self, stream: Stream, setting: Setting) -> AbstractRun:
        """A run at step 0, with the weights that belong to the stream's seed."""
        from quanta.models._network import build
        from quanta.models._training import Training

        network = build(self.width, self.depth, self.heads, stream)
        return Training(network, stream, setting)
