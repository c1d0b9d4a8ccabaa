"""The linearised network in function space: its kernel, and the flow of its logits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quanta._chebyshev import Chebyshev, Problem
from quanta.models._flow import AbstractFlow
from quanta.models._network import Network
from quanta.models.base import Setting
from quanta.models.kernel import Kernel
from quanta.tasks.stream import Stream

_BLOCK = 1024  # rows of K that are formed at a time


def contrasts(n_classes: int) -> Tensor:
    """Orthonormal columns that span what a softmax sees: logits up to a shift, (n_classes, n_classes − 1)."""
    centred = torch.eye(n_classes, dtype=torch.float64) - 1.0 / n_classes
    return torch.linalg.qr(centred[:, :-1]).Q


def tangent_kernel(network: Network, tokens: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    r"""Logits at the present weights, and the Gram matrix of their gradients, in float64.

    The whole Jacobian is never formed. A linear map's gradient is a sum over positions s of outer products
    g_s ⊗ a_s of the gradient at its output and its input, so that its part of J Jᵀ is
    Σ_st (g_s·g'_t)(a_s·a'_t): for a d × 4d matrix that is d times less work than multiplying Jacobians, as long as
    sequences are short.

    Parameters
    ----------
    network : Network
        In float64.
    tokens : Tensor, shape (n, length)
        Inputs.
    basis : Tensor, shape (n_classes, n_basis)
        Combinations of logits to keep.

    Returns
    -------
    logits : Tensor, shape (n, n_readout, n_basis)
    kernel : Tensor, shape (n · n_readout · n_basis, n · n_readout · n_basis)
    """
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda module, args, out: seen.append((module, args[0], out)))
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Embedding))
    ]
    logits = network(tokens) @ basis
    for handle in handles:
        handle.remove()
    n, n_answers = len(tokens), logits[0].numel()
    outputs = [out for _, _, out in seen]
    gradients = [
        torch.autograd.grad(column.sum(), outputs, retain_graph=True) for column in logits.reshape(n, n_answers).T
    ]
    size = n * n_answers
    kernel = torch.zeros(size, size, dtype=torch.float64, device=tokens.device)
    for i, (module, inputs, _) in enumerate(seen):
        gradient = torch.stack([g[i] for g in gradients], dim=1)  # (n, n_answers, n_positions, width)
        _add_gram(kernel, module, inputs.detach(), gradient)
    return logits.detach(), kernel


def _add_gram(kernel: Tensor, module: nn.Module, inputs: Tensor, gradient: Tensor) -> None:
    """Add one module's part of J Jᵀ, from its inputs (n, …) and gradients (n, n_answers, n_positions, width)."""
    if isinstance(module, nn.LayerNorm):
        normal = F.layer_norm(inputs, module.normalized_shape, eps=module.eps)
        jacobian = torch.cat([(gradient * normal[:, None]).sum(2), gradient.sum(2)], dim=-1).flatten(0, 1)
        kernel.addmm_(jacobian, jacobian.T)
    elif gradient.shape[2] ** 2 > (module.num_embeddings if isinstance(module, nn.Embedding) else inputs.shape[-1]):
        _add_columns(kernel, module, inputs, gradient)
    else:
        _add_pairs(kernel, module, inputs, gradient)


def _add_columns(kernel: Tensor, module: nn.Module, inputs: Tensor, gradient: Tensor) -> None:
    """A map's part, from its Jacobian, some of its outputs at a time: the shorter way for long sequences."""
    if isinstance(module, nn.Embedding):
        features = F.one_hot(inputs, module.num_embeddings).double()
    else:  # a bias is a further input, 1
        features = F.pad(inputs, (0, 1), value=1.0) if module.bias is not None else inputs
    step = max(1, _BLOCK * _BLOCK * 16 // (len(kernel) * features.shape[-1]))
    for outputs in gradient.split(step, dim=-1):
        jacobian = torch.einsum("naso,nsi->naoi", outputs, features).flatten(2).flatten(0, 1)
        kernel.addmm_(jacobian, jacobian.T)


def _add_pairs(kernel: Tensor, module: nn.Module, inputs: Tensor, gradient: Tensor) -> None:
    """A map's part, from all pairs of positions."""
    n, n_answers = gradient.shape[:2]
    gradient = gradient.flatten(0, 1)  # (n · n_answers, n_positions, width)
    step = max(1, _BLOCK // n_answers)
    for first in range(0, n, step):
        rows = slice(first * n_answers, (first + step) * n_answers)
        for s in range(gradient.shape[1]):
            for t in range(gradient.shape[1]):
                if isinstance(module, nn.Embedding):
                    shared = (inputs[first : first + step, s, None] == inputs[None, :, t]).double()
                else:  # a bias is a further input, 1
                    shared = inputs[first : first + step, s] @ inputs[:, t].T + float(module.bias is not None)
                product = (gradient[rows, s] @ gradient[:, t].T).view(len(shared), n_answers, n, n_answers)
                kernel[rows].view_as(product).add_(product.mul_(shared[:, None, :, None]))


def symmetric_product(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """The map v ↦ ``matrix @ v``, matrix symmetric; on a CPU from one triangle, since memory sets the pace."""
    if matrix.device.type != "cpu":
        return matrix.mv
    from scipy.linalg.blas import dsymv

    columns = matrix.numpy().T  # the order that BLAS reads, without a copy
    return lambda v: torch.from_numpy(dsymv(1.0, columns, v.numpy()))


class Flow(AbstractFlow):
    """Gradient flow of the linearised network, from its initial logits or from zero."""

    def __init__(self, network: Network, stream: Stream, setting: Setting, made: Kernel) -> None:
        super().__init__(stream, setting, made.n_inputs)
        n_classes, device = stream.task.n_classes, setting.device
        self.basis = contrasts(n_classes).to(device)
        logits, kernel = tangent_kernel(network.double().to(device), self.tokens, self.basis)
        self.product = symmetric_product(kernel)
        self.right = F.one_hot(self.targets, n_classes).double()
        self.shape = logits.shape
        start = torch.zeros_like(logits) if made.centred else logits
        self.integrator = Chebyshev(Problem(self._rate, self._curvature), start.flatten())

    def logits(self, y: Tensor) -> Tensor:
        """Logits up to a shift, from their contrasts."""
        return y.view(self.shape) @ self.basis.T

    def _pull(self, residual: Tensor) -> Tensor:
        """−K applied to weighted residuals of the probabilities, (n, n_readout, n_classes)."""
        return -self.product(((self.weight[..., None] * residual) @ self.basis).flatten())

    def _rate(self, y: Tensor) -> Tensor:
        return self._pull(self.logits(y).softmax(-1) - self.right)

    def _curvature(self, y: Tensor, direction: Tensor) -> Tensor:
        p, v = self.logits(y).softmax(-1), self.logits(direction)
        return -self._pull(p * (v - (p * v).sum(-1, keepdim=True)))
