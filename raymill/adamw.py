"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) by torch's fused kernel, of which it asks nothing else.

It takes the steps of `torch.optim.AdamW(fused=True)` to the last bit. That class imports torch's compiler when it is
made, which is one to two seconds of processor time at the start of every rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from raymill.models import ParameterGroup

_BETA1 = 0.9
_EPS = 1e-8
_STATE = ("step", "exp_avg", "exp_avg_sq")
State = dict[str, torch.Tensor]


class AdamW:
    """Parameters in groups, each with its factor on the learning rate; one without a gradient is left as it is."""

    def __init__(self, groups: Sequence[ParameterGroup], *, beta2: float, weight_decay: float) -> None:
        self.parameters = [parameter for parameters, _ in groups for parameter in parameters]
        self._factors = [factor for parameters, factor in groups for _ in parameters]
        self._beta2, self._weight_decay = beta2, weight_decay
        self._states: dict[int, State] = {}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Takes a step with the gradients that are there."""
        alike: dict[tuple[float, torch.device, torch.dtype], list[int]] = {}
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                kind = (self._factors[index], parameter.device, parameter.dtype)
                alike.setdefault(kind, []).append(index)
        for (factor, _, _), indices in alike.items():
            self._step(indices, learning_rate * factor)

    def _step(self, indices: Sequence[int], learning_rate: float) -> None:
        states = [self._state_of(index) for index in indices]
        steps, averages, squares = ([state[name] for state in states] for name in _STATE)
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [self.parameters[index] for index in indices],
            [gradient for index in indices if (gradient := self.parameters[index].grad) is not None],
            averages,
            squares,
            [],
            steps,
            lr=learning_rate,
            beta1=_BETA1,
            beta2=self._beta2,
            weight_decay=self._weight_decay,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
        )

    def _state_of(self, index: int) -> State:
        if index not in self._states:
            parameter = self.parameters[index]
            self._states[index] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self._states[index]

    def tensors(self) -> State:
        """All that it remembers, as `INDEX.NAME`: the parameter's place and what is remembered of it."""
        return {f"{index}.{name}": value for index, state in self._states.items() for name, value in state.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Puts back what `tensors` gave, on each parameter's device."""
        self._states = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            self._state_of(int(index))[key].copy_(value)
