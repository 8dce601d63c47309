// Matrix products of a training pass: wide ones with a frozen matrix, thin ones with LoRA factors, and those factors'
// gradients.
#pragma once

#include "lora.hpp"

namespace chiliad::training {

// A frozen matrix as `linear` takes it: [panels, inputs / 2, PANEL, 2].
struct Matrix {
    const bf16 *packed;
    long outputs, inputs;
};

// Rows of tokens that share an expert's factors.
struct Run {
    long begin, end;
    const Factors *factors;
};

// The inner products of LoRA, columns `stride` apart. `pairs` holds the same numbers with two rows of a run side by side,
// [pairs of rows, stride, 2], zeros beside an odd last row: as the gradients of the factors need them.
struct Inner {
    bf16 *rows, *pairs;
    long stride;
};

// y = sums, or y = residual + sums where there is one. Rows are `stride` apart.
struct Output {
    bf16 *y;
    const bf16 *residual = nullptr;
};

// y [rows, outputs] = x [rows, inputs] W^T in float32, for a matrix with very many inputs.
void long_product(const bf16 *x, const Matrix &w, long rows, float *y);

// inner = x thin^T for rows [begin, end) of a run whose first pair of rows is `pair`; begin is even within the run.
// For the calling thread alone.
void thin_product(const bf16 *x, const Run &run, long pair, long begin, long end, const Inner &inner);

// to[r * rank_step + i * width_step] += scale * sum over rows of inner[row, column + r] * x[row, i].
struct Gradient {
    const bf16 *pairs;  // of the inner product, from the run's first row and the site's first column on
    long pairs_stride;
    const bf16 *x;  // from the run's first row on
    long x_stride, rows, rank, width;
    float *to;
    long rank_step, width_step;
    float scale;
};

void add_gradients(const std::vector<Gradient> &gradients);

// y [rows, outputs] = x [rows, inputs] W^T + inner wide^T, in one sum; and gradients, which share nothing with it: small
// pieces of work for the thread that would wait for the other's last large one.
void product(const bf16 *x, const Matrix &w, const std::vector<Run> &runs, const Inner &inner, const Output &out,
             const std::vector<Gradient> &beside = {});

}  // namespace chiliad::training
