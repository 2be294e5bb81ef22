"""Training of all subnets at once, by the sandwich rule with in-place distillation (Yu et al., BigNAS, section 3.1)."""

import math
from collections.abc import Mapping

import numpy as np
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.layers import Plan
from superserve_cli.supernet.program import bind, by_batch, views
from superserve_cli.training.recipe import Recipe

RANDOM_SUBNETS = 2


def sandwich(architecture: Architecture, recipe: Recipe, step: int) -> list[Subnet]:
    """The subnets of one step: the largest, which teaches, then the smallest and two random ones, which depend on seed and step.

    A teacher that knows nothing holds a transformer back, so that `recipe.alone` may let it learn first, as DynaBERT does.
    """
    space = architecture.space
    if step < recipe.alone * recipe.steps:
        return [space.largest]
    return [space.largest, space.smallest, *space.sample(RANDOM_SUBNETS, np.random.default_rng([recipe.seed, 1, step]))]


def batch_of(step: int, recipe: Recipe, images: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The images of one step: every epoch is a permutation which depends on the seed and the epoch alone."""
    per_epoch = max(1, images // recipe.batch)
    epoch, place = divmod(step, per_epoch)
    return np.random.default_rng([recipe.seed, 2, epoch]).permutation(images)[place * recipe.batch : (place + 1) * recipe.batch]


def learning_rate(step: int, recipe: Recipe) -> float:
    """A linear warm-up, then half a cosine down to zero (Loshchilov & Hutter, SGDR)."""
    rise = max(1, round(recipe.steps * recipe.warm_up))
    if step < rise:
        return recipe.learning_rate * (step + 1) / rise
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(1, recipe.steps - rise))) / 2


def backward(plans: list[Plan], weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> tuple[float, float]:
    """Accumulate the gradients of one step; loss and accuracy of the teacher, the first plan. Its soft labels teach the others."""
    take = views(weights)
    teacher, *students = (bind(plan, take, by_batch(take)) for plan in plans)
    logits = teacher(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()  # type: ignore[no-untyped-call]
    soft = F.softmax(logits.detach(), dim=1)
    for student in students:
        F.cross_entropy(student(x), soft).backward()  # type: ignore[no-untyped-call]
    return loss.item(), (logits.argmax(1) == y).float().mean().item()
