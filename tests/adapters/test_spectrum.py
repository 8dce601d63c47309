"""Singular values of B A without forming it, and the closest adapter of a smaller rank, against the whole matrix."""

import pytest
import torch

from chiliad.adapters import LoraAdapter, LoraShape, load_adapter, save_adapter
from chiliad.adapters.spectrum import Spectrum, pruned, spectra


def factors(rank=6, seed=0, outs=40, ins=30):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, ins, generator=generator), torch.randn(outs, rank, generator=generator)


def test_the_values_are_those_of_the_whole_change():
    down, up = factors()
    found = Spectrum.of(down, up)
    torch.testing.assert_close(found.values, torch.linalg.svdvals(up @ down)[:6], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.left @ found.values.diag() @ found.right, up @ down, rtol=1e-4, atol=1e-4)
    assert found.norm == pytest.approx(float((up @ down).norm()), rel=1e-5)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_cut_is_as_close_as_any_matrix_of_that_rank(rank):
    down, up = factors()
    values = torch.linalg.svdvals(up @ down)
    small_down, small_up = Spectrum.of(down, up).cut(rank)
    assert small_down.shape == (rank, 30)
    assert small_up.shape == (40, rank)
    off = float((up @ down - small_up @ small_down).norm())
    assert off == pytest.approx(float(values[rank:].norm()), abs=1e-3)


def test_the_effective_rank_counts_directions():
    equal = Spectrum.of(torch.eye(4, 10), torch.eye(12, 4))
    assert equal.effective_rank == pytest.approx(4)
    one = Spectrum.of(torch.ones(4, 10), torch.ones(12, 4))
    assert one.effective_rank == pytest.approx(1, abs=0.01)
    assert Spectrum.of(torch.ones(4, 10), torch.zeros(12, 4)).effective_rank == 0


@pytest.mark.parametrize("rslora", [False, True])
def test_a_pruned_adapter_on_disk_is_the_cut_of_the_one_that_was_there(tmp_path, rslora):
    shape = LoraShape(6, 12.0, rslora, ("q_proj", "down_proj"))
    pairs = {(layer, site): factors(seed=layer) for layer in range(2) for site in shape.targets}
    for name in ("full", "small"):
        (tmp_path / name).mkdir()
    save_adapter(tmp_path / "full", shape, pairs, base_id="b", base_fingerprint="f")
    full = load_adapter(tmp_path / "full", dtype=torch.float32)
    small_shape, small_pairs = pruned(full, 2)
    assert small_shape.scale == pytest.approx(shape.scale)
    save_adapter(tmp_path / "small", small_shape, small_pairs, base_id="b", base_fingerprint="f")
    small = load_adapter(tmp_path / "small", dtype=torch.float32)
    assert small.rank == 2
    assert small.bytes * 3 == full.bytes
    for key, spectrum in spectra(full).items():
        down, up = small.factors[key]
        wanted = spectrum.left[:, :2] @ spectrum.values[:2].diag() @ spectrum.right[:2]
        assert float((up @ down - wanted).norm()) < 0.01 * float(wanted.norm())  # what bfloat16 takes


def test_the_full_rank_changes_nothing():
    down, up = factors()
    same_down, same_up = Spectrum.of(down, up).cut(6)
    torch.testing.assert_close(same_up @ same_down, up @ down, rtol=1e-4, atol=1e-4)


def test_a_matrix_that_is_narrower_than_the_rank_is_filled_up():
    shape = LoraShape(16, 16.0, False, ("q_proj", "v_proj"))
    wide, narrow = (0, "q_proj"), (0, "v_proj")
    full = LoraAdapter("h", shape, None, {wide: factors(16), narrow: factors(16, outs=8)})
    small_shape, small = pruned(full, 12)
    assert {(down.shape[0], up.shape[1]) for down, up in small.values()} == {(small_shape.rank, small_shape.rank)}
    (down, up), (small_down, small_up) = full.factors[narrow], small[narrow]
    torch.testing.assert_close(small_up @ small_down, up @ down, rtol=1e-4, atol=1e-4)
