// The parts of a decoding step that depend on the processor, each for the caller's thread alone. decoder.cpp puts them in
// order and shares them out. No result depends on which rows, panels or queries are computed together.
#pragma once

#include "buffer.hpp"
#include "kernels.hpp"

namespace chiliad {

constexpr long ROWS_BLOCK = 256;
constexpr long BLOCK_INPUTS = 32;  // inputs of an output whose codes share a scale

// How a packed matrix holds its numbers. Codes are multiplied with rows that are rounded to 8 bits.
enum class Format {
    BF16,  // two inputs of 48 outputs after another: [in / 2, 48, 2]
    Q4_1,  // scale * code + offset, codes from 0 to 15
    Q8_0   // scale * (code - 128), codes from 0 to 255
};

// Bytes of a block of codes for 48 outputs: before its scales, and in all.
constexpr long codes_bytes(Format format) { return format == Format::Q4_1 ? BLOCK_INPUTS * PANEL / 2 : BLOCK_INPUTS * PANEL; }
constexpr long block_bytes(Format format) { return codes_bytes(format) + (format == Format::Q4_1 ? 192 : 128); }

// Panels, one after another. Those of codes go block by block of inputs: the codes in the order in which they are multiplied,
// four inputs of an output side by side, [8, 3, 16, 4] bytes; with 4 bits the second, fourth ... of the eight in the high
// halves of the one before. Then a scale, and for Q4_1 an offset, for each of the panel's outputs, in half precision.
// In the place of outputs that a panel lacks there are zeros. Every block fills whole lines of 64 bytes.
struct Packed {
    const std::uint8_t *data;
    Format format;

    long panel_bytes(long inputs) const {
        return format == Format::BF16 ? 2 * inputs * PANEL : inputs / BLOCK_INPUTS * block_bytes(format);
    }
};

// Rows of x in 8 bits: x = scale * code for every 32 inputs, codes from -127 to 127.
struct CodedRows {
    std::int8_t *codes = nullptr;    // [rows, inputs]
    float *scales = nullptr;         // [rows, inputs / 32]
    float *sums = nullptr;           // [rows, inputs / 32], scale * sum of codes
    std::int32_t *begins = nullptr;  // [rows, inputs / 32], -128 * sum of codes

    CodedRows from(long row, long inputs) const {
        const long block = row * (inputs / BLOCK_INPUTS);
        return {codes + row * inputs, scales + block, sums + block, begins + block};
    }
};

// Scratch for them.
struct CodeRoom {
    Buffer<std::int8_t> codes;
    Buffer<float> scales, sums;
    Buffer<std::int32_t> begins;

    void reserve(long rows, long inputs) {
        const long blocks = rows * (inputs / BLOCK_INPUTS);
        codes.reserve(rows * inputs);
        scales.reserve(blocks);
        sums.reserve(blocks);
        begins.reserve(blocks);
    }
    CodedRows rows() const { return {codes.data(), scales.data(), sums.data(), begins.data()}; }
};

void code_row(const bf16 *x, long row, long inputs, const CodedRows &coded);

// What an adapter adds to the outputs of one linear layer: from inner product 2 * pair on, `pairs` pairs times `up`, for each
// panel that the layer's outputs touch. Zeros where a panel holds another layer's outputs too.
struct SiteUp {
    const bf16 *up = nullptr;  // [panels, pairs, PANEL, 2]
    long panel = 0, panels = 0, pair = 0, pairs = 0;

    // [pairs, PANEL, 2] for one panel of the group; null if there is nothing.
    const bf16 *of(long group_panel) const {
        const long i = group_panel - panel;
        return i >= 0 && i < panels && pairs ? up + i * pairs * 2 * PANEL : nullptr;
    }
};

constexpr int SITES_MAX = 3;

// An adapter's factors for linear layers that share an input: y += up (down x). It is small, so that all of a step's are at
// hand; factors are read once.
struct LoraPart {
    long inner = 0, inputs = 0;  // inner products, even; 0: nothing is adapted here
    const bf16 *down = nullptr;  // [inner, inputs]
    SiteUp sites[SITES_MAX];
};

// inner[row, j] = x[row] . down[j], for rows of one adapter.
void lora_down(const bf16 *x, long rows, long inputs, const LoraPart &part, bf16 *inner, long inner_stride);

// Where the sums of a product go.
enum class Sink {
    STORE,  // y = sum, bf16
    ADD,    // y += sum, float32
    FLOAT   // y = sum, float32
};

// y [rows, outputs] <- x [rows, inputs] W^T, and for rows with an adapter what that adds.
struct Product {
    const bf16 *x;
    long rows, inputs, outputs;
    Packed packed;
    Sink sink;
    void *y;
    const LoraPart *const *loras = nullptr;  // [rows], the parts of a row's adapter or null; null: no row has any
    long place = 0, next = 0;                // which of its parts, and whose `down` is read after this product
    const bf16 *inner = nullptr;             // [rows, inner_stride], by `lora_down`
    long inner_stride = 0;
    CodedRows coded = {};  // x once more, where the matrix is in codes

    // A product is computed piece by piece, in any order: one panel of outputs for a block of rows that stays in a core's
    // own cache. Pieces that follow each other share their rows.
    long panels() const { return (outputs + PANEL - 1) / PANEL; }
    long pieces() const { return (rows + ROWS_BLOCK - 1) / ROWS_BLOCK * panels(); }
};

void product_piece(const Product &product, long piece);
void code_piece(const Product &product, long piece);  // for a matrix in codes

// A product on its own. Every sum runs over the inputs in order in one accumulator, whatever the rows, the tile and the thread.
void linear(const bf16 *x, const Packed &packed, bf16 *y, long rows, long outputs, long inputs);

void embed_row(const bf16 *embedding, float *x, long width);
void norm_row(const float *x, const bf16 *weight, float eps, bf16 *y, long width);
void swiglu_row(const bf16 *gate_up, bf16 *y, long width);

constexpr long BLOCK = 32;  // tokens whose keys and values lie together

// Head sizes and where they lie. A block holds for each layer and key head its keys [dim / 2, BLOCK, 2], then its values
// [BLOCK / 2, dim, 2]: both in the order in which `attend` multiplies pairs.
struct Heads {
    long kv_heads, group, dim;  // `group` query heads share a key head

    long queries() const { return kv_heads * group * dim; }
    long qkv() const { return queries() + 2 * kv_heads * dim; }
    long of_head(long layer, long kv_head) const { return (layer * kv_heads + kv_head) * 2 * BLOCK * dim; }
};

// What some architectures do to queries, keys and values before they turn; null: nothing.
struct HeadTensors {
    const bf16 *bias;              // [heads.qkv()]
    const bf16 *q_norm, *k_norm;  // [dim], for each head
    float eps;
};

// Finish a token's queries in place, and put its keys, turned as they are, and its values into place `slot` of its block.
void place_row(const Heads &heads, const HeadTensors &tensors, bf16 *qkv, const bf16 *cos, const bf16 *sin, bf16 *block,
               long layer, long slot);

// Softmax attention at scale dim^-0.5 of one token's query heads that share a key head, over the first `length` tokens of
// its blocks. q, out: [group, dim]; scratch: attend_scratch(length) floats.
void attend(const Heads &heads, const bf16 *q, bf16 *const *blocks, long layer, long kv_head, long length, float *scratch,
            bf16 *out);
long attend_scratch(long length);

}  // namespace chiliad
