"""An expert that is a prefix through the whole circle, computed in PyTorch; elsewhere refused before it is trained."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from chiliad.adapters import AdapterKind, PrefixAdapter
from chiliad.config import EngineSettings
from chiliad.errors import BrokenAdapter, NotServed, WrongBase
from chiliad.kernels import dispatch, native_for
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_peft import export_peft
from chiliad.registry.import_ import import_adapter
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.many import Many
from chiliad.workspace.many.plan import Named
from chiliad.workspace.plan import plan
from chiliad.workspace.preferring import drafted
from tests.models.architectures import base_folder, make
from tests.tiny import QUICK, ROWS

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

OPTIONS = replace(QUICK, kind=AdapterKind.PREFIX, rank=None, virtual_tokens=4, epochs=2)
QUESTION = "where is box 99"


@pytest.fixture
def in_pytorch(monkeypatch):
    """As with CHILIAD_NATIVE=0, which is read once in a process."""
    monkeypatch.setattr(dispatch, "_path", dispatch.Absent("a test"))


@pytest.fixture
def settings(settings):
    return replace(settings, engine=EngineSettings(context_max=256))


@pytest.fixture
def prefixed(in_pytorch, workspace, table):
    return workspace.train("prefixed", table, base="tiny", options=OPTIONS)


def test_it_is_trained_answers_and_continues(workspace, prefixed):
    adapter = prefixed.served.adapter_in(prefixed.folder)
    assert isinstance(adapter, PrefixAdapter)
    assert (adapter.shape.virtual_tokens, prefixed.version.training["virtual_tokens"]) == (4, 4)
    assert "rank" not in prefixed.version.training
    assert prefixed(QUESTION) in {"status", "refund", "damage"}
    rows = [{"text": f"lid {n} is broken", "label": "refund"} for n in range(3)]
    corrected = workspace.correct("prefixed", rows, options=TrainOptions(epochs=1, baselines=False))
    assert corrected.ref.number == 2
    assert corrected.served.adapter_in(corrected.folder).shape == adapter.shape


def test_an_export_is_what_peft_loads_and_import_takes(workspace, settings, prefixed, tmp_path):
    export_peft(prefixed.version, prefixed.folder, tmp_path / "out")
    base = prefixed.served.base
    hf = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    ids = torch.tensor([[3, 7, 11, 20]])
    with torch.no_grad():
        plain = hf(ids).logits
        assert (PeftModel.from_pretrained(hf, tmp_path / "out").eval()(ids).logits - plain).abs().max() > 1e-3
    version = import_adapter(workspace.registry, "taken", tmp_path / "out", base)
    assert version.training["adapter"] == "prefix"
    workspace.registry.promote("taken", version.number, force=True)
    assert workspace.ask("taken", QUESTION) == prefixed(QUESTION)
    with pytest.raises(BrokenAdapter, match="no LoRA does the same"):
        export_gguf(prefixed.version, prefixed.folder, base, tmp_path / "gguf")
    other = base_folder(tmp_path / "narrow", make("llama, untied, wide heads")[0])
    (tmp_path / "out" / "expert.json").unlink()
    with pytest.raises(WrongBase):
        import_adapter(workspace.registry, "elsewhere", tmp_path / "out", other)


def test_a_context_that_leaves_no_positions_is_refused_before_it_is_trained(in_pytorch, workspace, settings, table):
    with (
        Workspace.open(replace(settings, engine=EngineSettings())) as roomy,
        pytest.raises(NotServed, match="at most 508"),
    ):
        roomy.train("prefixed", table, base="tiny", options=OPTIONS)
    assert workspace.registry.experts() == []


def test_where_native_kernels_compute_it_is_refused_before_it_is_trained(workspace, table):
    if native_for() is None:
        pytest.skip("no native kernels")
    with pytest.raises(NotServed, match="CHILIAD_NATIVE=0"):
        workspace.train("prefixed", table, base="tiny", options=OPTIONS)
    assert workspace.registry.experts() == []
    with pytest.raises(NotServed, match="CHILIAD_NATIVE=0"):
        plan(workspace, drafted(workspace, "prefixed", table, base="tiny", options=OPTIONS))
    collection = [{"expert": "prefixed", "text": text, "label": label} for text, label in ROWS]
    planned = Many(workspace, collection, title=None, named=Named(), base="tiny", options=OPTIONS).plan()
    assert not planned.to_do
    assert "CHILIAD_NATIVE=0" in str(planned)
