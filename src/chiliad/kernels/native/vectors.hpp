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

// exp(x), within 2 units in the last place. Cephes' expf: exp(x) = 2^n * exp(x - n ln 2), a polynomial on |r| <= ln2 / 2.
inline __m512 exp(__m512 x) {
    const auto all = [](float f) { return _mm512_set1_ps(f); };
    x = _mm512_max_ps(_mm512_min_ps(x, all(88.7f)), all(-104.f));
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

}  // namespace
}  // namespace chiliad
