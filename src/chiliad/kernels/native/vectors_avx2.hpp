// The words of vectors.hpp for processors with AVX2: two registers each, as the compiler's own vectors.
#pragma once

#include "kernels.hpp"

#include <cstring>

#include <immintrin.h>

namespace chiliad {
namespace {

constexpr int WIDTH = 8, PARTS = 2;  // lanes of a register, and how many of those are sixteen

template <class T>
struct Vector {
    typedef T Part __attribute__((vector_size(WIDTH * sizeof(T))));
    Part part[PARTS];
};

using Floats = Vector<float>;
using Ints = Vector<std::int32_t>;
using Words = Vector<std::uint32_t>;
using FloatPart = Floats::Part;
using IntPart = Ints::Part;
using WordPart = Words::Part;
using HalfPart = Vector<std::uint16_t>::Part;

// f(number of the part) for each
template <class T, class F>
[[gnu::always_inline]] inline Vector<T> each(const F &f) {
    return {{f(0), f(1)}};
}

template <class Part, class T>
[[gnu::always_inline]] inline Part part_at(const T *p) {
    Part part;
    std::memcpy(&part, p, sizeof part);
    return part;
}

using Mask = std::uint16_t;
constexpr Mask EVERY_LANE = 0xffff;

inline Mask lanes(long left) { return left >= 16 ? EVERY_LANE : static_cast<Mask>((1u << left) - 1); }

// All bits of the lanes that count.
inline IntPart chosen(Mask mask, int i) {
    WordPart bit;
    for (int lane = 0; lane < WIDTH; lane++) bit[lane] = 1u << (i * WIDTH + lane);
    return (bit & static_cast<std::uint32_t>(mask)) != 0;
}

template <class F>
inline Mask mask_of(const F &f) {
    unsigned mask = 0;
    for (int i = 0; i < PARTS; i++) {
        const IntPart part = f(i);
        for (int lane = 0; lane < WIDTH; lane++) mask |= (part[lane] & 1u) << (i * WIDTH + lane);
    }
    return static_cast<Mask>(mask);
}

// A few numbers, beyond which memory may end: by way of sixteen that are there.
template <class T>
struct Sixteen {
    T at[16] = {};

