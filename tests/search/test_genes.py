import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption
from superserve_cli.search.genes import Genes
from superserve_cli.supernet import Dimension, Gate, Space

SPACE = Space(
    (
        Dimension("d", "depth", (1, 2), 2),
        Dimension("e", "expand", (0.2, 0.25, 0.35), 4, "012", (None, Gate("depth", 0, 2), None, Gate("depth", 1, 2))),
    )
)
GENES = Genes(SPACE)
seeds = st.integers(0, 99)


@given(seed=seeds)
def test_rows_and_ids_name_the_same_subnets(seed: int) -> None:
    ids = SPACE.sample(20, np.random.default_rng(seed))
    assert GENES.decode(GENES.encode(ids)) == ids
    rows = GENES.sample(20, np.random.default_rng(seed))
    assert np.array_equal(GENES.encode(GENES.decode(rows)), rows)


@given(seed=seeds)
def test_children_are_canonical_and_mix_their_parents(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ones, others = GENES.sample(9, rng), GENES.sample(9, rng)
    children = GENES.cross(ones, others, rng)
    assert all(subnet in SPACE for subnet in GENES.decode(children))
    assert ((children == ones) | (children == others) | (children == 0)).all()
    assert all(subnet in SPACE for subnet in GENES.decode(GENES.mutate(children, 0.5, rng)))
    assert np.array_equal(GENES.mutate(children, 0.0, rng), children)


def test_every_subnet_of_a_space_is_one_row() -> None:
    every = GENES.all()
    assert len(every) == len(np.unique(every, axis=0)) == SPACE.size
    assert GENES.decode(GENES.extremes) == [SPACE.smallest, SPACE.largest]


def test_a_gene_that_has_no_meaning_sets_no_indicator() -> None:
    (smallest, largest) = GENES.indicators(GENES.extremes, "expand")
    assert smallest.reshape(4, 3).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert largest.reshape(4, 3).tolist() == [[0, 0, 1]] * 4
    assert GENES.indicators(GENES.extremes).shape == (2, 4 + 12)


def test_what_is_outside_the_space_has_no_row() -> None:
    with pytest.raises(BadOption, match="depth is 'd13'"):
        GENES.encode(["d13-e0000"])
