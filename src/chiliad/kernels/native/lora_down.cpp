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

}  // namespace

void lora_down(const bf16 *x, long rows, long inputs, const LoraPart &part, bf16 *inner, long inner_stride) {
    for (long row = 0; row < rows; row += TILE_ROWS) {
        const long left = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        tile_of(std::make_integer_sequence<int, TILE_ROWS>(), left, x + row * inputs, inputs, part, inner + row * inner_stride,
             inner_stride);
    }
}

}  // namespace chiliad
