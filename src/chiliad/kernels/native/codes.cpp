#include "tile.hpp"

#include <cmath>

namespace chiliad {
namespace {

constexpr int FOURS = BLOCK_INPUTS / 4;  // of inputs, which one instruction multiplies and adds

inline __m512i codes_at(const std::uint8_t *at) { return _mm512_loadu_si512(at); }

inline __m512i four_everywhere(const std::int8_t *at) {
    int four;
    __builtin_memcpy(&four, at, sizeof four);
    return _mm512_set1_epi32(four);
}

inline __m512 halves_at(const std::uint8_t *at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at)));
}

// 16 outputs of a block: their codes, eight times four inputs, and weight = scale * code + offset.
template <Format FORMAT>
struct Block {
    __m512i codes[FOURS];
    __m512 scale, offset;

    Block(const std::uint8_t *block, int v);
};

template <>
inline Block<Format::Q4_1>::Block(const std::uint8_t *block, int v) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int i = 0; i < FOURS; i += 2) {
        const __m512i both = codes_at(block + (v * FOURS + i) * 32);
        codes[i] = _mm512_and_si512(both, low);
        codes[i + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
    const std::uint8_t *const scales = block + BLOCK_INPUTS * PANEL / 2;
    scale = halves_at(scales + 32 * v);
    offset = halves_at(scales + 2 * PANEL + 32 * v);
}

template <>
inline Block<Format::Q8_0>::Block(const std::uint8_t *block, int v) {
    for (int i = 0; i < FOURS; i++) codes[i] = codes_at(block + (v * FOURS + i) * 64);
    scale = halves_at(block + BLOCK_INPUTS * PANEL + 32 * v);
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-128.f));
}

template <Format FORMAT>
struct CodeTile {
    static constexpr int ROWS_MAX = 6;  // 18 sums of a tile and 6 of a block are in registers

    static long bursts(const Product &p) { return p.inputs / BLOCK_INPUTS; }

    template <Sink SINK, bool ADAPTED, int ROWS>
    static void run(const Product &p, long panel, long row, Ahead ahead) {
        const long blocks = p.inputs / BLOCK_INPUTS;
        const std::uint8_t *w = p.packed.data + panel * p.packed.panel_bytes(p.inputs);
        const std::int8_t *x = p.coded.codes + row * p.inputs;
        const float *scales = p.coded.scales + row * blocks, *offsets = p.coded.sums + row * blocks;
        LoraAhead<ROWS> lora_ahead;
        if constexpr (ADAPTED) lora_ahead = LoraAhead<ROWS>(p, TileLora(p, panel, row), blocks);
        __m512 sums[ROWS][VECTORS];
        for (auto &one : sums)
            for (auto &sum : one) sum = _mm512_setzero_ps();
        for (long i = 0; i < blocks; i++, w += p.packed.block_bytes()) {
            ahead.fetch();
            if constexpr (ADAPTED) lora_ahead.fetch(i);
            for (int v = 0; v < VECTORS; v++) {
                const Block<FORMAT> block(w, v);
                __m512i counts[ROWS];
                for (auto &count : counts) count = _mm512_setzero_si512();
                for (int k = 0; k < FOURS; k++)
                    for (int r = 0; r < ROWS; r++)
                        counts[r] = _mm512_dpbusd_epi32(counts[r], block.codes[k],
                                                        four_everywhere(x + r * p.inputs + i * BLOCK_INPUTS + 4 * k));
                for (int r = 0; r < ROWS; r++) {
                    const __m512 scaled =
                        _mm512_mul_ps(_mm512_cvtepi32_ps(counts[r]), _mm512_set1_ps(scales[r * blocks + i]));
                    sums[r][v] = _mm512_fmadd_ps(block.offset, _mm512_set1_ps(offsets[r * blocks + i]), sums[r][v]);
                    sums[r][v] = _mm512_fmadd_ps(block.scale, scaled, sums[r][v]);
                }
            }
        }
        if constexpr (ADAPTED) add_lora<ROWS>(sums, TileLora(p, panel, row));
        put<SINK, ROWS>(p, panel, row, sums);
    }
};

}  // namespace

void code_row(const bf16 *x, long row, long inputs, const CodedRows &coded) {
    const long blocks = inputs / BLOCK_INPUTS;
    for (long i = 0; i < blocks; i++) {
        const __m512 low = load(x + i * BLOCK_INPUTS), high = load(x + i * BLOCK_INPUTS + 16);
        const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        const __m512 per_code = _mm512_set1_ps(largest > 0 ? 127.f / largest : 0.f);
        const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(low, per_code)), b = _mm512_cvtps_epi32(_mm512_mul_ps(high, per_code));
        std::int8_t *const to = coded.codes + row * inputs + i * BLOCK_INPUTS;
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_cvtsepi32_epi8(a));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 16), _mm512_cvtsepi32_epi8(b));
        // A row that is not finite has to give a result that is none either.
        const bool finite = _mm512_cmp_ps_mask(_mm512_sub_ps(low, low), _mm512_sub_ps(high, high), _CMP_EQ_OQ) == 0xffff;
        const float scale = finite ? largest / 127.f : NAN;
        coded.scales[row * blocks + i] = scale;
        coded.sums[row * blocks + i] = scale * static_cast<float>(_mm512_reduce_add_epi32(_mm512_add_epi32(a, b)));
    }
}

void code_piece(const Product &product, long piece) {
    product.packed.format == Format::Q4_1 ? compute<CodeTile<Format::Q4_1>>(product, piece)
                                          : compute<CodeTile<Format::Q8_0>>(product, piece);
}

}  // namespace chiliad
