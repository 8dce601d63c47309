"""Every export is loaded by the tool that it is for: peft, transformers, and GGUF readers that are not ours."""

import json
import zipfile

import numpy as np
import pytest
import torch

from chiliad.adapters import content_hash
from chiliad.base import BaseStore
from chiliad.errors import RegistryError, StoreError, WrongBase
from chiliad.models import Llama, LlamaConfig
from chiliad.registry import ExpertFacts
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_merged import export_merged
from chiliad.registry.export_peft import export_peft
from chiliad.registry.merged import BF16_STEP
from tests.base.tiny import TEMPLATE, write_folder, write_gguf
from tests.registry.tiny import write_adapter

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers

IDS = [5, 17, 40, 8, 99, 3]


@pytest.fixture(params=["folder", "gguf"])
def base(request, tmp_path):
    """A tiny base from either kind of source: only one of them keeps a GGUF file beside it."""
    write = {"folder": lambda: write_folder(tmp_path / "tiny"), "gguf": lambda: write_gguf(tmp_path / "tiny.gguf")}
    return BaseStore(tmp_path / "cache").pull(str(write[request.param]()), name="tiny")


@pytest.fixture(params=[False, True], ids=["lora", "rslora"])
def rslora(request):
    return request.param


def add(registry, base, *, rslora=False, **adapter):
    facts = ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="labels", choices=("yes", "no"))
    with registry.write_version("tickets", facts) as draft:
        write_adapter(draft.folder, fingerprint=base.fingerprint, rslora=rslora, **adapter)
        (draft.folder / "chat_template.jinja").write_text(TEMPLATE)
        (draft.folder / "card.md").write_text("# tickets@1\n")
    return registry.get(draft.ref), registry.folder(draft.ref)


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].float()


