// Sixteen bfloat16 numbers at a time, as float32. Only for files compiled for AVX-512.
#pragma once

#include "kernels.hpp"

#include <immintrin.h>

namespace chiliad {
namespace {

inline __mmask16 lanes(long left) { return left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1); }

inline __m512 load(const bf16 *p, __mmask16 mask = 0xffff) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

inline void store(bf16 *p, __m512 x, __mmask16 mask = 0xffff) {
    _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

// Thirty-two bfloat16 numbers as the pairs that a dot product takes; a mask counts pairs.
inline __m512bh pairs_at(const bf16 *p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }

inline __m512bh pairs_at(const bf16 *p, __mmask16 mask) {
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi32(mask, p));
}

inline __m512bh pair_everywhere(const bf16 *p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// exp(x), within 2 units in the last place. Cephes' expf: exp(x) = 2^n * exp(x - n ln 2), a polynomial on |r| <= ln2 / 2.
inline __m512 exp(__m512 x) {
    const auto all = [](float f) { return _mm512_set1_ps(f); };
    x = _mm512_max_ps(all(-104.f), _mm512_min_ps(all(88.7f), x));  // in this order a NaN stays one
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, all(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r = _mm512_fnmadd_ps(n, all(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, all(-2.12194440e-4f), r);
    __m512 p = all(1.9875691500e-4f);
    constexpr float rest[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    for (const float c : rest) p = _mm512_fmadd_ps(p, r, all(c));
    p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, all(1.f)));
    return _mm512_scalef_ps(p, n);
}

inline __m512 sigmoid(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// The heads of one token, in the halves layout; y may be x.
inline void rotate_heads(const bf16 *x, const bf16 *cos, const bf16 *sin, float turn, bf16 *y, long heads, long dim) {
    const long half = dim / 2;
    const __m512 sign = _mm512_set1_ps(turn);
    for (long i = 0; i < half; i += 16) {
        const __mmask16 mask = lanes(half - i);
        const __m512 cos1 = load(cos + i, mask), cos2 = load(cos + half + i, mask);
        const __m512 sin1 = _mm512_mul_ps(load(sin + i, mask), sign);
        const __m512 sin2 = _mm512_mul_ps(load(sin + half + i, mask), sign);
        for (long at = i; at < heads * dim; at += dim) {
            const __m512 first = load(x + at, mask), second = load(x + at + half, mask);
            store(y + at, _mm512_fnmadd_ps(second, sin1, _mm512_mul_ps(first, cos1)), mask);
            store(y + at + half, _mm512_fmadd_ps(first, sin2, _mm512_mul_ps(second, cos2)), mask);
        }
    }
}

}  // namespace
}  // namespace chiliad
