"""Our AdamW takes torch's steps, and starts without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from raymill.adamw import AdamW

RATES = (0.1, 0.05, 0.2, 0.01)


def network(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2), nn.Linear(2, 2)).to(dtype)


def groups(model: nn.Sequential) -> list[tuple[list[nn.Parameter], float]]:
    return [([*model[0].parameters()], 6.0), ([*model[2].parameters(), *model[3].parameters()], 1.0)]


def backward(model: nn.Sequential, step: int) -> None:
    """The last layer gets a gradient from the second step on."""
    rows = torch.randn(9, 5, generator=torch.Generator().manual_seed(step)).to(model[0].weight.dtype)
    (model if step else model[:3])(rows).square().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_steps_are_torchs_to_the_last_bit_also_when_it_goes_on_from_what_it_remembered(dtype: torch.dtype) -> None:
    ours, theirs = network(dtype), network(dtype)
    optimizer = AdamW(groups(ours), beta2=0.95, weight_decay=0.1)
    named = [{"params": parameters, "factor": factor} for parameters, factor in groups(theirs)]
    reference = torch.optim.AdamW(named, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for step, rate in enumerate(RATES):
        if step == 2:
            remembered = {name: value.clone() for name, value in optimizer.tensors().items()}
            optimizer = AdamW(groups(ours), beta2=0.95, weight_decay=0.1)
            optimizer.restore(remembered)
        for group in reference.param_groups:
            group["lr"] = rate * group["factor"]
        optimizer.zero_grad()
        reference.zero_grad()
        for model in (ours, theirs):
            backward(model, step)
        optimizer.step(rate)
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_step_imports_no_compiler() -> None:
    code = """
import sys, torch
from raymill.adamw import AdamW
layer = torch.nn.Linear(2, 1)
optimizer = AdamW([([*layer.parameters()], 1.0)], beta2=0.99, weight_decay=0.0)
layer(torch.ones(3, 2)).sum().backward()
torch.nn.utils.clip_grad_norm_(optimizer.parameters, 1.0)
optimizer.step(0.1)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
