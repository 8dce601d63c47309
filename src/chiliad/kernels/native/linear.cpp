#include "step.hpp"
#include "threads.hpp"
#include "vectors.hpp"

#include <utility>

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

// What the adapters of a tile's rows add to one panel.
struct TileLora {
    const LoraPart *const *loras;
    const bf16 *inner;
    long inner_stride, place, panel;

    const LoraPart *of(int row) const { return loras[row] && loras[row][place].inner ? loras[row] + place : nullptr; }
};

// Numbers to be fetched, 32 to a line.
struct Stream {
    const bf16 *at = nullptr;
    long lines = 0;

    void fetch(long from, long to) const {
        for (long line = from; line < to && line < lines; line++) _mm_prefetch(at + 32 * line, _MM_HINT_T1);
    }
};

// The factors that every row's adapter needs at the end of this tile, and its share of those that are read after the
// product. They come from memory, line by line, in step with the sums: otherwise 32 adapters would be waited for.
template <int ROWS>
struct LoraAhead {
    Stream ups[ROWS], downs[ROWS];
    long share = 0, turn = 0;  // lines of `downs` for one turn, and which turn is next

    LoraAhead() = default;

    LoraAhead(const Product &p, const TileLora &lora, long bursts) : turn(lora.panel * bursts) {
        for (int row = 0; row < ROWS; row++) {
            const LoraPart *part = lora.of(row), *next = lora.loras[row] ? lora.loras[row] + p.next : nullptr;
            if (row && lora.loras[row] == lora.loras[row - 1]) continue;
            for (int i = 0; part && i < SITES_MAX; i++)
                if (const bf16 *up = part->sites[i].of(lora.panel)) ups[row] = {up, part->sites[i].pairs * 2 * PANEL / 32};
            if (next) downs[row] = {next->down, next->inner * next->inputs / 32};
            const long turns = p.panels() * bursts, needed = (downs[row].lines + turns - 1) / turns;
            share = needed > share ? needed : share;
        }
    }

    void fetch(long burst) {
        for (int row = 0; row < ROWS; row++) {
            ups[row].fetch(burst, burst + 1);
            downs[row].fetch(turn * share, (turn + 1) * share);
        }
        turn++;
    }
};

template <int ROWS>
inline void add_lora(__m512 (&sums)[ROWS][VECTORS], const TileLora &lora) {
    for (int row = 0; row < ROWS; row++) {
        const LoraPart *part = lora.of(row);
        for (int i = 0; part && i < SITES_MAX; i++) {
            const SiteUp &site = part->sites[i];
            const bf16 *up = site.of(lora.panel), *inner = lora.inner + row * lora.inner_stride + 2 * site.pair;
            for (long k = 0; up && k < site.pairs; k++) {
                const __m512bh both = pair_everywhere(inner + 2 * k);
                for (int v = 0; v < VECTORS; v++)
                    sums[row][v] = _mm512_dpbf16_ps(sums[row][v], both, pairs_at(up + k * 2 * PANEL + 32 * v));
            }
        }
    }
}

template <Sink SINK>
inline void put(void *y, long at, __m512 sum, __mmask16 mask) {
    if constexpr (SINK == Sink::STORE) {
        store(static_cast<bf16 *>(y) + at, sum, mask);
    } else {
        float *out = static_cast<float *>(y) + at;
        if constexpr (SINK == Sink::ADD) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
        _mm512_mask_storeu_ps(out, mask, sum);
    }
}

