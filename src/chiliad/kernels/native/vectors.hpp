// Sixteen numbers at a time, whatever the processor: kernels are written once in these words and compiled for each kind of
// processor, into a module of its own. `Floats` are sixteen float32, `Pairs` thirty-two bfloat16 as the pairs that a dot
// product takes, a `Mask` says which of sixteen count.
#pragma once

#include "kernels.hpp"

#if CHILIAD_LANES == 16
#include "vectors_avx512.hpp"
#else
#include "vectors_avx2.hpp"
#endif

namespace chiliad {
namespace {

// Ask for a line of memory that is needed soon: into the second-level cache, or the first.
inline void fetch_line(const void *at) { __builtin_prefetch(at, 0, 2); }
inline void fetch_line_close(const void *at) { __builtin_prefetch(at, 0, 3); }

// exp(x), within 2 units in the last place. Cephes' expf: exp(x) = 2^n * exp(x - n ln 2), a polynomial on |r| <= ln2 / 2.
inline Floats exp(Floats x) {
    x = max(splat(-104.f), min(splat(88.7f), x));  // in this order a NaN stays one
    const Floats n = round(x * splat(1.44269504f));
    Floats r = fnma(n, splat(0.693359375f), x);
    r = fnma(n, splat(-2.12194440e-4f), r);
    Floats p = splat(1.9875691500e-4f);
    constexpr float rest[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    for (const float c : rest) p = fma(p, r, splat(c));
    return times_power(fma(r * r, p, r + splat(1.f)), n);
}

inline Floats sigmoid(Floats x) { return splat(1.f) / (splat(1.f) + exp(zero() - x)); }

// The heads of one token, in the halves layout; y may be x.
inline void rotate_heads(const bf16 *x, const bf16 *cos, const bf16 *sin, float turn, bf16 *y, long heads, long dim) {
    const long half = dim / 2;
    const Floats sign = splat(turn);
    for (long i = 0; i < half; i += 16) {
        const Mask mask = lanes(half - i);
        const Floats cos1 = load(cos + i, mask), cos2 = load(cos + half + i, mask);
        const Floats sin1 = load(sin + i, mask) * sign, sin2 = load(sin + half + i, mask) * sign;
        for (long at = i; at < heads * dim; at += dim) {
            const Floats first = load(x + at, mask), second = load(x + at + half, mask);
            store(y + at, fnma(second, sin1, first * cos1), mask);
            store(y + at + half, fma(first, sin2, second * cos2), mask);
        }
    }
}

}  // namespace
}  // namespace chiliad
