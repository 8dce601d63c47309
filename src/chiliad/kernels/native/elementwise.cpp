#include "step.hpp"
#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>

namespace chiliad {
namespace {

constexpr long PIECE = 8192;  // numbers below which another thread is not worth waking

long rows_of_piece(long width) { return 1 + PIECE / width; }

}  // namespace

void multiply(const bf16 *x, float factor, bf16 *y, long size) {
    for (long i = 0; i < size; i += 16) {
        const Mask mask = lanes(size - i);
        store(y + i, load(x + i, mask) * splat(factor), mask);
    }
}

void rms_norm(const bf16 *x, const bf16 *weight, float eps, bf16 *y, float *scale, long rows, long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *in = x + row * width;
            Floats squares = zero();
            for (long i = 0; i < width; i += 16) {
                const Floats v = load(in + i, lanes(width - i));
                squares = fma(v, v, squares);
            }
            scale[row] = 1.f / std::sqrt(sum_of(squares) / static_cast<float>(width) + eps);
            const Floats factor = splat(scale[row]);
            for (long i = 0; i < width; i += 16) {
                const Mask mask = lanes(width - i);
                const Floats normed = load(in + i, mask) * factor;
                store(y + row * width + i, normed * load(weight + i, mask), mask);
            }
        }
    });
}

void rms_norm_backward(const bf16 *grad, const bf16 *x, const bf16 *weight, const float *scale, bf16 *out, long rows,
                       long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *g = grad + row * width, *in = x + row * width;
            Floats dots = zero();
            for (long i = 0; i < width; i += 16) {
                const Mask mask = lanes(width - i);
                const Floats inner = load(g + i, mask) * load(weight + i, mask);
                dots = fma(inner, load(in + i, mask), dots);
            }
            const float s = scale[row];
            const Floats factor = splat(s);
            const Floats along = splat(sum_of(dots) / static_cast<float>(width) * s * s * s);
            for (long i = 0; i < width; i += 16) {
                const Mask mask = lanes(width - i);
                const Floats inner = load(g + i, mask) * load(weight + i, mask);
                const Floats sum = fnma(load(in + i, mask), along, inner * factor);
                store(out + row * width + i, sum, mask);
            }
        }
    });
}

void swiglu_row(const bf16 *gate_up, bf16 *y, long width) {
    for (long i = 0; i < width; i += 16) {
        const Mask mask = lanes(width - i);
        const Floats gate = load(gate_up + i, mask), up = load(gate_up + width + i, mask);
        store(y + i, gate * sigmoid(gate) * up, mask);
    }
}

void scale_row(bf16 *x, const bf16 *scales, long width) {
    for (long i = 0; i < width; i += 16) {
        const Mask mask = lanes(width - i);
        store(x + i, load(x + i, mask) * load(scales + i, mask), mask);
    }
}

void swiglu(const bf16 *gate_up, bf16 *y, long rows, long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) swiglu_row(gate_up + row * 2 * width, y + row * width, width);
    });
}

void swiglu_backward(const bf16 *grad, const bf16 *gate_up, bf16 *out, long rows, long width) {
    const Floats one = splat(1.f);
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *gates = gate_up + row * 2 * width, *ups = gates + width;
            bf16 *grad_gates = out + row * 2 * width, *grad_ups = grad_gates + width;
            for (long i = 0; i < width; i += 16) {
                const Mask mask = lanes(width - i);
                const Floats gate = load(gates + i, mask), g = load(grad + row * width + i, mask);
                const Floats share = sigmoid(gate), silu = gate * share;
                // silu' = sigmoid * (1 + gate - silu)
                const Floats slope = share * (one + gate - silu);
                store(grad_gates + i, g * load(ups + i, mask) * slope, mask);
                store(grad_ups + i, g * silu, mask);
            }
        }
    });
}

void embed_row(const bf16 *embedding, float *x, long width) {
    for (long i = 0; i < width; i += 16) store(x + i, load(embedding + i, lanes(width - i)), lanes(width - i));
}

void norm_row(const float *x, const bf16 *weight, float eps, bf16 *y, long width) {
    Floats squares = zero();
    for (long i = 0; i < width; i += 16) {
        const Floats v = load(x + i, lanes(width - i));
        squares = fma(v, v, squares);
    }
    const float mean = sum_of(squares) / static_cast<float>(width);
    const Floats factor = splat(1.f / std::sqrt(mean + eps));
    for (long i = 0; i < width; i += 16) {
        const Mask mask = lanes(width - i);
        const Floats normed = load(x + i, mask) * factor;
        store(y + i, normed * load(weight + i, mask), mask);
    }
}

void rotate(const bf16 *x, long x_stride, const bf16 *cos, const bf16 *sin, float turn, bf16 *y, long rows, long heads,
            long dim) {
    parallel_for(rows, rows_of_piece(heads * dim), [=](long begin, long end) {
        for (long row = begin; row < end; row++)
            rotate_heads(x + row * x_stride, cos + row * dim, sin + row * dim, turn, y + row * heads * dim, heads, dim);
    });
}

}  // namespace chiliad
