#include "threads.hpp"
#include "vectors.hpp"

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
inline void write(const __m512 (&sums)[ROWS][VECTORS], bf16 *y, long n, long valid) {
    for (int row = 0; row < ROWS; row++)
        for (int v = 0; v < VECTORS && 16 * v < valid; v++)
            store(y + row * n + 16 * v, sums[row][v], lanes(valid - 16 * v));
}

template <int ROWS>
void tile(const bf16 *x, long x_stride, const bf16 *panel, long pairs, Ahead ahead, bf16 *y, long n,
          long valid) {
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
    write<ROWS>(sums, y, n, valid);
}

using Tile = decltype(&tile<1>);
constexpr Tile TILES[TILE_ROWS + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>, tile<7>, tile<8>};

}  // namespace

void linear(const bf16 *x, long x_stride, const bf16 *packed, bf16 *y, long m, long n, long k) {
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
                TILES[rows](x + row * x_stride, x_stride, panel, pairs, ahead, y + row * n + p * PANEL, n,
                            valid);
            }
        }
    });
}

}  // namespace chiliad
