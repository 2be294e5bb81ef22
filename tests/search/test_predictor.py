from pathlib import Path

import numpy as np
import pytest
import torch

from superserve_cli.errors import BadFile
from superserve_cli.search import predictor
from superserve_cli.search.genes import Genes
from superserve_cli.supernet import family
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.supernet.ofa_resnet import OfaResNet50


def mlp(inputs: int) -> torch.nn.Sequential:
    torch.manual_seed(0)
    sizes = [(inputs, 20), (20, 20), (20, 20)]
    hidden = [layer for pair in sizes for layer in (torch.nn.Linear(*pair), torch.nn.ReLU())]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(20, 1, bias=False))


def saved(path: Path, network: torch.nn.Sequential, **more: torch.Tensor) -> Path:
    """As Once-for-All writes it: `layers.0.0.weight` and so on, without the places of the activations."""
    renamed = {f"layers.{int(name.split('.')[0]) // 2}.0.{name.split('.')[1]}": t for name, t in network.state_dict().items()}
    renamed["layers.3.weight"] = renamed.pop("layers.3.0.weight")
    torch.save({**renamed, **more}, path)
    return path


def test_a_predictor_of_once_for_all_says_what_its_network_says(tmp_path: Path) -> None:
    architecture = family("ofa-resnet50")(resolutions=(128, 224))
    genes, network = Genes(architecture.space), mlp(82)
    found = predictor.load(saved(tmp_path / "p.pth", network, base_acc=torch.tensor(0.75)), "ofa-resnet50", architecture, genes)
    rows = genes.sample(5, np.random.default_rng(0))
    expected = network(torch.from_numpy(found.encode(genes, rows)).float())[:, 0].detach().numpy() + 0.75
    assert found(rows) == pytest.approx(expected, abs=1e-6)


def test_resnets_are_encoded_as_resolution_stem_widths_and_the_expand_ratios_of_blocks_that_run() -> None:
    architecture = OfaResNet50(resolutions=(128, 224))
    genes = Genes(architecture.space)
    config = {"d": [0, 0, 2, 1, 0], "e": [0.35] + [0.2] * 17, "w": [0, 1, 2, 2, 2, 2], "r": 224}
    (row,) = predictor._resnet(genes, genes.encode([architecture.subnet(config)]), 224)
    assert row.shape == (82,)
    side, stem, width, expand = np.split(row, [8, 10, 28])
    assert side.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert stem.tolist() == [1, 0]
    assert width.reshape(6, 3).argmax(1).tolist() == [0, 1, 2, 2, 2, 2]
    running = expand.reshape(18, 3).sum(1).tolist()
    assert running == [1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0]
    assert expand.reshape(18, 3)[0].tolist() == [0, 0, 1]


def test_mobilenets_are_encoded_in_the_older_and_the_newer_way() -> None:
    architecture = OfaMbv3(resolutions=(160, 224))
    genes = Genes(architecture.space)
    rows = genes.encode([architecture.subnet({"ks": 7, "e": 4, "d": 2, "r": 160})])
    new, old = predictor._mbv3(6)(genes, rows, 224)[0], predictor._mbv3(8)(genes, rows, 224)[0]
    assert (new.shape, old.shape) == ((126,), (128,))
    assert new[:6].tolist() == [0, 1, 0, 0, 0, 0]
    assert old[-8:].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert new[6:].tolist() == old[:-8].tolist()
    kernels = old[:60].reshape(20, 3)
    assert kernels.sum(1).tolist() == [1, 1, 0, 0] * 5
    assert kernels[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("inputs", "name", "settings", "complaint"),
    [
        (80, "ofa-resnet50", {}, "takes 80 numbers, not 82"),
        (82, "ofa-mbv3", {}, "takes 82 numbers, not 126 or 128"),
        (82, "conv", {"shape": (1, 8, 8), "classes": 3}, "no predictor for conv"),
    ],
)
def test_a_predictor_of_another_family_is_refused(
    tmp_path: Path, inputs: int, name: str, settings: dict[str, object], complaint: str
) -> None:
    architecture = family(name)(**settings)
    with pytest.raises(BadFile, match=complaint):
        predictor.load(saved(tmp_path / "p.pth", mlp(inputs)), name, architecture, Genes(architecture.space))


def test_a_resolution_that_the_predictor_has_not_seen_is_refused(tmp_path: Path) -> None:
    architecture = family("ofa-resnet50")(shape=(3, 200, 200), resolutions=(200,))
    genes = Genes(architecture.space)
    found = predictor.load(saved(tmp_path / "p.pth", mlp(82)), "ofa-resnet50", architecture, genes)
    with pytest.raises(BadFile, match="does not know the resolution 200"):
        found(genes.extremes)


def test_a_file_that_holds_no_predictor_is_refused(tmp_path: Path) -> None:
    architecture = family("ofa-resnet50")()
    genes = Genes(architecture.space)
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "a.pth")
    torch.save({"layers.0.weight": torch.zeros(3, 82), "layers.1.weight": torch.zeros(1, 4)}, tmp_path / "b.pth")
    torch.save({"layers.0.weight": torch.zeros(3)}, tmp_path / "c.pth")
    for file, complaint in (("a.pth", "has the parameter conv1.weight"), ("b.pth", "do not yield one number"), ("c.pth", "not fully")):
        with pytest.raises(BadFile, match=complaint):
            predictor.load(tmp_path / file, "ofa-resnet50", architecture, genes)
