#include "step.hpp"
#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>

namespace chiliad {
namespace {

constexpr long PIECE = 8192;  // numbers below which another thread is not worth waking

long rows_of_piece(long width) { return 1 + PIECE / width; }

}  // namespace

void rms_norm(const bf16 *x, const bf16 *weight, float eps, bf16 *y, float *scale, long rows, long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *in = x + row * width;
            __m512 squares = _mm512_setzero_ps();
            for (long i = 0; i < width; i += 16) {
                const __m512 v = load(in + i, lanes(width - i));
                squares = _mm512_fmadd_ps(v, v, squares);
            }
            scale[row] = 1.f / std::sqrt(_mm512_reduce_add_ps(squares) / static_cast<float>(width) + eps);
            const __m512 factor = _mm512_set1_ps(scale[row]);
            for (long i = 0; i < width; i += 16) {
                const __mmask16 mask = lanes(width - i);
                const __m512 normed = _mm512_mul_ps(load(in + i, mask), factor);
                store(y + row * width + i, _mm512_mul_ps(normed, load(weight + i, mask)), mask);
            }
        }
    });
}

void rms_norm_backward(const bf16 *grad, const bf16 *x, const bf16 *weight, const float *scale, bf16 *out, long rows,
                       long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *g = grad + row * width, *in = x + row * width;
            __m512 dots = _mm512_setzero_ps();
            for (long i = 0; i < width; i += 16) {
                const __mmask16 mask = lanes(width - i);
                const __m512 inner = _mm512_mul_ps(load(g + i, mask), load(weight + i, mask));
                dots = _mm512_fmadd_ps(inner, load(in + i, mask), dots);
            }
            const float s = scale[row];
            const __m512 factor = _mm512_set1_ps(s);
            const __m512 along = _mm512_set1_ps(_mm512_reduce_add_ps(dots) / static_cast<float>(width) * s * s * s);
            for (long i = 0; i < width; i += 16) {
                const __mmask16 mask = lanes(width - i);
                const __m512 inner = _mm512_mul_ps(load(g + i, mask), load(weight + i, mask));
                const __m512 sum = _mm512_fnmadd_ps(load(in + i, mask), along, _mm512_mul_ps(inner, factor));
                store(out + row * width + i, sum, mask);
            }
        }
    });
}

void swiglu_row(const bf16 *gate_up, bf16 *y, long width) {
    for (long i = 0; i < width; i += 16) {
        const __mmask16 mask = lanes(width - i);
        const __m512 gate = load(gate_up + i, mask), up = load(gate_up + width + i, mask);
        store(y + i, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid(gate)), up), mask);
    }
}

void scale_row(bf16 *x, const bf16 *scales, long width) {
    for (long i = 0; i < width; i += 16) {
        const __mmask16 mask = lanes(width - i);
        store(x + i, _mm512_mul_ps(load(x + i, mask), load(scales + i, mask)), mask);
    }
}

void swiglu(const bf16 *gate_up, bf16 *y, long rows, long width) {
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) swiglu_row(gate_up + row * 2 * width, y + row * width, width);
    });
}

void swiglu_backward(const bf16 *grad, const bf16 *gate_up, bf16 *out, long rows, long width) {
    const __m512 one = _mm512_set1_ps(1.f);
    parallel_for(rows, rows_of_piece(width), [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const bf16 *gates = gate_up + row * 2 * width, *ups = gates + width;
            bf16 *grad_gates = out + row * 2 * width, *grad_ups = grad_gates + width;
            for (long i = 0; i < width; i += 16) {
                const __mmask16 mask = lanes(width - i);
                const __m512 gate = load(gates + i, mask), g = load(grad + row * width + i, mask);
                const __m512 share = sigmoid(gate), silu = _mm512_mul_ps(gate, share);
                // silu' = sigmoid * (1 + gate - silu)
                const __m512 slope = _mm512_mul_ps(share, _mm512_add_ps(one, _mm512_sub_ps(gate, silu)));
                store(grad_gates + i, _mm512_mul_ps(_mm512_mul_ps(g, load(ups + i, mask)), slope), mask);
                store(grad_ups + i, _mm512_mul_ps(g, silu), mask);
            }
        }
    });
}

void embed_row(const bf16 *embedding, float *x, long width) {
    for (long i = 0; i < width; i += 16) _mm512_mask_storeu_ps(x + i, lanes(width - i), load(embedding + i, lanes(width - i)));
}

void norm_row(const float *x, const bf16 *weight, float eps, bf16 *y, long width) {
    __m512 squares = _mm512_setzero_ps();
    for (long i = 0; i < width; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(lanes(width - i), x + i);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    const float mean = _mm512_reduce_add_ps(squares) / static_cast<float>(width);
    const __m512 factor = _mm512_set1_ps(1.f / std::sqrt(mean + eps));
    for (long i = 0; i < width; i += 16) {
        const __mmask16 mask = lanes(width - i);
        const __m512 normed = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        store(y + i, _mm512_mul_ps(normed, load(weight + i, mask)), mask);
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
