// The words of vectors.hpp for processors with AVX-512 BF16 and VNNI: one register each.
#pragma once

#include "kernels.hpp"

#include <immintrin.h>

namespace chiliad {
namespace {

using Floats = __m512;  // + - * / are the compiler's own
using Pairs = __m512bh;
using Mask = __mmask16;
constexpr Mask EVERY_LANE = 0xffff;

inline Mask lanes(long left) { return left >= 16 ? EVERY_LANE : static_cast<Mask>((1u << left) - 1); }

inline Floats splat(float x) { return _mm512_set1_ps(x); }
inline Floats zero() { return _mm512_setzero_ps(); }

inline Floats load(const float *p, Mask mask = EVERY_LANE) { return _mm512_maskz_loadu_ps(mask, p); }
inline Floats load(const bf16 *p, Mask mask = EVERY_LANE) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

inline void store(float *p, Floats x, Mask mask = EVERY_LANE) { _mm512_mask_storeu_ps(p, mask, x); }
inline void store(bf16 *p, Floats x, Mask mask = EVERY_LANE) {
    _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
inline Floats fnma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
inline Floats fms(Floats a, Floats b, Floats c) { return _mm512_fmsub_ps(a, b, c); }    // a * b - c
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }  // b where one of them is no number
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats absolute(Floats x) { return _mm512_abs_ps(x); }
inline Floats round(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT); }
inline Floats times_power(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }  // x * 2^n for a whole n
inline Floats where(Mask mask, Floats a, Floats b) { return _mm512_mask_blend_ps(mask, b, a); }

inline Mask equal(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline Mask no_number(Floats x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }

inline float sum_of(Floats x) { return _mm512_reduce_add_ps(x); }
inline float max_of(Floats x) { return _mm512_reduce_max_ps(x); }

inline Pairs pairs_at(const bf16 *p) { return reinterpret_cast<Pairs>(_mm512_loadu_si512(p)); }
inline Pairs pairs_at(const bf16 *p, Mask mask) { return reinterpret_cast<Pairs>(_mm512_maskz_loadu_epi32(mask, p)); }
inline Pairs pair_everywhere(const bf16 *p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return reinterpret_cast<Pairs>(_mm512_set1_epi32(pair));
}

// The first `left` numbers, zeros after them.
inline Pairs numbers_at(const bf16 *p, long left) {
    const __mmask32 mask = left >= 32 ? ~0u : (1u << left) - 1;
    return reinterpret_cast<Pairs>(_mm512_maskz_loadu_epi16(mask, p));
}

// The first of each pair, and zero.
inline Pairs firsts(Pairs x) {
    return reinterpret_cast<Pairs>(_mm512_and_si512(reinterpret_cast<__m512i>(x), _mm512_set1_epi32(0xffff)));
}

inline Pairs joined(__m256i first, __m256i second) {
    const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16);
    return reinterpret_cast<Pairs>(_mm512_or_si512(_mm512_cvtepu16_epi32(first), upper));
}

// A number of `first` and one of `second` to each pair.
inline Pairs side_by_side(const bf16 *first, Mask first_mask, const bf16 *second, Mask second_mask) {
    return joined(_mm256_maskz_loadu_epi16(first_mask, first), _mm256_maskz_loadu_epi16(second_mask, second));
}
inline Pairs side_by_side(Floats first, Floats second) {
    const auto bits = [](Floats x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); };
    return joined(bits(first), bits(second));
}

inline void store(bf16 *p, Pairs x) { _mm512_storeu_si512(p, reinterpret_cast<__m512i>(x)); }

// sum + both products of each pair
inline Floats dot(Floats sum, Pairs a, Pairs b) { return _mm512_dpbf16_ps(sum, a, b); }

using Ints = __m512i;   // sixteen, of 32 bits
using Bytes = __m512i;  // four for each of sixteen sums

inline Ints splat_int(int x) { return _mm512_set1_epi32(x); }
inline int sum_of_ints(Ints x) { return _mm512_reduce_add_epi32(x); }
inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Ints to_ints(Floats x) { return _mm512_cvtps_epi32(x); }  // to the nearest
inline Floats to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }
inline void store_bytes(std::int8_t *p, Ints x) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtsepi32_epi8(x));
}

inline Bytes bytes_at(const std::uint8_t *p) { return _mm512_loadu_si512(p); }
inline Bytes low_halves(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
inline Bytes high_halves(Bytes x) { return low_halves(_mm512_srli_epi16(x, 4)); }
inline Bytes four_everywhere(const std::int8_t *p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

// sum + the four products of unsigned codes with signed bytes of x. The instruction, vpdpbusd, takes them in this order;
// no product leaves the 16 bits in which it is held. (vpdpbusds would cut the sum off.)
inline Ints multiply_add(Ints sum, Bytes codes, Bytes x) { return _mm512_dpbusd_epi32(sum, codes, x); }
inline Ints multiply_add_halves(Ints sum, Bytes codes, Bytes x) { return multiply_add(sum, codes, x); }

// Sixteen numbers in half precision.
inline Floats halves_at(const std::uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}

}  // namespace
}  // namespace chiliad
