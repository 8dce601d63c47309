#include "codes.hpp"

#include "../threads.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace chiliad::training {
namespace {

constexpr long BLOCK_INPUTS = 32, HALF_BLOCK = BLOCK_INPUTS / 2;

long panels_of(long outputs) { return (outputs + PANEL - 1) / PANEL; }

// Half precision, finite: as bits of a float32 it is 2^112 times smaller.
float from_half(std::uint16_t half) {
    const std::uint32_t bits = (half & 0x7fffu) << 13;
    float size;
    std::memcpy(&size, &bits, sizeof size);
    return half & 0x8000u ? size * -0x1p112f : size * 0x1p112f;
}

// To nearest, ties to even; for a number that is one.
bf16 rounded(float number) {
    std::uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    return static_cast<bf16>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void decode_8(const std::uint8_t *codes, float scale, bf16 *to) {
    for (long i = 0; i < BLOCK_INPUTS; i++) to[i] = rounded(static_cast<float>(static_cast<std::int8_t>(codes[i])) * scale);
}

void decode_4(const std::uint8_t *codes, float scale, float offset, bf16 *to) {
    for (long i = 0; i < HALF_BLOCK; i++) to[i] = rounded(static_cast<float>(codes[i] & 15) * scale + offset);
    for (long i = 0; i < HALF_BLOCK; i++) to[HALF_BLOCK + i] = rounded(static_cast<float>(codes[i] >> 4) * scale + offset);
}

// The numbers of one output, [inputs].
void decode(const Codes &w, long output, bf16 *to) {
    const long blocks = w.inputs / BLOCK_INPUTS, first = output * blocks;
    for (long block = 0; block < blocks; block++) {
        const float scale = from_half(w.scale[first + block]);
        if (w.offset) {
            decode_4(w.codes + (first + block) * HALF_BLOCK, scale, from_half(w.offset[first + block]), to);
        } else {
            decode_8(w.codes + (first + block) * BLOCK_INPUTS, scale, to);
        }
        to += BLOCK_INPUTS;
    }
}

// Outputs [48 panel, 48 panel + 48): [inputs / 2, PANEL, 2], zeros past the last. `row`: [inputs].
void panel_of_outputs(const Codes &w, long panel, bf16 *row, bf16 *to) {
    for (long column = 0; column < PANEL; column++) {
        const long output = panel * PANEL + column;
        if (output < w.outputs) {
            decode(w, output, row);
        } else {
            std::fill_n(row, w.inputs, bf16{0});
        }
        for (long pair = 0; pair < w.inputs / 2; pair++)
            std::memcpy(to + (pair * PANEL + column) * 2, row + 2 * pair, 2 * sizeof(bf16));
    }
}

// Two outputs, side by side, in every panel of inputs: [panels, outputs / 2, PANEL, 2]. `rows`: [2, whole panels of inputs].
void pair_of_outputs(const Codes &w, long pair, bf16 *rows, bf16 *packed) {
    const long width = panels_of(w.inputs) * PANEL;
    decode(w, 2 * pair, rows);
    decode(w, 2 * pair + 1, rows + width);
    for (long panel = 0; panel < panels_of(w.inputs); panel++) {
        bf16 *to = packed + (panel * w.outputs / 2 + pair) * 2 * PANEL;
        const bf16 *one = rows + panel * PANEL, *other = one + width;
        for (long column = 0; column < PANEL; column++) to[2 * column] = one[column], to[2 * column + 1] = other[column];
    }
}

}  // namespace

long room_of(const Codes &w) {
    return PANEL * std::max(panels_of(w.outputs) * w.inputs, panels_of(w.inputs) * w.outputs);
}

Matrix lay_out(const Codes &w, bf16 *room) {
    parallel_for(panels_of(w.outputs), 1, [&](long begin, long end) {
        std::vector<bf16> row(static_cast<std::size_t>(w.inputs));
        for (long panel = begin; panel < end; panel++)
            panel_of_outputs(w, panel, row.data(), room + panel * PANEL * w.inputs);
    });
    return {room, w.outputs, w.inputs};
}

Matrix lay_out_transposed(const Codes &w, bf16 *room) {
    parallel_for(w.outputs / 2, PANEL, [&](long begin, long end) {
        std::vector<bf16> rows(static_cast<std::size_t>(2 * panels_of(w.inputs) * PANEL), bf16{0});
        for (long pair = begin; pair < end; pair++) pair_of_outputs(w, pair, rows.data(), room);
    });
    return {room, w.inputs, w.outputs};
}

}  // namespace chiliad::training
