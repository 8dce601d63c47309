// The Python module. Addresses come as integers from `Tensor.data_ptr()`: the Python side, which checks types and shapes,
// is the only caller, and a call costs well under a microsecond.
#include "decoder.hpp"
#include "kernels.hpp"
#include "lora.hpp"
#include "threads.hpp"
#include "training/module.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <type_traits>
#include <vector>

namespace nb = nanobind;

namespace {

template <class T>
using Argument = std::conditional_t<std::is_pointer_v<T>, std::uintptr_t, T>;

template <class T>
T as(Argument<T> value) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<T>(value);
    } else {
        return value;
    }
}

template <class... T>
void offer(nb::module_ &m, const char *name, void (*kernel)(T...)) {
    m.def(name, [kernel](Argument<T>... arguments) {
        const nb::gil_scoped_release released;
        kernel(as<T>(arguments)...);
    });
}

// Whether this processor can run what this module was compiled for.
bool supported() {
#if CHILIAD_LANES == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
}

using Address = std::uintptr_t;

const chiliad::bf16 *numbers(Address address) { return reinterpret_cast<const chiliad::bf16 *>(address); }

using Matrix = std::tuple<Address, int>;

chiliad::Packed packed(const Matrix &matrix) {
    return {reinterpret_cast<const std::uint8_t *>(std::get<0>(matrix)), chiliad::Format(std::get<1>(matrix))};
}

void linear(Address x, const Matrix &matrix, Address y, long rows, long outputs, long inputs) {
    const nb::gil_scoped_release released;
    chiliad::linear(numbers(x), packed(matrix), reinterpret_cast<chiliad::bf16 *>(y), rows, outputs, inputs);
}

using Site = std::tuple<long, long, Address, Address>;
using Group = std::tuple<long, std::vector<Site>>;

void make_lora(chiliad::Lora *self, const std::vector<Group> &groups, Address begin, float scale) {
    std::vector<chiliad::GroupFactors> factors;
    for (const auto &[inputs, sites] : groups) {
        factors.push_back({inputs, {}});
        for (const auto &[outputs, rank, a, b] : sites)
            factors.back().sites.push_back({outputs, rank, numbers(begin + a), numbers(begin + b)});
    }
    const nb::gil_scoped_release released;
    new (self) chiliad::Lora(factors, scale);
}

using Chunk = std::tuple<std::vector<long>, long, std::vector<Address>, const chiliad::Lora *, Address, Address, long>;

void run(chiliad::Decoder &decoder, const std::vector<Chunk> &work, Address logits) {
    std::vector<chiliad::Chunk> chunks;
    for (const auto &[tokens, start, blocks, lora, core, scales, wanted] : work) {
        chunks.push_back({tokens, start, {}, lora, numbers(core), numbers(scales), wanted});
        for (const Address block : blocks) chunks.back().blocks.push_back(reinterpret_cast<chiliad::bf16 *>(block));
    }
    const nb::gil_scoped_release released;
    decoder.run(chunks, reinterpret_cast<float *>(logits));
}

void offer_lora(nb::module_ &m) {
    nb::class_<chiliad::Lora>(m, "Lora")
        .def("__init__", make_lora)
        .def("keep_spare", &chiliad::Lora::keep_spare, nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("nbytes", &chiliad::Lora::bytes);
}

void offer_decoder(nb::module_ &m) {
    nb::class_<chiliad::Decoder>(m, "Decoder")
        .def("__init__",
             [](chiliad::Decoder *self, long hidden, long intermediate, long vocab, long heads, long kv_heads, long dim,
                float eps, Address embedding, Address cos, Address sin, Address final_norm, const Matrix &head) {
                 const chiliad::Shape shape{hidden, intermediate, vocab, {kv_heads, heads / kv_heads, dim}, eps};
                 new (self) chiliad::Decoder(shape, {numbers(embedding), numbers(cos), numbers(sin),
                                                     numbers(final_norm), packed(head)});
             })
        .def("add_layer",
             [](chiliad::Decoder &self, Address attention_norm, Address mlp_norm, const Matrix &qkv, const Matrix &o,
                const Matrix &gate_up, const Matrix &down, Address qkv_bias, Address q_norm, Address k_norm) {
                 self.add({numbers(attention_norm), numbers(mlp_norm), packed(qkv), packed(o), packed(gate_up),
                           packed(down), {numbers(qkv_bias), numbers(q_norm), numbers(k_norm), self.shape().eps}});
             })
        .def("run", run);
}

}  // namespace

NB_MODULE(CHILIAD_MODULE, m) {
    nb::set_leak_warnings(false);  // what a program holds to its end is not a leak
    m.def("supported", supported);
    m.def("threads_available", chiliad::threads_available);
    m.attr("PANEL") = chiliad::PANEL;
    m.attr("BLOCK") = chiliad::BLOCK;
    m.def("linear", linear);
    offer(m, "rms_norm", chiliad::rms_norm);
    offer(m, "rms_norm_backward", chiliad::rms_norm_backward);
    offer(m, "swiglu", chiliad::swiglu);
    offer(m, "swiglu_backward", chiliad::swiglu_backward);
    offer(m, "rotate", chiliad::rotate);
    offer(m, "cross_entropy", chiliad::cross_entropy);
    offer(m, "argmax", chiliad::argmax);
    offer_lora(m);
    offer_decoder(m);
    chiliad::training::offer(m);
}
