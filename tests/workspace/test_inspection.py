"""An inspection against what training measured itself, and a smaller version made from one that serves."""

import pytest

from chiliad.adapters import load_adapter
from chiliad.errors import RegistryError
from chiliad.models import SITES
from chiliad.workspace import TrainOptions
from chiliad.workspace.inspection.inspection import RankCost, ranks_to_try, suggested_rank
from tests.tiny import QUICK

TAUGHT = TrainOptions(rank=4, epochs=3, learning_rate=5e-3, baselines=False)


@pytest.fixture
def expert(workspace, table):
    return workspace.train("tickets", table, base="tiny", options=TAUGHT)


def cost(rank, exact, loss):
    return RankCost(rank, 100 * rank, loss, exact)


@pytest.mark.parametrize(
    ("smaller", "suggested"),
    [
        ([cost(4, 0.9, 0.50), cost(2, 0.9, 0.505), cost(1, 0.9, 0.6)], 2),
        ([cost(4, 0.8, 0.50), cost(2, 0.9, 0.505)], 2),  # each rank is judged by itself
        ([cost(4, 0.8, 0.40), cost(2, 0.7, 0.5)], None),
        ([cost(0, 1.0, 0.1)], None),  # the base alone is no adapter
        ([], None),
    ],
)
def test_the_smallest_rank_that_loses_nothing(smaller, suggested):
    assert suggested_rank([cost(8, 0.9, 0.5), *smaller]) == suggested


def test_ranks_from_the_own_one_down():
    assert ranks_to_try(8) == [8, 6, 4, 3, 2, 1]
    assert ranks_to_try(5) == [5, 4, 3, 2, 1]
    assert ranks_to_try(1) == [1]


def test_what_is_found_is_what_training_measured(workspace, expert):
    found = workspace.inspect("tickets")
    training = expert.version.training
    full, *smaller, none = found.costs
    best = training["best_epoch"] - 1
    assert full.loss == pytest.approx(training["dev_loss"][best][1], rel=0.02)  # the file has bfloat16
    assert [one.rank for one in smaller] == [3, 2, 1]
    assert (none.rank, none.bytes) == (0, 0)
    assert abs(none.loss - full.loss) > abs(smaller[0].loss - full.loss)
    layers = expert.served.model.config.num_layers
    assert [(one.layer, one.site) for one in found.changes] == [(n, site) for n in range(layers) for site in SITES]
    assert all(one.size > 0 and 1 <= one.effective_rank <= 4 for one in found.changes)
    assert full.bytes == load_adapter(expert.folder).bytes
    page = found.to_html()
    assert page.count("<rect x=") == 2 * len(found.changes)
    assert "://" not in page
    assert "<script" not in page
    assert found.to_json()["suggestion"] == found.suggestion


def test_a_smaller_rank_becomes_the_next_version_and_can_be_corrected(workspace, expert, tmp_path):
    made = workspace.prune("tickets", 1, baselines=False)
    version = made.version
    assert (version.number, version.parent, version.dataset_hash) == (2, 1, expert.version.dataset_hash)
    assert (version.training["rank"], version.training["pruned_from_rank"]) == (1, 4)
    assert "run" not in version.training
    assert made.comparison.n == len(workspace.own_dataset(expert).test)
    assert load_adapter(made.folder).bytes * 4 == load_adapter(expert.folder).bytes
    assert made("where is box 99") in {"status", "refund", "damage"}
    workspace.promote("tickets@2", force=True)
    corrected = workspace.correct("tickets", [{"text": "pause my plan", "label": "status"}], options=QUICK)
    assert corrected.version.training["rank"] == 1


def test_only_a_smaller_rank_can_be_made(workspace, expert):
    for rank in (4, 0, 9):
        with pytest.raises(RegistryError, match="is not smaller"):
            workspace.prune("tickets", rank)
    assert len(workspace.registry.versions("tickets")) == 1