// Rows [row, row + ROWS) of one panel.
template <Sink SINK, bool ADAPTED, int ROWS>
void tile(const Product &p, long panel, long row, Ahead ahead) {
    const long pairs = p.inputs / 2, valid = p.outputs - panel * PANEL;
    const bf16 *x = p.x + row * p.inputs, *w = p.packed + panel * PANEL * p.inputs;
    const TileLora lora = ADAPTED ? TileLora{p.loras + row, p.inner + row * p.inner_stride, p.inner_stride, p.place, panel}
                                  : TileLora{};
    const long bursts = (pairs + STEPS_AHEAD - 1) / STEPS_AHEAD;
    LoraAhead<ROWS> lora_ahead;
    if constexpr (ADAPTED) lora_ahead = LoraAhead<ROWS>(p, lora, bursts);
    __m512 sums[ROWS][VECTORS];
    for (auto &one : sums)
        for (auto &sum : one) sum = _mm512_setzero_ps();
    for (long start = 0; start < pairs; start += STEPS_AHEAD) {
        ahead.fetch();
        if constexpr (ADAPTED) lora_ahead.fetch(start / STEPS_AHEAD);
        const long stop = start + STEPS_AHEAD < pairs ? start + STEPS_AHEAD : pairs;
        for (long k = start; k < stop; k++) {
            __m512bh weights[VECTORS];
            for (int v = 0; v < VECTORS; v++) weights[v] = pairs_at(w + k * 2 * PANEL + 32 * v);
            for (int i = 0; i < ROWS; i++) {
                const __m512bh both = pair_everywhere(x + i * p.inputs + 2 * k);
                for (int v = 0; v < VECTORS; v++) sums[i][v] = _mm512_dpbf16_ps(sums[i][v], both, weights[v]);
            }
        }
    }
    if constexpr (ADAPTED) add_lora<ROWS>(sums, lora);
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS && 16 * v < valid; v++)
            put<SINK>(p.y, (row + i) * p.outputs + panel * PANEL + 16 * v, sums[i][v], lanes(valid - 16 * v));
}

template <Sink SINK, bool ADAPTED, int... LESS>
void compute(const Product &p, long piece, std::integer_sequence<int, LESS...>) {
    constexpr decltype(&tile<SINK, ADAPTED, 1>) TILES[] = {tile<SINK, ADAPTED, LESS + 1>...};  // of 1, 2 ... rows
    const long panel = piece % p.panels(), begin = piece / p.panels() * ROWS_BLOCK;
    const long end = begin + ROWS_BLOCK < p.rows ? begin + ROWS_BLOCK : p.rows;
    const long passes = (end - begin + TILE_ROWS - 1) / TILE_ROWS, bursts = (p.inputs / 2 + STEPS_AHEAD - 1) / STEPS_AHEAD;
    const bool fetching = passes > 1 && panel + 1 < p.panels();  // one pass is as fast as memory: nothing to gain
    const long lines = fetching ? (STEPS_AHEAD * PANEL * 4 / 64 + passes - 1) / passes : 0;
    const char *next = reinterpret_cast<const char *>(p.packed + (panel + 1) * PANEL * p.inputs);
    for (long row = begin, pass = 0; row < end; row += TILE_ROWS, pass++)
        TILES[(end - row < TILE_ROWS ? end - row : TILE_ROWS) - 1](p, panel, row, Ahead{next + pass * bursts * lines * 64, lines});
}

template <Sink SINK>
void compute(const Product &p, long piece) {
    constexpr std::make_integer_sequence<int, TILE_ROWS> less;
    p.loras ? compute<SINK, true>(p, piece, less) : compute<SINK, false>(p, piece, less);
}

}  // namespace

void product_piece(const Product &product, long piece) {
    switch (product.sink) {
        case Sink::STORE: return compute<Sink::STORE>(product, piece);
        case Sink::ADD: return compute<Sink::ADD>(product, piece);
        case Sink::FLOAT: return compute<Sink::FLOAT>(product, piece);
    }
}

void linear(const bf16 *x, const bf16 *packed, bf16 *y, long m, long n, long k) {
    const Product product{x, m, k, n, packed, Sink::STORE, y};
    parallel_for(product.pieces(), 1 + product.panels() / (4 * threads_available()), [&](long begin, long end) {
        for (long piece = begin; piece < end; piece++) product_piece(product, piece);
    });
}

}  // namespace chiliad
