"""The CIFAR ResNets of He et al. with option-A shortcuts, their trained weights and test images.

Used by other scripts and by tests; run alone it prints the two test errors.

Command    python scripts/cifar_resnet.py
Run time   half a minute on one core for 2000 images
Output     test error of ResNet-20 and ResNet-32 on JPEG copies of CIFAR-10's test images (19.0 and 17.4 % on all
           10 000; the published errors on the images themselves are 8.27 and 7.37 %)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut that subsamples and pads with zeros."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        if self.more:
            shortcut = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2)
            )
        x = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(x + shortcut)


class CifarResNet(nn.Module):
    """ResNet of depth 6 n + 2 for 32 x 32 images."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks = (depth - 2) // 6
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(blocks)])
        self.layer2 = nn.Sequential(*[Block(32 if n else 16, 32, 1 if n else 2) for n in range(blocks)])
        self.layer3 = nn.Sequential(*[Block(64 if n else 32, 64, 1 if n else 2) for n in range(blocks)])
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def data_folder() -> Path:
    """`SETOL_DATA`, else the `shared/data` beside the checkout."""
    named = os.environ.get("SETOL_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def trained(depth: int, folder: Path | None = None) -> CifarResNet:
    """ResNet-20 or ResNet-32 with its published weights."""
    files = sorted(((folder or data_folder()) / "resnet_cifar10").glob(f"resnet{depth}*.th"))
    state = torch.load(files[0], map_location="cpu", weights_only=True)["state_dict"]
    net = CifarResNet(depth)
    net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    return net.eval()


def images(count: int, folder: Path | None = None, batch: int = 250) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of `count` normalised test images, evenly spaced (the file is sorted by class), and their labels."""
    (file,) = sorted(((folder or data_folder()) / "cifar10_jpg").glob("*.npz"))
    with np.load(file) as arrays:
        spaced = np.linspace(0, len(arrays["y"]) - 1, count).round().astype(int)
        x, y = arrays["x"][spaced], arrays["y"][spaced]
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return list(zip(pixels.split(batch), torch.from_numpy(y.astype(np.int64)).split(batch)))


def main() -> None:
    import setol_ww as ww

    batches = images(2000)
    for depth in (20, 32):
        print(f"ResNet-{depth}: {ww.classification_metrics(batches)(trained(depth))}")


if __name__ == "__main__":
    main()
