#include "threads.hpp"
#include "tile.hpp"

namespace chiliad {
namespace {

struct NumberTile {
    static constexpr int ROWS_MAX = TILE_ROWS;
    static constexpr long BURST = 16;  // pairs of inputs

    static long bursts(const Product &p) { return (p.inputs / 2 + BURST - 1) / BURST; }

    template <Sink SINK, bool ADAPTED, int ROWS>
    static void run(const Product &p, long panel, long row, Ahead ahead) {
        const long pairs = p.inputs / 2;
        const bf16 *x = p.x + row * p.inputs;
        const bf16 *w = reinterpret_cast<const bf16 *>(p.packed.data) + panel * PANEL * p.inputs;
        LoraAhead<ROWS> lora_ahead;
        if constexpr (ADAPTED) lora_ahead = LoraAhead<ROWS>(p, TileLora(p, panel, row), bursts(p));
        Floats sums[ROWS][VECTORS];
        for (auto &one : sums)
            for (auto &sum : one) sum = zero();
        for (long start = 0; start < pairs; start += BURST) {
            ahead.fetch();
            if constexpr (ADAPTED) lora_ahead.fetch(start / BURST);
            const long stop = start + BURST < pairs ? start + BURST : pairs;
            for (long k = start; k < stop; k++) {
                Pairs weights[VECTORS];
                for (int v = 0; v < VECTORS; v++) weights[v] = pairs_at(w + k * 2 * PANEL + 32 * v);
                for (int i = 0; i < ROWS; i++) {
                    const Pairs both = pair_everywhere(x + i * p.inputs + 2 * k);
                    for (int v = 0; v < VECTORS; v++) sums[i][v] = dot(sums[i][v], both, weights[v]);
                }
            }
        }
        if constexpr (ADAPTED) add_lora<ROWS>(sums, TileLora(p, panel, row));
        put<SINK, ROWS>(p, panel, row, sums);
    }
};

}  // namespace

void product_piece(const Product &product, long piece) {
    product.packed.format == Format::BF16 ? compute<NumberTile>(product, piece) : code_piece(product, piece);
}

void linear(const bf16 *x, const Packed &packed, bf16 *y, long rows, long outputs, long inputs) {
    CodeRoom room;
    Product product{x, rows, inputs, outputs, packed, Sink::STORE, y};
    if (packed.format != Format::BF16) {
        room.reserve(rows, inputs);
        product.coded = room.rows();
        for (long row = 0; row < rows; row++) code_row(x + row * inputs, row, inputs, product.coded);
    }
    parallel_for(product.pieces(), 1 + product.panels() / (4 * threads_available()), [&](long begin, long end) {
        for (long piece = begin; piece < end; piece++) product_piece(product, piece);
    });
}

}  // namespace chiliad
