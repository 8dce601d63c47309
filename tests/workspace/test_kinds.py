"""Experts of every kind through the whole circle on a tiny base: trained, served, continued, exported, compressed."""

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from chiliad.adapters import AdapterKind, BasisFolder, CoreAdapter, Ia3Adapter, LoraAdapter, load_adapter
from chiliad.engine import SamplingParams
from chiliad.errors import BrokenAdapter, RegistryError, TrainingError
from chiliad.registry.backup import back_up, restore
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_merged import export_merged
from chiliad.registry.export_peft import export_peft
from chiliad.registry.import_ import import_adapter
from chiliad.registry.registry import utc_now
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.compression import compress
from tests.tiny import QUICK

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

SMALL = replace(QUICK, kind=AdapterKind.SHARED_BASIS, rank=4, epochs=3, learning_rate=5e-2)
SCALED = replace(QUICK, kind=AdapterKind.IA3, rank=None, epochs=2)
QUESTION = "where is box 99"


@pytest.fixture
def small(workspace, table):
    return workspace.train("small", table, base="tiny", options=SMALL)


@pytest.fixture
def scaled(workspace, table):
    return workspace.train("scaled", table, base="tiny", options=SCALED)


def _file(expert):
    return expert.folder / "adapter_model.safetensors"


def test_a_small_expert_is_trained_into_kilobytes_and_answers(workspace, small):
    adapter = small.served.adapter_in(small.folder)
    assert isinstance(adapter, CoreAdapter)
    assert max(float(core.abs().max()) for core in adapter.cores.values()) > 0
    assert _file(small).stat().st_size < adapter.bytes + 1024
    assert small.version.training["adapter"] == "shared-basis"
    assert small(QUESTION) in {"status", "refund", "damage"}


def test_experts_of_all_kinds_share_a_batch_and_answer_as_alone(workspace, table, small, scaled):
    lora = workspace.train("lora", table, base="tiny", options=QUICK)
    experts = [small, lora, scaled, small, scaled]
    questions = [f"where is box {number}" for number in range(len(experts))]
    requests = [
        expert.request(question, SamplingParams(max_tokens=8))
        for expert, question in zip(experts, questions, strict=True)
    ]
    together = small.served.engine.generate(requests)
    alone = [small.served.engine.generate([request])[0] for request in requests]
    assert [one.tokens for one in together] == [one.tokens for one in alone]


def test_two_experts_share_one_basis_and_training_repeats(workspace, table, small):
    again = workspace.train("again", table, base="tiny", options=SMALL)
    assert again.version.adapter_hash == small.version.adapter_hash
    assert len(list((workspace.folder / "basis").iterdir())) == 1
    assert len(list(small.served.base.path.glob("basis-*.safetensors"))) == 1


def test_a_correction_continues_from_the_cores(workspace, small, scaled):
    for expert, kind in ((small, CoreAdapter), (scaled, Ia3Adapter)):
        corrected = workspace.correct(
            expert.ref.name,
            [{"text": f"lid {n} is broken", "label": "refund"} for n in range(3)],
            options=TrainOptions(epochs=1, baselines=False),
        )
        assert isinstance(corrected.served.adapter_in(corrected.folder), kind)
        assert corrected.ref.number == 2


def test_the_same_command_after_a_stop_gives_the_same_bits(workspace, table, small):
    class Stop(Exception):
        pass

    calls = []

    def stopping(event):
        calls.append(event)
        if len(calls) == 5:
            raise Stop

    reporter = workspace.reporter
    original = type(reporter).step
    type(reporter).step = lambda self, event: stopping(event)
    try:
        with pytest.raises(Stop):
            workspace.train("stopped", table, base="tiny", options=SMALL)
    finally:
        type(reporter).step = original
    assert (
        workspace.train("stopped", table, base="tiny", options=SMALL).version.adapter_hash == small.version.adapter_hash
    )


def test_a_rank_that_the_base_has_not_is_refused(workspace, table):
    with pytest.raises(TrainingError, match="more directions"):
        workspace.train("wide", table, base="tiny", options=replace(SMALL, rank=250))


