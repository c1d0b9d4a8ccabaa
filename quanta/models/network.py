"""What a network is made of: the fields that the decoder and its controls share."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.models.base import AbstractModel


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstractNetwork(AbstractModel):
    """A model with a decoder in it: learned positions, causal attention, no dropout.

    Initial weights are normal: tokens and positions with the standard deviations given, matrices with 0.6/√fan-in;
    biases are 0. The last layer is evaluated at the readout positions only, which changes no result.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need; Xiong et al. (2020), On Layer Normalization in the
    Transformer Architecture, for the place of the layer norms.
    """

    width: int = 64
    """Width of the residual stream."""
    depth: int = 1
    """Number of layers."""
    heads: int = 4
    """Attention heads in a layer; must divide the width."""
    mlp: int = 4
    """Width of the MLP in units of the width; 0: attention only."""
    norm: Literal["layer", "none"] = "layer"
    """Layer norm ahead of each part and of the readout, or none."""
    activation: Literal["gelu", "relu"] = "gelu"
    """Of the MLP."""
    bias: bool = True
    """Biases in attention and readout, too; those of the MLP are always there."""
    token_std: float = 0.2
    """Standard deviation of the token embeddings at first."""
    position_std: float = 0.02
    """Standard deviation of the position embeddings at first."""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            check_whole(name, getattr(self, name), 1)
        check_whole("mlp", self.mlp, 0)
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of heads {self.heads}; change one of them.")
        for name, allowed in (("norm", ("layer", "none")), ("activation", ("gelu", "relu"))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected {allowed[0]} or {allowed[1]}.")
        for name in ("token_std", "position_std"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} is {getattr(self, name)}; expected a number of at least 0.")

    @property
    def network(self) -> str:
        """The decoder with the same fields."""
        fields = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(AbstractNetwork))
        return f"Decoder({fields})"
