"""The decoder and the table in PyTorch, imported when a run starts."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quanta.tasks.stream import Stream


class Layer(nn.Module):
    """Attention and MLP, each behind its layer norm, evaluated at some positions only."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        n, length, width = x.shape  # (n, length, width) → (n, n_positions, width)
        z = self.norm_attention(x)
        query = self.query(z[:, positions]).view(n, -1, self.heads, width // self.heads).transpose(1, 2)
        key, value = self.key_value(z).view(n, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        sees = torch.arange(length, device=x.device) <= positions[:, None]  # causal, (n_positions, length)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=sees)
        x = x[:, positions] + self.out(mixed.transpose(1, 2).reshape(n, -1, width))
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))


class Network(nn.Module):
    """Tokens (n, length) → logits (n, n_readout, n_classes)."""

    def __init__(self, sizes: tuple[int, int, int], n_tokens: int, length: int, n_classes: int) -> None:
        super().__init__()
        width, depth, heads = sizes
        self.token = nn.Embedding(n_tokens, width)
        self.position = nn.Embedding(length, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.unembed = nn.Linear(width, n_classes)
        self.register_buffer("everywhere", torch.arange(length), persistent=False)
        self.register_buffer("readout", torch.arange(length), persistent=False)

    def read_at(self, readout: Sequence[int]) -> "Network":
        """Choose the positions at which answers are read."""
        self.readout = torch.tensor(readout)
        return self

    def forward(self, tokens: Tensor, row: Tensor | None = None) -> Tensor:
        x = self.token(tokens) + self.position(self.everywhere.expand(tokens.shape))
        for layer in self.layers[:-1]:
            x = layer(x, self.everywhere)
        return self.unembed(self.norm(self.layers[-1](x, self.readout)))


class Table(nn.Module):
    """One softmax over answers for each row (a subtask and an input), all logits 0 at first."""

    def __init__(self, n_rows: int, n_readout: int, n_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_rows, n_readout, n_classes))

    def forward(self, tokens: Tensor, row: Tensor | None = None) -> Tensor:
        assert row is not None
        return F.embedding(row, self.logits.flatten(1)).view(-1, *self.logits.shape[1:])


class Centred(nn.Module):
    """scale · (network − the network as it is now), exactly zero at first."""

    def __init__(self, network: Network, scale: float) -> None:
        super().__init__()
        self.network = network
        self.initial = copy.deepcopy(network).requires_grad_(False)
        self.scale = scale

    def forward(self, tokens: Tensor, row: Tensor | None = None) -> Tensor:
        return self.scale * (self.network(tokens) - self.initial(tokens))


def build(width: int, depth: int, heads: int, stream: Stream) -> Network:
    """The decoder with the initial weights that belong to the stream: the same for network and controls."""
    task = stream.task
    network = Network((width, depth, heads), task.n_symbols + stream.n_subtasks, task.length, task.n_classes)
    generator = torch.Generator().manual_seed(stream.weight_seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "token.weight":
                parameter.normal_(std=0.2, generator=generator)
            elif name == "position.weight":
                parameter.normal_(std=0.02, generator=generator)
            elif parameter.ndim == 2:
                parameter.normal_(std=0.6 / math.sqrt(parameter.shape[1]), generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()
    return network.read_at(task.readout)
