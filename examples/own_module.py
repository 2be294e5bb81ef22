"""A network of one's own made elastic: traced, trained for all its subnets, calibrated, saved, run.

    python examples/own_module.py [FOLDER]

The network is plain PyTorch and stays as it is. Its SuperNet in FOLDER needs none of this code:
`superserve inspect FOLDER`, `superserve profile FOLDER`, `superserve serve FOLDER`.
"""

# ruff: noqa: T201  # an example talks to whoever runs it

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from superserve_cli import supernet, tasks
from superserve_cli.supernet import Elastic, SuperNet, subnetact
from superserve_cli.training import Recipe
from superserve_cli.training.calibrate import calibrate
from superserve_cli.training.sandwich import backward, sandwich


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(2 * channels)
        self.reduce, self.norm2 = nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as x."""
        return torch.relu(x + self.norm2(self.reduce(torch.relu(self.norm1(self.expand(x))))))


class Small(nn.Module):
    """A classifier of images with one channel."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(Block(16) for _ in range(3)))
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        found: Tensor = self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))
        return found


def elastic(classes: int, x: Tensor, y: Tensor, steps: int) -> SuperNet:
    """The SuperNet of the network, with one to three blocks of half or full width, trained and calibrated."""
    net = subnetact(Small(classes).eval(), Elastic(depth=(1, 2), width=(0.5,), per="net"), x[:2])
    for weight in net.weights.values():
        weight.requires_grad_()
    optimizer, recipe = torch.optim.AdamW(net.weights.values(), 3e-3), Recipe.of("module", steps=steps)
    for step in range(steps):
        chosen = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        backward([net.plan(subnet) for subnet in sandwich(net.architecture, recipe, step)], net.weights, x[chosen], y[chosen])
        optimizer.step()
    for weight in net.weights.values():
        weight.requires_grad_(False)
    statistics = {subnet: calibrate(net.plan(subnet), net.weights, torch.split(x[:1024], 256)) for subnet in net.space.enumerate()}
    return replace(net, statistics=statistics, _programs={})


def latency_ms(net: SuperNet, subnet: str, x: Tensor) -> float:
    """The median of some runs, in milliseconds."""
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        net.forward(x, subnet)
        taken.append(1000 * (time.perf_counter() - start))
    return median(taken)


def main(folder: Path, steps: int = 150) -> None:
    """Make the SuperNet, save it, load it again and show its subnets."""
    torch.manual_seed(0)
    task = tasks.load("glyphs")
    x, y = torch.from_numpy(task.train.x), torch.from_numpy(task.train.y)
    supernet.save(folder, elastic(task.classes, x, y, steps))
    net = supernet.load(folder)
    images, labels = torch.from_numpy(task.test.x[:500]), torch.from_numpy(task.test.y[:500])
    print(f"{folder}: {net.space.size} subnets of one set of weights")
    print(f"{'subnet':10}{'MACs':>12}{'parameters':>12}{'accuracy':>10}{'one image':>12}")
    with torch.inference_mode():
        for subnet in net.space.enumerate():
            accuracy = (net.forward(images, subnet).argmax(1) == labels).float().mean().item()
            cost = f"{net.macs(subnet):12,}{net.params(subnet):12,}"
            print(f"{subnet:10}{cost}{accuracy:10.1%}{latency_ms(net, subnet, images[:1]):9.2f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own-supernet"))
