"""Gradient flow of a network's weights, centred and scaled: the dial from the network to its linear limit, without noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

from quanta._chebyshev import Chebyshev, Problem
from quanta.models._flow import AbstractFlow
from quanta.models._network import Network
from quanta.models.base import Setting
from quanta.tasks.stream import Stream

_TOLERANCE = 1e-5
_PROBE = 1e-5  # distance over which the curvature is taken as a difference of gradients


class GradientFlow(AbstractFlow):
    r"""Flow of :math:`y = a(\theta - \theta_0)` in the loss of :math:`a\,(f_\theta - f_{\theta_0})`.

    The network is in float64. In y the flow is :math:`\dot y = -\nabla_\theta L / a = -J_\theta^\top \partial L / \partial F`: it has a limit as a grows.
    """

    def __init__(self, network: Network, scale: float, stream: Stream, setting: Setting) -> None:
        super().__init__(stream, setting)
        self.network = network.to(setting.device)
        self.scale = scale
        self.parameters = list(self.network.parameters())
        self.start = torch.nn.utils.parameters_to_vector(self.parameters).detach().clone()
        with torch.no_grad():
            self.initial = self.network(self.tokens)
        problem = Problem(self._rate, self._curvature)
        self.integrator = Chebyshev(problem, torch.zeros_like(self.start), _TOLERANCE)

    def logits(self, y: Tensor) -> Tensor:
        """Those of the weights θ₀ + y/a: a · (f − f₀)."""
        torch.nn.utils.vector_to_parameters(self.start + y / self.scale, self.parameters)
        return self.scale * (self.network(self.tokens) - self.initial)

    def _rate(self, y: Tensor) -> Tensor:
        nll = F.cross_entropy(self.logits(y).flatten(0, 1), self.targets.flatten(), reduction="none")
        gradient = torch.autograd.grad((nll.view(self.targets.shape) * self.weight).sum(), self.parameters)
        return torch.nn.utils.parameters_to_vector(gradient) / -self.scale

    def _curvature(self, y: Tensor, direction: Tensor) -> Tensor:
        return (self._rate(y - _PROBE * direction) - self._rate(y + _PROBE * direction)) / (2 * _PROBE)
