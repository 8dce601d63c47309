#include "tile.hpp"

#include <cmath>

namespace chiliad {
namespace {

constexpr int FOURS = BLOCK_INPUTS / 4;  // of inputs, which one instruction multiplies and adds

// The instruction, vpdpbusd, multiplies unsigned bytes with signed ones in this order of operands, and adds four products to
// a 32-bit sum. No product of a code and a byte of x leaves the 16 bits in which it is held (-32640 ... 32385), and 32 of them
// stay below 2^24, so that their sum is exact, also as float32. (AVX2's vpmaddubsw would cut a pair of products off at 32767,
// and vpdpbusds the sum.) Codes therefore have no sign: where weights do, 128 is added, and taken out again by where the sum
// begins.
inline __m512i multiply_add(__m512i sum, __m512i codes, __m512i x) { return _mm512_dpbusd_epi32(sum, codes, x); }

inline __m512i four_everywhere(const std::int8_t *at) {
    int four;
    __builtin_memcpy(&four, at, sizeof four);
    return _mm512_set1_epi32(four);
}

inline __m512 halves_at(const std::uint8_t *at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at)));
}

// Four inputs' codes of 16 outputs: those after `four`, an even one, if ODD.
template <Format FORMAT, bool ODD>
inline __m512i codes_at(const std::uint8_t *block, int v, int four) {
    if constexpr (FORMAT == Format::Q8_0) return _mm512_loadu_si512(block + ((four + ODD) * VECTORS + v) * 64);
    const __m512i both = _mm512_loadu_si512(block + (four / 2 * VECTORS + v) * 64);
    return _mm512_and_si512(ODD ? _mm512_srli_epi16(both, 4) : both, _mm512_set1_epi8(15));
}

// 4 rows of 3 vectors leave room for as many sums of one block: every byte of x that is loaded then serves three products, and
// the loads keep up with the multiplications.
template <Format FORMAT>
struct CodeTile {
    static constexpr int ROWS_MAX = 4;

    static long bursts(const Product &p) { return p.inputs / BLOCK_INPUTS; }

    template <Sink SINK, bool ADAPTED, int ROWS>
    static void run(const Product &p, long panel, long row, Ahead ahead) {
        const long blocks = p.inputs / BLOCK_INPUTS;
        const std::uint8_t *block = p.packed.data + panel * p.packed.panel_bytes(p.inputs);
        const CodedRows x = p.coded.from(row, p.inputs);
        LoraAhead<ROWS> lora_ahead;
        if constexpr (ADAPTED) lora_ahead = LoraAhead<ROWS>(p, TileLora(p, panel, row), blocks);
        __m512 sums[ROWS][VECTORS];
        for (auto &one : sums)
            for (auto &sum : one) sum = _mm512_setzero_ps();
        for (long i = 0; i < blocks; i++, block += block_bytes(FORMAT)) {
            ahead.fetch();
            if constexpr (ADAPTED) lora_ahead.fetch(i);
            __m512i counts[ROWS][VECTORS];
            for (int r = 0; r < ROWS; r++)
                for (auto &count : counts[r])
                    count = FORMAT == Format::Q8_0 ? _mm512_set1_epi32(x.begins[r * blocks + i]) : _mm512_setzero_si512();
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
    static void count_four(__m512i (&counts)[ROWS][VECTORS], const std::uint8_t *block, int four, const std::int8_t *x,
                           long inputs) {
        __m512i codes[VECTORS];
        for (int v = 0; v < VECTORS; v++) codes[v] = codes_at<FORMAT, ODD>(block, v, four);
        for (int r = 0; r < ROWS; r++) {
            const __m512i everywhere = four_everywhere(x + r * inputs + 4 * (four + ODD));
            for (int v = 0; v < VECTORS; v++) counts[r][v] = multiply_add(counts[r][v], codes[v], everywhere);
        }
    }

    template <int ROWS>
    static void add_block(__m512 (&sums)[ROWS][VECTORS], const __m512i (&counts)[ROWS][VECTORS], const std::uint8_t *scales,
                          const CodedRows &x, long i, long blocks) {
        for (int v = 0; v < VECTORS; v++) {
            const __m512 scale = halves_at(scales + 32 * v);
            for (int r = 0; r < ROWS; r++) {
                const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(counts[r][v]), _mm512_set1_ps(x.scales[r * blocks + i]));
                sums[r][v] = _mm512_fmadd_ps(scale, sum, sums[r][v]);
            }
            if constexpr (FORMAT == Format::Q4_1) {
                const __m512 offset = halves_at(scales + 2 * PANEL + 32 * v);
                for (int r = 0; r < ROWS; r++)
                    sums[r][v] = _mm512_fmadd_ps(offset, _mm512_set1_ps(x.sums[r * blocks + i]), sums[r][v]);
            }
        }
    }
};

}  // namespace

void code_row(const bf16 *x, long row, long inputs, const CodedRows &coded) {
    const long blocks = inputs / BLOCK_INPUTS;
    for (long i = 0; i < blocks; i++) {
        const __m512 low = load(x + i * BLOCK_INPUTS), high = load(x + i * BLOCK_INPUTS + 16);
        const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        const __m512 per_code = _mm512_set1_ps(largest > 1e-30f ? 127.f / largest : 0.f);  // of less it would be infinite
        const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(low, per_code));
        const __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(high, per_code));
        std::int8_t *const to = coded.codes + row * inputs + i * BLOCK_INPUTS;
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_cvtsepi32_epi8(a));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 16), _mm512_cvtsepi32_epi8(b));
        // A row that is not finite has to give a result that is not either.
        const bool finite = _mm512_cmp_ps_mask(_mm512_sub_ps(low, low), _mm512_sub_ps(high, high), _CMP_EQ_OQ) == 0xffff;
        const float scale = finite ? largest / 127.f : NAN;
        const int sum = finite ? _mm512_reduce_add_epi32(_mm512_add_epi32(a, b)) : 0;
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
