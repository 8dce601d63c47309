"""A training pass in compiled code: one call forward, one backward, the experts' gradients filled by the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from chiliad.kernels import CompactWeight, native_for, pack
from chiliad.models import Group, Llama, Transformer
from chiliad.models.codes import CodedMatrices
from chiliad.models.mistral import Mistral
from chiliad.training.lora_state import LoraState
from chiliad.training.loss import Learning, LossTally
from chiliad.training.packed import Packed


class NativePass:
    """`PlainPass` for bfloat16 in main memory. The same rows of an expert give the same bits, whatever other experts are in
    the pass and with any number of threads.

    Holds two copies of the frozen matrices: laid out for the way there and, transposed, for the way back. Those in codes are
    laid out for each product that reads them, one at a time.
    """

    def __init__(self, model: Transformer) -> None:
        """model: `NativePass.fits(model)`."""
        native = native_for(model.embedding)
        assert native is not None
        assert self.fits(model)
        self.model, self._native = model, native
        self._held: list[Tensor] = []
        self._pass = self._build()
        self._experts: WeakKeyDictionary[LoraState, _Expert] = WeakKeyDictionary()

    @staticmethod
    def fits(model: Transformer) -> bool:
        """Whether the compiled code is here and takes this model: a Llama without windows."""
        c = model.config
        even = all(width % 2 == 0 for width in (c.hidden_size, c.intermediate_size, c.head_dim, c.vocab_size))
        plain = type(model) in (Llama, Mistral) and not c.windows
        return plain and native_for(model.embedding, model.head) is not None and even

    def score(self, packed: Packed) -> LossTally:
        """The loss of every answer token."""
        return self._forward(self._batch(packed), packed, keep=False)

    def learn(self, packed: Packed) -> Learning:
        """The same, and the way back."""
        native = self._batch(packed)
        tally = self._forward(native, packed, keep=True)

        def backward(weights: Tensor) -> None:
            assert weights.dtype is torch.float32
            assert weights.shape == packed.targets.shape
            self._pass.backward(native, weights.contiguous().data_ptr())

        return Learning(tally, backward)

    def _forward(self, native: Any, packed: Packed, *, keep: bool) -> LossTally:
        answers = len(packed.targets)
        tally = LossTally(torch.empty(answers), torch.empty(answers, dtype=torch.bool))
        self._pass.forward(native, keep, tally.nll.data_ptr(), tally.correct.data_ptr())
        return tally

    def _batch(self, packed: Packed) -> Any:
        """Each expert's rows behind what they begin with; the numbers stay the tensors' own."""
        numbers = (packed.ids, packed.positions, packed.predicts, packed.targets)
        assert all(t.dtype is torch.int64 and t.is_contiguous() for t in numbers)
        native = self._native.TrainingBatch(len(packed.ids), len(packed.targets), *(t.data_ptr() for t in numbers))
        for segment in packed.segments:
            start, batch = segment.tokens.start, segment.batch
            own = start + batch.grid.shared
            if own > start:
                native.add_row(start, own, start, start)
            for begin, end in batch.spans:
                native.add_row(start + begin, start + end, start, own)
            assert isinstance(segment.state, LoraState), "the compiled pass knows LoRA alone"
            native.add_segment(start, segment.tokens.stop, self._expert(segment.state))
        return native

    def _expert(self, state: LoraState) -> Any:
        if state not in self._experts:
            self._experts[state] = _Expert(self._lay_out(state), None)
        expert = self._experts[state]
        if expert.version != state.version:
            expert.native.refresh()
            expert.version = state.version
        return expert.native

    def _lay_out(self, state: LoraState) -> Any:
        expert = self._native.TrainingExpert(state.shape.scale)
        for layer in range(self.model.config.num_layers):
            for group in Group:
                width_in, outs = self.model.config.group_widths(group)
                expert.add_group(width_in, sum(outs))
                for site in state.sites(layer, group):
                    numbers = (site.down, site.up, site.down_grad, site.up_grad)
                    expert.add_site(site.outputs.start, len(site.up), len(site.down), *(t.data_ptr() for t in numbers))
                expert.close_group()
        return expert

    def _build(self) -> Any:
        model, c = self.model, self.model.config
        ends = [self._keep(t) for t in (model.embedding, model.final_norm, model.cos, model.sin)]
        native = self._native.TrainingPass(
            c.hidden_size,
            c.intermediate_size,
            c.vocab_size,
            c.num_heads,
            c.num_kv_heads,
            c.head_dim,
            c.rms_norm_eps,
            [*ends, *self._both_ways(model.head)],
        )
        for i, layer in enumerate(model.layers):
            norms = self._keep(layer.attention_norm), self._keep(layer.mlp_norm)
            if isinstance(layer.weights, CodedMatrices):
                parts = [address for group in Group for address in self._parts(layer.weights.kept[group])]
                native.add_coded_layer(*norms, parts)
            else:
                packed = [address for group in Group for address in self._both_ways(model.weight(i, group))]
                native.add_layer(*norms, packed)
        return native

    def _both_ways(self, weight: Tensor) -> tuple[int, int]:
        return self._keep(pack(weight)), self._keep(pack(weight.t()))

    def _parts(self, weight: CompactWeight) -> tuple[int, int, int]:
        offset = 0 if weight.offset is None else self._keep(weight.offset)
        return self._keep(weight.codes), self._keep(weight.scale), offset

    def _keep(self, tensor: Tensor) -> int:
        """The address of the numbers, which stay as long as this pass."""
        assert tensor.is_contiguous()
        self._held.append(tensor)
        return tensor.data_ptr()


@dataclass
class _Expert:
    """An expert's factors as the compiled code keeps them; version: of the master weights that they are a copy of."""

    native: Any
    version: int | None
