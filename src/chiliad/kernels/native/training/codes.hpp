// Frozen matrices in codes of 8 or 4 bits, laid out anew for each product that reads them.
#pragma once

#include "product.hpp"

namespace chiliad::training {

// weight = scale * code, or scale * code + offset, for every 32 inputs of an output. Outputs are even.
struct Codes {
    // [outputs, inputs] with a sign; or, where there are offsets, [outputs, inputs / 2]: for every 32 inputs 16 bytes, with the
    // first 16 codes in their low halves.
    const std::uint8_t *codes = nullptr;
    const std::uint16_t *scale = nullptr;   // [outputs, inputs / 32] in half precision
    const std::uint16_t *offset = nullptr;  // as `scale`, or null
    long outputs = 0, inputs = 0;
};

// What the two layouts below need at most.
long room_of(const Codes &codes);

// The matrix in bf16 for the way there, and transposed for the way back.
Matrix lay_out(const Codes &codes, bf16 *room);
Matrix lay_out_transposed(const Codes &codes, bf16 *room);

}  // namespace chiliad::training
