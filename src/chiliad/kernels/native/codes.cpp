#include "tile.hpp"

#include <cmath>

namespace chiliad {
namespace {

constexpr int FOURS = BLOCK_INPUTS / 4;  // of inputs, which one instruction multiplies and adds

// Processors multiply unsigned bytes with signed ones. Codes therefore have no sign: where weights do, 128 is added, and taken
// out again by where the sum begins. A product is from -32640 to 32385, and 32 of them stay below 2^24, so that their sum is
// exact, also as float32.

// Four inputs' codes of 16 outputs: those after `four`, an even one, if ODD.
template <Format FORMAT, bool ODD>
inline Bytes codes_at(const std::uint8_t *block, int v, int four) {
    if constexpr (FORMAT == Format::Q8_0) return bytes_at(block + ((four + ODD) * VECTORS + v) * 64);
    const Bytes both = bytes_at(block + (four / 2 * VECTORS + v) * 64);
    return ODD ? high_halves(both) : low_halves(both);
}

// 4 rows of 3 vectors leave room for as many sums of one block: every byte of x that is loaded then serves three products, and
// the loads keep up with the multiplications.
template <Format FORMAT>
struct CodeTile {
    static constexpr int ROWS_MAX = fitting(4);

    static long bursts(const Product &p) { return p.inputs / BLOCK_INPUTS; }

    template <Sink SINK, bool ADAPTED, int ROWS>
    static void run(const Product &p, long panel, long row, Ahead ahead) {
        const long blocks = p.inputs / BLOCK_INPUTS;
        const std::uint8_t *block = p.packed.data + panel * p.packed.panel_bytes(p.inputs);
        const CodedRows x = p.coded.from(row, p.inputs);
        LoraAhead<ROWS> lora_ahead;
        if constexpr (ADAPTED) lora_ahead = LoraAhead<ROWS>(p, TileLora(p, panel, row), blocks);
        Floats sums[ROWS][VECTORS];
        for (auto &one : sums)
            for (auto &sum : one) sum = zero();
        for (long i = 0; i < blocks; i++, block += block_bytes(FORMAT)) {
            ahead.fetch();
            if constexpr (ADAPTED) lora_ahead.fetch(i);
            Ints counts[ROWS][VECTORS];
            for (int r = 0; r < ROWS; r++)
                for (auto &count : counts[r])
                    count = FORMAT == Format::Q8_0 ? splat_int(x.begins[r * blocks + i]) : splat_int(0);
            for (int four = 0; four < FOURS; four += 2) {
                count_four<false, ROWS>(counts, block, four, x.codes + i * BLOCK_INPUTS, p.inputs);
                count_four<true, ROWS>(counts, block, four, x.codes + i * BLOCK_INPUTS, p.inputs);
            }
            add_block<ROWS>(sums, counts, block + codes_bytes(FORMAT), x, i, blocks);
        }
        if constexpr (ADAPTED) add_lora<ROWS>(sums, TileLora(p, panel, row));
        put<SINK, ROWS>(p, panel, row, sums);
    }

    template <bool ODD, int ROWS>
    static void count_four(Ints (&counts)[ROWS][VECTORS], const std::uint8_t *block, int four, const std::int8_t *x,
                           long inputs) {
        Bytes codes[VECTORS];
        for (int v = 0; v < VECTORS; v++) codes[v] = codes_at<FORMAT, ODD>(block, v, four);
        for (int r = 0; r < ROWS; r++) {
            const Bytes everywhere = four_everywhere(x + r * inputs + 4 * (four + ODD));
            for (int v = 0; v < VECTORS; v++)
                counts[r][v] = FORMAT == Format::Q8_0 ? multiply_add(counts[r][v], codes[v], everywhere)
                                                      : multiply_add_halves(counts[r][v], codes[v], everywhere);
        }
    }

    template <int ROWS>
    static void add_block(Floats (&sums)[ROWS][VECTORS], const Ints (&counts)[ROWS][VECTORS], const std::uint8_t *scales,
                          const CodedRows &x, long i, long blocks) {
        for (int v = 0; v < VECTORS; v++) {
            const Floats scale = halves_at(scales + 32 * v);
            for (int r = 0; r < ROWS; r++) {
                const Floats sum = to_floats(counts[r][v]) * splat(x.scales[r * blocks + i]);
                sums[r][v] = fma(scale, sum, sums[r][v]);
            }
            if constexpr (FORMAT == Format::Q4_1) {
                const Floats offset = halves_at(scales + 2 * PANEL + 32 * v);
                for (int r = 0; r < ROWS; r++)
                    sums[r][v] = fma(offset, splat(x.sums[r * blocks + i]), sums[r][v]);
            }
        }
    }
};

}  // namespace

void code_row(const bf16 *x, long row, long inputs, const CodedRows &coded) {
    const long blocks = inputs / BLOCK_INPUTS;
    for (long i = 0; i < blocks; i++) {
        const Floats low = load(x + i * BLOCK_INPUTS), high = load(x + i * BLOCK_INPUTS + 16);
        const float largest = max_of(max(absolute(low), absolute(high)));
        const Floats per_code = splat(largest > 1e-30f ? 127.f / largest : 0.f);  // of less it would be infinite
        const Ints a = to_ints(low * per_code), b = to_ints(high * per_code);
        std::int8_t *const to = coded.codes + row * inputs + i * BLOCK_INPUTS;
        store_bytes(to, a);
        store_bytes(to + 16, b);
        // A row that is not finite has to give a result that is not either.
        const bool finite = equal(low - low, high - high) == EVERY_LANE;
        const float scale = finite ? largest / 127.f : NAN;
        const int sum = finite ? sum_of_ints(add(a, b)) : 0;
        coded.scales[row * blocks + i] = scale;
        coded.sums[row * blocks + i] = scale * static_cast<float>(sum);
        coded.begins[row * blocks + i] = -128 * sum;
    }
}

void code_piece(const Product &product, long piece) {
    product.packed.format == Format::Q4_1 ? compute<CodeTile<Format::Q4_1>>(product, piece)
                                          : compute<CodeTile<Format::Q8_0>>(product, piece);
}

}  // namespace chiliad
