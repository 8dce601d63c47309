// What the products of every number format share: the outputs of one panel for a few rows, an adapter's part, prefetching.
#pragma once

#include "step.hpp"
#include "vectors.hpp"

#include <utility>

namespace chiliad {
namespace {

constexpr int VECTORS = PANEL / 16;

// Where a pass fetches its share of the panel that comes next, while it computes from this one.
struct Ahead {
    const char *at;
    long lines;  // of 64 bytes, for every burst

    void fetch() {
        for (long i = 0; i < lines; i++, at += 64) fetch_line(at);
    }
};

// What the adapters of a tile's rows add to one panel.
struct TileLora {
    const LoraPart *const *loras;
    const bf16 *inner;
    long inner_stride, place, panel;

    TileLora(const Product &p, long panel, long row)
        : loras(p.loras + row), inner(p.inner + row * p.inner_stride), inner_stride(p.inner_stride), place(p.place),
          panel(panel) {}

    const LoraPart *of(int row) const { return loras[row] && loras[row][place].inner ? loras[row] + place : nullptr; }
};

// Numbers to be fetched, 32 to a line.
struct Stream {
    const bf16 *at = nullptr;
    long lines = 0;

    void fetch(long from, long to) const {
        for (long line = from; line < to && line < lines; line++) fetch_line(at + 32 * line);
    }
};

// The factors that every row's adapter needs at the end of this tile, and its share of those that are read after the
// product. They come from memory, line by line, in step with the sums: otherwise 32 adapters would be waited for.
template <int ROWS>
struct LoraAhead {
    Stream ups[ROWS], downs[ROWS];
    int count = 0;             // of different adapters
    long share = 0, turn = 0;  // lines of `downs` for one turn, and which turn is next

    LoraAhead() = default;

    LoraAhead(const Product &p, const TileLora &lora, long bursts) : turn(lora.panel * bursts) {
        for (int row = 0; row < ROWS; row++) {
            const LoraPart *part = lora.of(row), *next = lora.loras[row] ? lora.loras[row] + p.next : nullptr;
            if (!next || (row && lora.loras[row] == lora.loras[row - 1])) continue;
            for (int i = 0; part && i < SITES_MAX; i++)
                if (const bf16 *up = part->sites[i].of(lora.panel)) ups[count] = {up, part->sites[i].pairs * 2 * PANEL / 32};
            downs[count] = {next->down, next->inner * next->inputs / 32};
            const long turns = p.panels() * bursts, needed = (downs[count].lines + turns - 1) / turns;
            share = needed > share ? needed : share;
            count++;
        }
    }

    void fetch(long burst) {
        for (int i = 0; i < count; i++) {
            ups[i].fetch(burst, burst + 1);
            downs[i].fetch(turn * share, (turn + 1) * share);
        }
        turn++;
    }
};

// What `part` adds to ROWS rows.
template <int ROWS>
inline void add_part(Floats (*sums)[VECTORS], const LoraPart &part, const bf16 *inner, const TileLora &lora) {
    for (const SiteUp &site : part.sites) {
        const bf16 *up = site.of(lora.panel);
        for (long k = 0; up && k < site.pairs; k++, up += 2 * PANEL) {
            Pairs ups[VECTORS];
            for (int v = 0; v < VECTORS; v++) ups[v] = pairs_at(up + 32 * v);
            for (int row = 0; row < ROWS; row++) {
                const Pairs both = pair_everywhere(inner + row * lora.inner_stride + 2 * (site.pair + k));
                for (int v = 0; v < VECTORS; v++) sums[row][v] = dot(sums[row][v], both, ups[v]);
            }
        }
    }
}

// Rows of one adapter lie side by side: where the first and the last have the same one, all have.
template <int ROWS>
inline void add_lora(Floats (&sums)[ROWS][VECTORS], const TileLora &lora) {
    if (ROWS > 1 && lora.loras[0] == lora.loras[ROWS - 1]) {
        if (const LoraPart *part = lora.of(0)) add_part<ROWS>(sums, *part, lora.inner, lora);
        return;
    }
    for (int row = 0; row < ROWS; row++)
        if (const LoraPart *part = lora.of(row)) add_part<1>(sums + row, *part, lora.inner + row * lora.inner_stride, lora);
}

template <Sink SINK>
inline void put(void *y, long at, Floats sum, Mask mask) {
    if constexpr (SINK == Sink::STORE) {
        store(static_cast<bf16 *>(y) + at, sum, mask);
    } else {
        float *out = static_cast<float *>(y) + at;
        if constexpr (SINK == Sink::ADD) sum = load(out, mask) + sum;
        store(out, sum, mask);
    }
}

template <Sink SINK, int ROWS>
inline void put(const Product &p, long panel, long row, const Floats (&sums)[ROWS][VECTORS]) {
    const long valid = p.outputs - panel * PANEL;
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS && 16 * v < valid; v++)
            put<SINK>(p.y, (row + i) * p.outputs + panel * PANEL + 16 * v, sums[i][v], lanes(valid - 16 * v));
}

// One piece of a product, a tile of rows after another. Tile::run<SINK, ADAPTED, ROWS>(product, panel, row, ahead) computes
// rows [row, row + ROWS) of one panel, and fetches ahead in Tile::bursts(product) bursts.
template <class Tile, Sink SINK, bool ADAPTED, int... LESS>
void compute(const Product &p, long piece, std::integer_sequence<int, LESS...>) {
    constexpr decltype(&Tile::template run<SINK, ADAPTED, 1>) TILES[] = {&Tile::template run<SINK, ADAPTED, LESS + 1>...};
    const long panel = piece % p.panels(), begin = piece / p.panels() * ROWS_BLOCK;
    const long end = begin + ROWS_BLOCK < p.rows ? begin + ROWS_BLOCK : p.rows;
    const long passes = (end - begin + Tile::ROWS_MAX - 1) / Tile::ROWS_MAX, bursts = Tile::bursts(p);
    const bool fetching = passes > 1 && panel + 1 < p.panels();  // one pass is as fast as memory: nothing to gain
    const long bytes = p.packed.panel_bytes(p.inputs), turns = 64 * bursts * passes;
    const long lines = fetching ? (bytes + turns - 1) / turns : 0;
    const char *next = reinterpret_cast<const char *>(p.packed.data + (panel + 1) * bytes);
    for (long row = begin, pass = 0; row < end; row += Tile::ROWS_MAX, pass++) {
        const long rows = end - row < Tile::ROWS_MAX ? end - row : Tile::ROWS_MAX;
        TILES[rows - 1](p, panel, row, Ahead{next + pass * bursts * lines * 64, lines});
    }
}

template <class Tile, Sink SINK>
void compute(const Product &p, long piece) {
    constexpr std::make_integer_sequence<int, Tile::ROWS_MAX> less;
    p.loras ? compute<Tile, SINK, true>(p, piece, less) : compute<Tile, SINK, false>(p, piece, less);
}

template <class Tile>
void compute(const Product &p, long piece) {
    switch (p.sink) {
        case Sink::STORE: return compute<Tile, Sink::STORE>(p, piece);
        case Sink::ADD: return compute<Tile, Sink::ADD>(p, piece);
        case Sink::FLOAT: return compute<Tile, Sink::FLOAT>(p, piece);
    }
}

}  // namespace
}  // namespace chiliad
