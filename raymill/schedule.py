"""The learning rate as a pure function of how far training is."""

from __future__ import annotations

import math

from raymill.train_spec import ScheduleSpec


def learning_rate_factor(schedule: ScheduleSpec, step: int, total_steps: int) -> float:
    """The share of the peak learning rate at a global step, in (0, 1].

    cosine: linear warm-up over a share of the steps, then half a cosine (Loshchilov & Hutter 2017).
    coslog4: four cosine cycles, equally long in log time, no warm-up (Holzmüller et al. 2024, section 3).
    """
    share = step / max(total_steps, 1)
    if schedule.type == "coslog4":
        return max(0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * share))), 1e-3)
    warmup_steps = schedule.warmup * total_steps
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule.type == "constant":
        return 1.0
    left = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(left, 1.0)))