def test_an_export_is_a_lora_that_peft_loads_with_the_same_logits_and_import_takes(workspace, small, tmp_path):
    export_peft(small.version, small.folder, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    own = small.served.adapter_in(small.folder).expanded()
    taken = load_adapter(tmp_path / "out", dtype=torch.float32)
    for key, (a, b) in own.factors.items():
        torch.testing.assert_close(taken.factors[key][0], a)
        torch.testing.assert_close(taken.factors[key][1], b, rtol=1e-2, atol=1e-3)
    base = small.served.base
    hf = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    ids = torch.tensor([[3, 7, 11, 20]])
    with torch.no_grad():
        plain = hf(ids).logits
        changed = PeftModel.from_pretrained(hf, tmp_path / "out").eval()(ids).logits
    assert (changed - plain).abs().max() > 1e-4
    version = import_adapter(workspace.registry, "taken", tmp_path / "out", base)
    assert version.training["adapter"] == "lora"
    workspace.registry.promote("taken", version.number, force=True)
    assert workspace.ask("taken", QUESTION) == small(QUESTION)


def test_merged_and_gguf_exports_go_through_the_expansion(small, tmp_path):
    base = small.served.base
    export_merged(small.version, small.folder, base, tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    export_gguf(small.version, small.folder, base, tmp_path / "gguf")
    assert (tmp_path / "gguf" / "lora.gguf").is_file()


def test_ia3_is_exported_as_it_is_and_not_as_what_it_is_not(workspace, scaled, tmp_path):
    export_peft(scaled.version, scaled.folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["peft_type"] == "IA3"
    assert import_adapter(workspace.registry, "taken", tmp_path / "out", scaled.served.base).adapter_hash
    with pytest.raises(BrokenAdapter, match="no LoRA does the same"):
        export_gguf(scaled.version, scaled.folder, scaled.served.base, tmp_path / "gguf")


def test_a_backup_brings_the_basis_along(workspace, small, settings, tmp_path):
    answer = small(QUESTION)
    back_up(workspace.registry, tmp_path / "all.backup", now=utc_now())
    there = replace(settings, workspace=tmp_path / "restored")
    restore(tmp_path / "all.backup", there)
    with Workspace.open(there) as restored:
        assert restored.ask("small", QUESTION) == answer


def test_compressed_experts_are_new_versions_that_are_not_live(workspace, table):
    options = replace(QUICK, rank=2, epochs=2)
    for name, seed in (("one", 0), ("two", 1)):
        workspace.train(name, table, base="tiny", options=replace(options, seed=seed))
    with workspace.reporter as reporter:
        found = compress(workspace, ["one", "two"], 4, reporter)
    for one in found:
        expert = workspace.expert(one.version)
        assert isinstance(expert.served.adapter_in(expert.folder), CoreAdapter)
        assert one.error < 0.02  # two adapters of rank 2 fit into 4 directions
        assert one.before.loss == pytest.approx(one.after.loss, rel=0.05)
        assert expert.version.training["compressed_from"] == str(one.source)
        assert workspace.expert(one.source.name).ref == one.source, "what was live still is"
    assert len(list((workspace.folder / "basis").iterdir())) == 1
    with pytest.raises(RegistryError, match="is no LoRA"), workspace.reporter as reporter:
        compress(workspace, [str(found[0].version)], 4, reporter)


def test_a_missing_basis_is_named(small):
    for path in BasisFolder.of_version(small.folder).root.iterdir():
        path.unlink()
    with pytest.raises(BrokenAdapter, match="shared basis"):
        load_adapter(small.folder, basis=BasisFolder.of_version(small.folder))


def test_inspection_looks_at_what_it_expands_to(workspace, small):
    found = workspace.inspect("small")
    assert found.rank == 4
    assert found.changes
    assert not found.costs, "a smaller rank would be another basis"
    with pytest.raises(RegistryError, match="small already"):
        workspace.prune("small", 2)


def test_a_lora_says_its_kind(workspace, table):
    expert = workspace.train("lora", table, base="tiny", options=QUICK)
    assert expert.version.training["adapter"] == "lora"
    assert isinstance(expert.served.adapter_in(expert.folder), LoraAdapter)
