// The Python module. Addresses come as integers from `Tensor.data_ptr()`: the Python side, which checks types and shapes,
// is the only caller, and a call costs well under a microsecond.
#include "kernels.hpp"
#include "threads.hpp"
#include "training/module.hpp"

#include <nanobind/nanobind.h>

#include <type_traits>

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

bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bf16");
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("supported", supported);
    m.def("threads_available", chiliad::threads_available);
    m.attr("PANEL") = chiliad::PANEL;
    offer(m, "linear", chiliad::linear);
    offer(m, "rms_norm", chiliad::rms_norm);
    offer(m, "rms_norm_backward", chiliad::rms_norm_backward);
    offer(m, "swiglu", chiliad::swiglu);
    offer(m, "swiglu_backward", chiliad::swiglu_backward);
    offer(m, "rotate", chiliad::rotate);
    offer(m, "cross_entropy", chiliad::cross_entropy);
    offer(m, "decode_attention", chiliad::decode_attention);
    chiliad::training::offer(m);
}
