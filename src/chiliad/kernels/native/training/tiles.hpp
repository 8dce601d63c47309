// Tiles of a product: a few rows times a few vectors of outputs, whose sums stay in registers while k runs.
// Every sum runs over k in order in one accumulator: its bits do not depend on the tile that it falls into.
#pragma once

#include "../vectors.hpp"

#include <type_traits>

namespace chiliad::training {
namespace {

// Pairs of numbers that follow each other along k: the pair k of a row is at at[row * row_step + k * pair_step].
struct Left {
    const bf16 *at;
    long row_step;
    long pair_step = 2;
};

// [pairs, width, 2]: the pair k of an output is at at[k * 2 * width + 2 * output].
struct Right {
    const bf16 *at;
    long width;
};

template <int ROWS, int VECTORS>
struct Tile {
    Floats sums[ROWS][VECTORS];

    Tile() {
        for (auto &row : sums)
            for (auto &sum : row) sum = zero();
    }

    [[gnu::always_inline]] void add(const Left &x, const Right &w, long pairs) {
        const bf16 *left = x.at, *right = w.at;
        for (long k = 0; k < pairs; k++, left += x.pair_step, right += 2 * w.width) {
            Pairs both[VECTORS];
            for (int v = 0; v < VECTORS; v++) both[v] = pairs_at(right + 32 * v);
            for (int row = 0; row < ROWS; row++) {
                const Pairs pair = pair_everywhere(left + row * x.row_step);
                for (int v = 0; v < VECTORS; v++) sums[row][v] = dot(sums[row][v], pair, both[v]);
            }
        }
    }
};

// Calls f(first row, how many as a compile-time constant) for all rows, MOST at a time and then ever fewer.
template <int MOST, class F>
[[gnu::always_inline]] inline void in_tiles(long begin, long end, const F &f) {
    for (; end - begin >= MOST; begin += MOST) f(begin, std::integral_constant<int, MOST>{});
    if constexpr (MOST > 1) in_tiles<MOST / 2>(begin, end, f);
}

}  // namespace
}  // namespace chiliad::training
