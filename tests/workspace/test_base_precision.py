"""Experts trained on a base in codes, through the whole circle: what comes out is an ordinary adapter that says how."""

import json
from dataclasses import replace

import pytest
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from chiliad.adapters import LoraAdapter
from chiliad.base import BaseStore
from chiliad.config import Precision
from chiliad.errors import TrainingError
from chiliad.models import is_in_codes
from chiliad.workspace import TrainOptions
from chiliad.workspace.compression import compress
from chiliad.workspace.jobs import train
from chiliad.workspace.progress import SilentReporter
from tests.models.architectures import base_folder, make
from tests.tiny import QUICK, ROWS

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

CODED = replace(QUICK, base_precision=Precision.INT4, epochs=2)
QUESTION = "where is box 99"


def _header(expert):
    with safe_open(expert.folder / "adapter_model.safetensors", "pt") as file:
        return file.metadata()


def test_what_comes_out_is_a_lora_that_says_what_it_was_trained_on(workspace, table):
    expert = workspace.train("coded", table, base="tiny", options=CODED)
    assert isinstance(expert.served.adapter_in(expert.folder), LoraAdapter)
    assert expert.version.training["base_precision"] == "int4"
    assert _header(expert)["chiliad.base_precision"] == "int4"
    assert json.loads((expert.folder / "adapter_config.json").read_text())["peft_type"] == "LORA"
    assert expert(QUESTION) in {"status", "refund", "damage"}
    hf = AutoModelForCausalLM.from_pretrained(expert.served.base.path)
    assert PeftModel.from_pretrained(hf, expert.folder).active_adapter == "default"


def test_other_precisions_are_other_runs(workspace, table):
    versions = [
        workspace.train("coded", table, base="tiny", options=replace(CODED, base_precision=precision)).version
        for precision in (None, Precision.BF16, Precision.INT8, Precision.INT8)
    ]
    whole, told, coded, again = (version.training["run"] for version in versions)
    assert whole == told
    assert coded == again
    assert whole != coded
    assert versions[2].adapter_hash == versions[3].adapter_hash != versions[0].adapter_hash
    assert "chiliad.base_precision" not in _header(workspace.expert("coded@1"))


def test_what_is_made_of_it_without_training_says_so_too(workspace, table):
    workspace.train("coded", table, base="tiny", options=replace(CODED, rank=2))
    pruned = workspace.prune("coded", 1, baselines=False)
    compressed = compress(workspace, ["coded@1"], 2, SilentReporter())
    for made in (pruned, *(workspace.expert(one.version) for one in compressed)):
        assert _header(made)["chiliad.base_precision"] == "int4"


def test_a_correction_continues_in_the_precision_of_what_it_corrects(workspace, table):
    workspace.train("coded", table, base="tiny", options=CODED)
    rows = [{"text": f"lid {n} is broken", "label": "refund"} for n in range(3)]
    options = TrainOptions(epochs=1, baselines=False)
    kept = workspace.amend("coded", rows, options=options)
    assert kept.base_precision is Precision.INT4
    assert workspace.run(kept).version.training["base_precision"] == "int4"
    chosen = workspace.amend("coded", rows, options=replace(options, base_precision=Precision.BF16))
    assert chosen.base_precision is Precision.BF16


def test_a_collection_and_a_job_train_in_it_too(workspace, table):
    rows = [{"expert": name, "text": text, "label": label} for name in ("one", "two") for text, label in ROWS]
    report = workspace.train_many(rows, title="both", base="tiny", input="text", output="label", options=CODED)
    assert not report.failed
    assert {workspace.expert(name).version.training["base_precision"] for name in ("one", "two")} == {"int4"}
    submitted = workspace.jobs.train("later", table, base="tiny", options=CODED)
    with train(workspace, workspace.jobs.get(submitted.id)) as result:
        done = result
    assert workspace.expert(done["expert"]).version.training["base_precision"] == "int4"


def test_codes_are_the_memory_that_is_held_and_are_shared_while_somebody_trains(workspace):
    served = workspace.served("tiny")
    coded = served.model_in(Precision.INT4)
    assert is_in_codes(coded)
    assert served.model_in(Precision.INT4) is coded
    assert not is_in_codes(served.model)


def test_a_base_without_codes_is_refused_with_what_to_do(workspace, settings, table, tmp_path):
    base_folder(tmp_path / "narrow", make("llama")[0])
    BaseStore(settings.cache_dir).pull(str(tmp_path / "narrow"), name="narrow")
    with pytest.raises(TrainingError, match=r"no multiple of 32.*in bf16"):
        workspace.train("coded", table, base="narrow", options=CODED)
    assert workspace.registry.experts() == []
