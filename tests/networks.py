"""Networks that tests name by `model: {import: tests.networks....}`, as a user would name their own."""

from __future__ import annotations

import sys

import torch
from torch import nn

from raymill.layout import Layout
from raymill.task import Task


class Small(nn.Module):
    """A lazy layer, an embedding per category, a norm, and a weight that two names share."""

    def __init__(self, layout: Layout, task: Task, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(c.size, 2) for c in layout.categories)
        self.inner = nn.LazyLinear(width)
        self.norm = norm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.head = nn.Linear(width, task.outputs)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        embedded = [embedding(categories[:, column]) for column, embedding in enumerate(self.embeddings)]
        out = self.norm(torch.relu(self.inner(torch.cat([numbers, *embedded], dim=1))))
        return self.head(torch.relu(self.second(torch.relu(self.first(out)))))


def build_model(layout: Layout, task: Task, width: int = 8) -> nn.Module:
    return Small(layout, task, width, nn.LayerNorm)


def batch_norm(layout: Layout, task: Task) -> nn.Module:
    return Small(layout, task, 8, nn.BatchNorm1d)


def no_network(layout: Layout, task: Task) -> dict[str, int]:
    return {"layers": 3}


def one_output_too_many(layout: Layout, task: Task) -> nn.Module:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(len(layout.numbers), task.outputs + 1)

        def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
            return self.layer(numbers)

    return Wide()


def broken(layout: Layout, task: Task) -> nn.Module:
    raise KeyError("depth")


class Exploding(nn.Module):
    """Its weight goes to infinity with the first step that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return (numbers[:, :1] * self.weight).exp().exp().exp().expand(-1, 2) * torch.tensor([1.0, -1.0])


def exploding(layout: Layout, task: Task) -> nn.Module:
    return Exploding()


class Overfitting(nn.Module):
    """Remembers rows by their first number, so that the validation loss soon rises."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(4096, outputs)
        nn.init.zeros_(self.table.weight)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return self.table((numbers[:, 0] * 1e6).long() % 4096)


def overfitting(layout: Layout, task: Task) -> nn.Module:
    return Overfitting(task.outputs)


class Half(nn.Module):
    """Uses half of its parameters."""

    def __init__(self, layout: Layout, task: Task) -> None:
        super().__init__()
        self.used = nn.Linear(len(layout.numbers), task.outputs)
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return self.used(numbers)


def half(layout: Layout, task: Task) -> nn.Module:
    return Half(layout, task)


class Tiring(Half):
    """Fails in its third step."""

    steps = 0

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.steps == 3:
            raise ValueError("too tired")
        return super().forward(numbers, categories)


class Leaving(Half):
    """Ends its process, as scripts do, in the first step."""

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        if self.training:
            sys.exit(4)
        return super().forward(numbers, categories)


def leaving(layout: Layout, task: Task) -> nn.Module:
    return Leaving(layout, task)


def tiring(layout: Layout, task: Task) -> nn.Module:
    return Tiring(layout, task)


class Hungry(nn.Module):
    """A layer that runs out of memory above so many rows at a time, when it trains."""

    def __init__(self, layout: Layout, task: Task, rows: int) -> None:
        super().__init__()
        self.layer, self.rows = nn.Linear(len(layout.numbers), task.outputs), rows

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        if self.training and len(numbers) > self.rows:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(numbers)} GiB.")
        return self.layer(numbers)


def hungry(layout: Layout, task: Task, rows: int) -> nn.Module:
    return Hungry(layout, task, rows)