    Sixteen() = default;
    Sixteen(const T *p, Mask mask) {
        for (int lane = 0; lane < 16; lane++)
            if (mask >> lane & 1) at[lane] = p[lane];
    }
    void put(T *p, Mask mask) const {
        for (int lane = 0; lane < 16; lane++)
            if (mask >> lane & 1) p[lane] = at[lane];
    }
};

inline Floats splat(float x) {
    return each<float>([=](int) { return x - FloatPart{}; });
}
inline Floats zero() {
    return each<float>([](int) { return FloatPart{}; });
}

inline Floats load(const float *p) {
    return each<float>([=](int i) { return part_at<FloatPart>(p + i * WIDTH); });
}
inline Floats load(const bf16 *p) {
    return each<float>([=](int i) {
        return (FloatPart)(__builtin_convertvector(part_at<HalfPart>(p + i * WIDTH), WordPart) << 16);
    });
}
template <class T>
inline Floats load(const T *p, Mask mask) {
    return mask == EVERY_LANE ? load(p) : load(Sixteen<T>(p, mask).at);
}

// The nearest bfloat16, in the lower half.
inline WordPart rounded(FloatPart x) {
    const WordPart bits = (WordPart)x;
    return (x != x ? bits | 0x400000u : bits + (0x7fffu + (bits >> 16 & 1u))) >> 16;
}

inline void store(float *p, Floats x) { std::memcpy(p, x.part, sizeof x); }
inline void store(bf16 *p, Floats x) {
    for (int i = 0; i < PARTS; i++) {
        const HalfPart part = __builtin_convertvector(rounded(x.part[i]), HalfPart);
        std::memcpy(p + i * WIDTH, &part, sizeof part);
    }
}
template <class T>
inline void store(T *p, Floats x, Mask mask) {
    if (mask == EVERY_LANE) return store(p, x);
    Sixteen<T> all;
    store(all.at, x);
    all.put(p, mask);
}

inline Floats operator+(Floats a, Floats b) {
    return each<float>([&](int i) { return a.part[i] + b.part[i]; });
}
inline Floats operator-(Floats a, Floats b) {
    return each<float>([&](int i) { return a.part[i] - b.part[i]; });
}
inline Floats operator*(Floats a, Floats b) {
    return each<float>([&](int i) { return a.part[i] * b.part[i]; });
}
inline Floats operator/(Floats a, Floats b) {
    return each<float>([&](int i) { return a.part[i] / b.part[i]; });
}

inline Floats fma(Floats a, Floats b, Floats c) {  // a * b + c
    return each<float>([&](int i) { return _mm256_fmadd_ps(a.part[i], b.part[i], c.part[i]); });
}
inline Floats fnma(Floats a, Floats b, Floats c) {  // c - a * b
    return each<float>([&](int i) { return _mm256_fnmadd_ps(a.part[i], b.part[i], c.part[i]); });
}
inline Floats fms(Floats a, Floats b, Floats c) {  // a * b - c
    return each<float>([&](int i) { return _mm256_fmsub_ps(a.part[i], b.part[i], c.part[i]); });
}
inline Floats max(Floats a, Floats b) {  // b where one of them is no number
    return each<float>([&](int i) { return a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
}
inline Floats min(Floats a, Floats b) {
    return each<float>([&](int i) { return a.part[i] < b.part[i] ? a.part[i] : b.part[i]; });
}
inline Floats absolute(Floats x) {
    return each<float>([&](int i) { return (FloatPart)((WordPart)x.part[i] & 0x7fffffffu); });
}

inline Floats round(Floats x) {
    return each<float>([&](int i) { return _mm256_round_ps(x.part[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); });
}

// x * 2^n for a whole n, in two steps: neither power is out of range where the product is not.
inline Floats times_power(Floats x, Floats n) {
    return each<float>([&](int i) {
        const IntPart whole = __builtin_convertvector(n.part[i], IntPart), half = whole >> 1;
        const auto power = [](IntPart e) { return (FloatPart)((e + 127) << 23); };
        return x.part[i] * power(half) * power(whole - half);
    });
}

inline Floats where(Mask mask, Floats a, Floats b) {
    return each<float>([&](int i) { return chosen(mask, i) ? a.part[i] : b.part[i]; });
}

inline Mask equal(Floats a, Floats b) {
    return mask_of([&](int i) { return a.part[i] == b.part[i]; });
}
inline Mask no_number(Floats x) {
    return mask_of([&](int i) { return x.part[i] != x.part[i]; });
}

template <class T, class F>
inline auto over_lanes(const Vector<T> &x, const F &join) {
    typename Vector<T>::Part part = x.part[0];
    for (int i = 1; i < PARTS; i++) part = join(part, x.part[i]);
    T out = part[0];
    for (int lane = 1; lane < WIDTH; lane++) out = join(out, T{part[lane]});
    return out;
}

inline float sum_of(Floats x) {
    return over_lanes(x, [](auto a, auto b) { return a + b; });
}
inline float max_of(Floats x) {
    return over_lanes(x, [](auto a, auto b) { return a > b ? a : b; });
}

// Products are of float32: a pair lies apart.
struct Pairs {
    Floats first, second;
};

[[gnu::always_inline]] inline Pairs apart(Words words) {
    return {each<float>([&](int i) { return (FloatPart)(words.part[i] << 16); }),
            each<float>([&](int i) { return (FloatPart)(words.part[i] & 0xffff0000u); })};
}

inline Pairs pairs_at(const bf16 *p) {
    return apart(each<std::uint32_t>([=](int i) { return part_at<WordPart>(p + 2 * i * WIDTH); }));
}
inline Pairs pair_everywhere(const bf16 *p) {
    std::uint32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return apart(each<std::uint32_t>([=](int) { return pair - WordPart{}; }));
}

// The first `left` numbers, zeros after them.
inline Pairs numbers_at(const bf16 *p, long left) {
    if (left >= 32) return pairs_at(p);
    bf16 all[32] = {};
    std::memcpy(all, p, static_cast<std::size_t>(left) * sizeof *p);
    return pairs_at(all);
}
inline Pairs pairs_at(const bf16 *p, Mask mask) { return numbers_at(p, 2 * __builtin_popcount(mask)); }

// The first of each pair, and zero.
inline Pairs firsts(Pairs x) { return {x.first, zero()}; }

// A number of `first` and one of `second` to each pair.
inline Pairs side_by_side(const bf16 *first, Mask first_mask, const bf16 *second, Mask second_mask) {
    return {load(first, first_mask), load(second, second_mask)};
}
inline Pairs side_by_side(Floats first, Floats second) {
    const auto nearest = [](Floats x) {
        return each<float>([&](int i) { return (FloatPart)(rounded(x.part[i]) << 16); });
    };
    return {nearest(first), nearest(second)};
}

inline void store(bf16 *p, Pairs x) {
    for (int i = 0; i < PARTS; i++) {
        const WordPart both = (WordPart)x.first.part[i] >> 16 | (WordPart)x.second.part[i];
        std::memcpy(p + 2 * i * WIDTH, &both, sizeof both);
    }
}

// sum + both products of each pair
inline Floats dot(Floats sum, Pairs a, Pairs b) { return fma(a.second, b.second, fma(a.first, b.first, sum)); }

// Four for each of sixteen sums.
struct Bytes {
    Vector<std::uint32_t> four;
};

inline Ints splat_int(int x) {
    return each<std::int32_t>([=](int) { return x - IntPart{}; });
}
inline int sum_of_ints(Ints x) {
    return over_lanes(x, [](auto a, auto b) { return a + b; });
}
inline Ints add(Ints a, Ints b) {
    return each<std::int32_t>([&](int i) { return a.part[i] + b.part[i]; });
}
inline Ints to_ints(Floats x) {  // to the nearest
    return each<std::int32_t>([&](int i) { return (IntPart)_mm256_cvtps_epi32(x.part[i]); });
}
inline Floats to_floats(Ints x) {
    return each<float>([&](int i) { return __builtin_convertvector(x.part[i], FloatPart); });
}
inline void store_bytes(std::int8_t *p, Ints x) {
    for (int i = 0; i < PARTS; i++)
        for (int lane = 0; lane < WIDTH; lane++) p[i * WIDTH + lane] = static_cast<std::int8_t>(x.part[i][lane]);
}

inline Bytes bytes_at(const std::uint8_t *p) {
    return {each<std::uint32_t>([=](int i) { return part_at<WordPart>(p + 4 * i * WIDTH); })};
}
inline Bytes low_halves(Bytes x) {
    return {each<std::uint32_t>([&](int i) { return x.four.part[i] & 0x0f0f0f0fu; })};
}
inline Bytes high_halves(Bytes x) {
    return {each<std::uint32_t>([&](int i) { return x.four.part[i] >> 4 & 0x0f0f0f0fu; })};
}
inline Bytes four_everywhere(const std::int8_t *p) {
    std::uint32_t four;
    std::memcpy(&four, p, sizeof four);
    return {each<std::uint32_t>([=](int) { return four - WordPart{}; })};
}

// Codes up to 15: two products, at most 2 * 15 * 127, stay within the 16 bits at which vpmaddubsw cuts them off.
[[gnu::always_inline]] inline __m256i pairwise(WordPart codes, WordPart x) {
    return _mm256_maddubs_epi16((__m256i)codes, (__m256i)x);
}
inline Ints multiply_add_halves(Ints sum, Bytes codes, Bytes x) {
    return each<std::int32_t>([&](int i) {
        const __m256i products = pairwise(codes.four.part[i], x.four.part[i]);
        return sum.part[i] + (IntPart)_mm256_madd_epi16(products, _mm256_set1_epi16(1));
    });
}
// Codes of 8 bits: 16 times the upper half and the lower.
inline Ints multiply_add(Ints sum, Bytes codes, Bytes x) {
    const Bytes low = low_halves(codes), high = high_halves(codes);
    return each<std::int32_t>([&](int i) {
        const __m256i lows = pairwise(low.four.part[i], x.four.part[i]), highs = pairwise(high.four.part[i], x.four.part[i]);
        return sum.part[i] + (IntPart)_mm256_madd_epi16(highs, _mm256_set1_epi16(16)) +
               (IntPart)_mm256_madd_epi16(lows, _mm256_set1_epi16(1));
    });
}
inline Floats halves_at(const std::uint8_t *p) {
    return each<float>([=](int i) { return (FloatPart)_mm256_cvtph_ps(part_at<__m128i>(p + 2 * i * WIDTH)); });
}

}  // namespace
}  // namespace chiliad
