#include "kernels.hpp"
#include "threads.hpp"

#include <immintrin.h>

namespace chiliad {
namespace {

constexpr int VECTORS = PANEL / 16;
constexpr long STEPS_AHEAD = 16;  // pairs of k between two bursts of prefetches

// Where a pass fetches its share of the panel that comes next, while it computes from this one.
struct Ahead {
    const char *at;
    long lines;  // of 64 bytes, for every STEPS_AHEAD steps

    void fetch() {
        for (long i = 0; i < lines; i++, at += 64) _mm_prefetch(at, _MM_HINT_T1);
    }
};

template <int ROWS>
inline void store(const __m512 (&sums)[ROWS][VECTORS], void *y, bool y_is_float, long n, long first, long valid) {
    for (int row = 0; row < ROWS; row++) {
        for (int v = 0; v < VECTORS; v++) {
            const long left = valid - 16 * v;
            if (left <= 0) break;
            const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
            const long place = row * n + first + 16 * v;
            if (y_is_float) {
                _mm512_mask_storeu_ps(static_cast<float *>(y) + place, mask, sums[row][v]);
            } else {
                const __m256i narrow = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[row][v]));
                _mm256_mask_storeu_epi16(static_cast<bf16 *>(y) + place, mask, narrow);
            }
        }
    }
}

template <int ROWS>
void tile(const bf16 *x, long x_stride, const bf16 *panel, long pairs, Ahead ahead, void *y, bool y_is_float, long n,
          long first, long valid) {
    __m512 sums[ROWS][VECTORS];
    for (auto &row : sums)
        for (auto &sum : row) sum = _mm512_setzero_ps();
    for (long start = 0; start < pairs; start += STEPS_AHEAD) {
        ahead.fetch();
        const long stop = start + STEPS_AHEAD < pairs ? start + STEPS_AHEAD : pairs;
        for (long k = start; k < stop; k++) {
            __m512bh w[VECTORS];
            for (int v = 0; v < VECTORS; v++)
                w[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + k * 2 * PANEL + 32 * v));
            for (int row = 0; row < ROWS; row++) {
                int pair;
                __builtin_memcpy(&pair, x + row * x_stride + 2 * k, sizeof pair);
                const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
                for (int v = 0; v < VECTORS; v++) sums[row][v] = _mm512_dpbf16_ps(sums[row][v], both, w[v]);
            }
        }
    }
    store<ROWS>(sums, y, y_is_float, n, first, valid);
}

using Tile = decltype(&tile<1>);
constexpr Tile TILES[TILE_ROWS + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>, tile<7>, tile<8>};

}  // namespace

void linear(const bf16 *x, long x_stride, const bf16 *packed, void *y, bool y_is_float, long m, long n, long k) {
    const long panels = (n + PANEL - 1) / PANEL, passes = (m + TILE_ROWS - 1) / TILE_ROWS, pairs = k / 2;
    const long lines = (STEPS_AHEAD * PANEL * 4 / 64 + passes - 1) / passes;
    const long bursts = (pairs + STEPS_AHEAD - 1) / STEPS_AHEAD;
    const long piece = 1 + panels / (8 * threads_available());
    parallel_for(panels, piece, [=](long begin, long end) {
        for (long p = begin; p < end; p++) {
            const bf16 *panel = packed + p * PANEL * k;
            const char *next = reinterpret_cast<const char *>(panel + PANEL * k);
            const long valid = n - p * PANEL < PANEL ? n - p * PANEL : PANEL;
            for (long pass = 0; pass < passes; pass++) {
                const long row = pass * TILE_ROWS, rows = m - row < TILE_ROWS ? m - row : TILE_ROWS;
                const Ahead ahead{next + pass * bursts * lines * 64, p + 1 < panels ? lines : 0};
                void *place = y_is_float ? static_cast<void *>(static_cast<float *>(y) + row * n)
                                         : static_cast<void *>(static_cast<bf16 *>(y) + row * n);
                TILES[rows](x + row * x_stride, x_stride, panel, pairs, ahead, place, y_is_float, n, p * PANEL, valid);
            }
        }
    });
}

}  // namespace chiliad
