// The training pass in Python. As in the rest of the module addresses are integers, and the Python side is the only caller.
#include "module.hpp"

#include "pass.hpp"

#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace chiliad::training {
namespace {

using Address = std::uintptr_t;

template <class T>
T *at(Address address) {
    return reinterpret_cast<T *>(address);
}

// Of a matrix [outputs, inputs] the two packings.
Frozen frozen(Address forward, Address backward, long outputs, long inputs) {
    return {{at<const bf16>(forward), outputs, inputs}, {at<const bf16>(backward), inputs, outputs}};
}

// Its codes, scales and offsets, 0 for none.
Frozen coded(const Address *parts, long outputs, long inputs) {
    const Codes codes{at<const std::uint8_t>(parts[0]), at<const std::uint16_t>(parts[1]),
                      at<const std::uint16_t>(parts[2]), outputs, inputs};
    return {{}, {}, codes};
}

void make_pass(Pass *self, long hidden, long intermediate, long vocab, long heads, long kv_heads, long dim, float eps,
               const std::vector<Address> &ends) {
    const Ends where{at<const bf16>(ends[0]), at<const bf16>(ends[1]), at<const bf16>(ends[2]), at<const bf16>(ends[3]),
                     frozen(ends[4], ends[5], vocab, hidden)};
    new (self) Pass({hidden, intermediate, vocab, {heads, kv_heads, dim}, eps}, where);
}

void add_layer(Pass &pass, Address attention_norm, Address mlp_norm, const std::vector<Address> &packed) {
    const Shape &s = pass.shape();
    Layer layer{at<const bf16>(attention_norm), at<const bf16>(mlp_norm), {}};
    layer.groups[QKV] = frozen(packed[0], packed[1], s.heads.width(), s.hidden);
    layer.groups[O] = frozen(packed[2], packed[3], s.hidden, s.heads.queries());
    layer.groups[GATE_UP] = frozen(packed[4], packed[5], 2 * s.intermediate, s.hidden);
    layer.groups[DOWN] = frozen(packed[6], packed[7], s.hidden, s.intermediate);
    pass.add(layer);
}

void add_coded_layer(Pass &pass, Address attention_norm, Address mlp_norm, const std::vector<Address> &parts) {
    const Shape &s = pass.shape();
    Layer layer{at<const bf16>(attention_norm), at<const bf16>(mlp_norm), {}};
    layer.groups[QKV] = coded(&parts[0], s.heads.width(), s.hidden);
    layer.groups[O] = coded(&parts[3], s.hidden, s.heads.queries());
    layer.groups[GATE_UP] = coded(&parts[6], 2 * s.intermediate, s.hidden);
    layer.groups[DOWN] = coded(&parts[9], s.hidden, s.intermediate);
    pass.add(layer);
}

void add_site(Expert &expert, long output, long outputs, long rank, Address a, Address b, Address a_grad, Address b_grad) {
    expert.add_site(output, outputs, rank, at<const float>(a), at<const float>(b), at<float>(a_grad), at<float>(b_grad));
}

void make_batch(Batch *self, long tokens, long answers, Address ids, Address positions, Address predicts, Address targets) {
    new (self) Batch{tokens, answers, at<const std::int64_t>(ids), at<const std::int64_t>(positions),
                     at<const std::int64_t>(predicts), at<const std::int64_t>(targets), {}, {}};
}

void add_row(Batch &batch, long begin, long end, long before_begin, long before_end) {
    const long place = batch.rows.empty() ? 0 : batch.rows.back().place + batch.rows.back().before.size();
    batch.rows.push_back({{begin, end}, {before_begin, before_end}, place});
}

void add_segment(Batch &batch, long begin, long end, const Expert &expert) {
    batch.segments.push_back({begin, end, &expert});
}

void forward(Pass &pass, const Batch &batch, bool keep, Address nll, Address correct) {
    pass.forward(batch, keep, at<float>(nll), at<bool>(correct));
}

void backward(Pass &pass, const Batch &batch, Address weights) { pass.backward(batch, at<const float>(weights)); }

}  // namespace

void offer(nb::module_ &m) {
    const nb::call_guard<nb::gil_scoped_release> released;
    nb::class_<Expert>(m, "TrainingExpert")
        .def(nb::init<float>())
        .def("add_group", &Expert::add_group)
        .def("add_site", add_site)
        .def("close_group", &Expert::close_group)
        .def("refresh", &Expert::refresh, released);
    nb::class_<Batch>(m, "TrainingBatch")
        .def("__init__", make_batch)
        .def("add_row", add_row)
        .def("add_segment", add_segment, nb::keep_alive<1, 4>());
    nb::class_<Pass>(m, "TrainingPass")
        .def("__init__", make_pass)
        .def("add_layer", add_layer)
        .def("add_coded_layer", add_coded_layer)
        .def("forward", forward, released)
        .def("backward", backward, released);
}

}  // namespace chiliad::training
