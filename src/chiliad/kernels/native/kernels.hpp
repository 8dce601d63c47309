// What the compiled files offer each other and module.cpp. Matrices are dense and row-major; a stride counts elements
// between rows. bfloat16 numbers travel as their 16 bits; all arithmetic is in float32.
#pragma once

#include <cstdint>

namespace chiliad {

using bf16 = std::uint16_t;

constexpr long PANEL = 48;  // outputs that one pass over x computes

// The build says how many float32 numbers a register holds: 16 or 8. Of the smaller ones there are half as many, too.
constexpr int fitting(int wanted) { return CHILIAD_LANES == 16 ? wanted : wanted / 4; }

constexpr int TILE_ROWS = fitting(8);  // rows of x whose sums are in registers at once: 8 * 48 / 16 = 24 of 32

// y = x * factor, of so many numbers.
void multiply(const bf16 *x, float factor, bf16 *y, long size);

// y = x * scale * weight with scale = 1 / sqrt(mean(x^2) + eps), kept for the way back.
void rms_norm(const bf16 *x, const bf16 *weight, float eps, bf16 *y, float *scale, long rows, long width);
void rms_norm_backward(const bf16 *grad, const bf16 *x, const bf16 *weight, const float *scale, bf16 *out, long rows,
                       long width);

// gate_up: [rows, 2 * width], gate first; y: [rows, width] = silu(gate) * up.
void swiglu(const bf16 *gate_up, bf16 *y, long rows, long width);
void swiglu_backward(const bf16 *grad, const bf16 *gate_up, bf16 *out, long rows, long width);

// x: [rows, heads * dim], rows x_stride apart; cos, sin: [rows, dim]; y dense. `turn` is 1 forward and -1 backward.
void rotate(const bf16 *x, long x_stride, const bf16 *cos, const bf16 *sin, float turn, bf16 *y, long rows, long heads,
            long dim);

// nll[row] = log(sum(exp(logits))) - logits[target]; correct[row]: the target is the first of the largest.
// With `slope`, softmax(logits) - onehot(target) takes the place of the logits.
void cross_entropy(bf16 *logits, const std::int64_t *targets, float *nll, bool *correct, bool slope, long rows,
                   long vocab);

// best[row]: the first of a row's largest numbers, or of its NaNs if it has any.
void argmax(const float *x, std::int64_t *best, long rows, long width);

}  // namespace chiliad