def peft_logits(base, folder):
    """What transformers and peft compute in float32 with the adapter in `folder`."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.path, dtype="float32"), folder))


def test_peft_loads_what_is_exported(registry, base, tmp_path):
    version, source = add(registry, base)
    parity = export_peft(version, source, tmp_path / "out")
    assert (parity.tensors, parity.difference_max) == (28, 0.0)
    assert content_hash(tmp_path / "out") == version.adapter_hash
    assert torch.equal(peft_logits(base, tmp_path / "out"), peft_logits(base, source))


def test_a_zip_holds_the_same_files(registry, base, tmp_path):
    version, source = add(registry, base)
    export_peft(version, source, tmp_path / "tickets.zip")
    with zipfile.ZipFile(tmp_path / "tickets.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in source.iterdir()
        }


def test_transformers_computes_the_same_with_the_merged_model(registry, base, rslora, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    version, source = add(registry, base, rslora=rslora)
    parity = export_merged(version, source, base, tmp_path / "out", compare=lambda folder: 0.25)
    assert parity.tensors == 20
    assert 0 < parity.difference_max < 0.02
    assert parity.logprob_difference_max == 0.25
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="float32"))
    torch.testing.assert_close(merged, peft_logits(base, source), atol=0.1, rtol=BF16_STEP)
    assert not torch.allclose(
        merged, logits(AutoModelForCausalLM.from_pretrained(base.path, dtype="float32")), atol=0.5
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_transformers_reads_the_gguf_file(registry, base, rslora, tmp_path):
    from transformers import AutoModelForCausalLM

    version, source = add(registry, base, rslora=rslora)
    export_merged(version, source, base, tmp_path / "merged")
    parity = export_gguf(version, source, base, tmp_path / "out")
    assert parity.tensors == 20
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="expert.gguf", dtype="float32")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="float32")
    torch.testing.assert_close(logits(theirs), logits(ours), atol=1e-5, rtol=1e-5)


def test_an_exported_gguf_file_is_a_base_again(registry, base, tmp_path):
    version, source = add(registry, base)
    export_gguf(version, source, base, tmp_path / "out")
    again = BaseStore(tmp_path / "cache").pull(str(tmp_path / "out" / "expert.gguf"), name="again")
    text = "Good morning, 12 the in <|im_end|> ä"
    assert again.tokenizer().encode(text) == base.tokenizer().encode(text)
    assert again.chat_template().source == TEMPLATE
    assert again.config == {**base.config, "pad_token_id": again.config["pad_token_id"]}
    model = Llama.load(again.path, LlamaConfig.from_hf(again.config), dtype=torch.float32)
    assert torch.isfinite(model.hidden(torch.tensor(IDS), torch.arange(len(IDS)))).all()


def test_the_lora_alone_adds_the_same_in_llama_cpps_row_order(registry, base, rslora, tmp_path):
    from gguf import GGUFReader

    version, source = add(registry, base, rslora=rslora)
    export_merged(version, source, base, tmp_path / "merged")
    export_gguf(version, source, base, tmp_path / "out")
    lora = GGUFReader(tmp_path / "out" / "lora.gguf")
    assert lora.fields["general.type"].contents() == "adapter"
    assert lora.fields["adapter.type"].contents() == "lora"
    factors = {tensor.name: tensor.data for tensor in lora.tensors}
    scale = lora.fields["adapter.lora.alpha"].contents() / factors["blk.0.attn_q.weight.lora_a"].shape[0]
    plain = merged_gguf(registry, base, tmp_path, zero=True)
    for name, merged in merged_gguf_tensors(tmp_path / "out" / "expert.gguf").items():
        if f"{name}.lora_a" in factors:
            added = scale * factors[f"{name}.lora_b"] @ factors[f"{name}.lora_a"]
            np.testing.assert_allclose(merged, plain[name] + added, rtol=BF16_STEP)


def merged_gguf(registry, base, tmp_path, *, zero):
    """The tensors of a GGUF file of an expert whose adapter adds nothing."""
    facts = ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="text")
    with registry.write_version("nothing", facts) as draft:
        write_adapter(draft.folder, fingerprint=base.fingerprint, zero=zero)
    version = registry.get(draft.ref)
    export_gguf(version, registry.folder(draft.ref), base, tmp_path / "nothing")
    return merged_gguf_tensors(tmp_path / "nothing" / "expert.gguf")


def merged_gguf_tensors(path):
    from gguf import GGUFReader
    from gguf.quants import dequantize

    return {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(path).tensors}


def test_the_modelfile_speaks_the_turns_of_the_template(registry, base, tmp_path):
    version, source = add(registry, base)
    export_gguf(version, source, base, tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert "FROM ./expert.gguf\n" in text
    assert 'PARAMETER stop """<|im_end|>"""' in text
    template = text.partition('TEMPLATE """')[2].partition('"""')[0]
    head, loop, tail = template.replace("{{ end }}", "{{ range .Messages }}").split("{{ range .Messages }}")
    turns = [("system", "Be short."), ("user", "hi")]
    ollama = head + "".join(loop.replace("{{ .Role }}", r).replace("{{ .Content }}", c) for r, c in turns) + tail
    jinja = base.chat_template().render([{"role": role, "content": content} for role, content in turns])
    assert ollama == jinja


@pytest.mark.parametrize("export", [export_merged, export_gguf])
def test_another_base_is_refused(registry, base, tmp_path, export):
    version, source = add(registry, base)
    other = BaseStore(tmp_path / "cache").pull(str(write_folder(tmp_path / "other", seed=1)), name="other")
    with pytest.raises(WrongBase):
        export(version, source, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_existing_target_is_never_touched(registry, base, tmp_path):
    version, source = add(registry, base)
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    for export in (
        lambda: export_peft(version, source, target),
        lambda: export_merged(version, source, base, target),
        lambda: export_gguf(version, source, base, target),
    ):
        with pytest.raises(RegistryError, match="exists already"):
            export()
    assert [path.name for path in target.iterdir()] == ["thesis.txt"]


def test_files_that_were_changed_are_not_exported(registry, base, tmp_path):
    version, source = add(registry, base)
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 999}))
    for export in (
        lambda: export_peft(version, source, tmp_path / "out"),
        lambda: export_merged(version, source, base, tmp_path / "out"),
    ):
        with pytest.raises(RegistryError, match="not the ones that were registered"):
            export()
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_export(registry, base, small_disk):
    version, source = add(registry, base)
    (small_disk / "ballast").write_bytes(b"x" * 900_000)
    for export in (export_merged, export_gguf):
        with pytest.raises(StoreError, match="disk is full"):
            export(version, source, base, small_disk / "out")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_tokenizer_without_a_name_in_llama_cpp_is_refused(registry, tmp_path):
    folder = write_folder(tmp_path / "tiny")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    base = BaseStore(tmp_path / "cache").pull(str(folder), name="tiny")
    version, source = add(registry, base)
    with pytest.raises(RegistryError, match="convert_hf_to_gguf"):
        export_gguf(version, source, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
