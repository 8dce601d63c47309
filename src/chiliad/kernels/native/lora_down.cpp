#include "step.hpp"
#include "vectors.hpp"

#include <utility>

namespace chiliad {
namespace {

constexpr long AHEAD = 2048;  // numbers that one row alone fetches ahead: it is as fast as memory. What follows `down` is `up`
constexpr int INNER = 2;  // inner products of a row that are summed at once

template <int ROWS>
void tile(const bf16 *x, long inputs, const LoraPart &part, bf16 *inner, long inner_stride) {
    for (long j = 0; j < part.inner; j += INNER) {
        Floats sums[ROWS][INNER];
        for (auto &row : sums)
            for (auto &sum : row) sum = zero();
        for (long k = 0; k < inputs; k += 32) {
            Pairs down[INNER];
            for (int i = 0; i < INNER; i++) {
                const bf16 *at = part.down + (j + i) * inputs + k;
                if (ROWS == 1) fetch_line_close(at + AHEAD);
                down[i] = numbers_at(at, inputs - k);
            }
            for (int row = 0; row < ROWS; row++) {
                const Pairs in = numbers_at(x + row * inputs + k, inputs - k);
                for (int i = 0; i < INNER; i++) sums[row][i] = dot(sums[row][i], in, down[i]);
            }
        }
        for (int row = 0; row < ROWS; row++)
            for (int i = 0; i < INNER; i++)
                store(inner + row * inner_stride + j + i, splat(sum_of(sums[row][i])), 1);
    }
}

template <int... LESS>
void tile_of(std::integer_sequence<int, LESS...>, long rows, const bf16 *x, long inputs, const LoraPart &part, bf16 *inner,
          long inner_stride) {
    constexpr decltype(&tile<1>) BY_ROWS[] = {tile<LESS + 1>...};
    BY_ROWS[rows - 1](x, inputs, part, inner, inner_stride);
}

void turn_site(const bf16 *square, long rank, bf16 *inner) {
    float before[CORE_RANK_MAX];
    for (long i = 0; i < rank; i += 16) {
        const Mask mask = lanes(rank - i);
        store(before + i, load(inner + i, mask), mask);
    }
    for (long j = 0; j < rank; j += 16) {
        const Mask mask = lanes(rank - j);
        Floats sum = zero();
        for (long i = 0; i < rank; i++)
            sum = fma(splat(before[i]), load(square + i * rank + j, mask), sum);
        store(inner + j, sum, mask);
    }
}

}  // namespace

void lora_down(const bf16 *x, long rows, long inputs, const LoraPart &part, bf16 *inner, long inner_stride) {
    for (long row = 0; row < rows; row += TILE_ROWS) {
        const long left = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        tile_of(std::make_integer_sequence<int, TILE_ROWS>(), left, x + row * inputs, inputs, part, inner + row * inner_stride,
             inner_stride);
    }
}

void turn_row(const bf16 *core, const LoraPart &part, bf16 *inner) {
    const bf16 *square = core + part.core;
    for (const SiteUp &site : part.sites) {
        const long rank = 2 * site.pairs;
        turn_site(square, rank, inner + 2 * site.pair);
        square += rank * rank;
    }
}

}  // namespace chiliad
