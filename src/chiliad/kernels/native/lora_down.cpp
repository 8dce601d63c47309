#include "step.hpp"
#include "vectors.hpp"

namespace chiliad {
namespace {

constexpr long AHEAD = 2048;  // numbers that one row alone fetches ahead: it is as fast as memory. What follows `down` is `up`
constexpr int INNER = 2;  // inner products of a row that are summed at once

inline __m512bh thirty_two(const bf16 *p, long left) {
    const __mmask32 mask = left >= 32 ? ~0u : (1u << left) - 1;
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(mask, p));
}

template <int ROWS>
void tile(const bf16 *x, long inputs, const LoraPart &part, bf16 *inner, long inner_stride) {
    for (long j = 0; j < part.inner; j += INNER) {
        __m512 sums[ROWS][INNER];
        for (auto &row : sums)
            for (auto &sum : row) sum = _mm512_setzero_ps();
        for (long k = 0; k < inputs; k += 32) {
            __m512bh down[INNER];
            for (int i = 0; i < INNER; i++) {
                const bf16 *at = part.down + (j + i) * inputs + k;
                if (ROWS == 1) _mm_prefetch(at + AHEAD, _MM_HINT_T0);
                down[i] = thirty_two(at, inputs - k);
            }
            for (int row = 0; row < ROWS; row++) {
                const __m512bh in = thirty_two(x + row * inputs + k, inputs - k);
                for (int i = 0; i < INNER; i++) sums[row][i] = _mm512_dpbf16_ps(sums[row][i], in, down[i]);
            }
        }
        for (int row = 0; row < ROWS; row++)
            for (int i = 0; i < INNER; i++)
                store(inner + row * inner_stride + j + i, _mm512_set1_ps(_mm512_reduce_add_ps(sums[row][i])), 1);
    }
}

void turn_site(const bf16 *square, long rank, bf16 *inner) {
    float before[CORE_RANK_MAX];
    for (long i = 0; i < rank; i += 16) {
        const __mmask16 mask = lanes(rank - i);
        _mm512_mask_storeu_ps(before + i, mask, load(inner + i, mask));
    }
    for (long j = 0; j < rank; j += 16) {
        const __mmask16 mask = lanes(rank - j);
        __m512 sum = _mm512_setzero_ps();
        for (long i = 0; i < rank; i++)
            sum = _mm512_fmadd_ps(_mm512_set1_ps(before[i]), load(square + i * rank + j, mask), sum);
        store(inner + j, sum, mask);
    }
}

using Tile = decltype(&tile<1>);
constexpr Tile TILES[TILE_ROWS + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>, tile<7>, tile<8>};

}  // namespace

void lora_down(const bf16 *x, long rows, long inputs, const LoraPart &part, bf16 *inner, long inner_stride) {
    for (long row = 0; row < rows; row += TILE_ROWS) {
        const long left = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        TILES[left](x + row * inputs, inputs, part, inner + row * inner_stride, inner_stride);
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
