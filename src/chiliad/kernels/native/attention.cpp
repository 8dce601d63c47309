#include "step.hpp"
#include "vectors.hpp"

#include <cmath>
#include <cstring>

namespace chiliad {
namespace {

constexpr int HEADS_MAX = 4;  // query heads whose sums are in registers at once
constexpr int WIDTH = 4;      // vectors of an output that are summed at once

long padded(long length) { return (length + BLOCK - 1) / BLOCK * BLOCK; }

// Two keys' and two values' worth of a block that is needed soon: it lies far from the one in use.
void fetch(const bf16 *p) {
    for (long line = 0; line < 4; line++) _mm_prefetch(p + 32 * line, _MM_HINT_T1);
}

// scores[head, t] = q[head] . keys[t] * scale, up to the end of the last block; what lies past `length` is arbitrary
template <int HEADS>
void score(const bf16 *q, bf16 *const *blocks, long at, long length, long dim, float *scores) {
    const __m512 scale = _mm512_set1_ps(1.f / std::sqrt(static_cast<float>(dim)));
    for (long start = 0; start < length; start += BLOCK) {
        const bf16 *keys = blocks[start / BLOCK] + at;
        const bf16 *next = start + BLOCK < length ? blocks[start / BLOCK + 1] + at : nullptr;
        __m512 low[HEADS], high[HEADS];
        for (int h = 0; h < HEADS; h++) low[h] = high[h] = _mm512_setzero_ps();
        for (long d = 0; d < dim; d += 2) {
            if (next) fetch(next + 2 * d * BLOCK);
            const __m512bh first = pairs_at(keys + d * BLOCK), second = pairs_at(keys + d * BLOCK + 32);
            for (int h = 0; h < HEADS; h++) {
                const __m512bh both = pair_everywhere(q + h * dim + d);
                low[h] = _mm512_dpbf16_ps(low[h], both, first);
                high[h] = _mm512_dpbf16_ps(high[h], both, second);
            }
        }
        for (int h = 0; h < HEADS; h++) {
            float *out = scores + h * padded(length) + start;
            _mm512_storeu_ps(out, _mm512_mul_ps(low[h], scale));
            _mm512_storeu_ps(out + 16, _mm512_mul_ps(high[h], scale));
        }
    }
}

// weights[t] = exp(scores[t] - the largest) in bf16, zero past `length`; returns their sum
float soften(const float *scores, long length, bf16 *weights) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 top = lowest, sum = _mm512_setzero_ps();
    for (long t = 0; t < length; t += 16)
        top = _mm512_max_ps(top, _mm512_mask_loadu_ps(lowest, lanes(length - t), scores + t));
    const __m512 shift = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    for (long t = 0; t < length; t += 16) {
        const __mmask16 mask = lanes(length - t);
        const __m512 weight = _mm512_maskz_mov_ps(mask, exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, scores + t), shift)));
        store(weights + t, weight);
        sum = _mm512_add_ps(sum, weight);
    }
    return _mm512_reduce_add_ps(sum);
}

// out[head] = sum over t of weights[head, t] * values[t] * shares[head], for WIDTH vectors of the outputs from `start` on
template <int HEADS>
void mix(const bf16 *weights, bf16 *const *blocks, long at, long length, long dim, long start, const float *shares,
         bf16 *out) {
    const __m512i evens = _mm512_set1_epi32(0xffff);
    __mmask16 masks[WIDTH];
    for (int v = 0; v < WIDTH; v++) masks[v] = start + 16 * v < dim ? lanes(dim - start - 16 * v) : 0;
    __m512 sums[HEADS][WIDTH];
    for (auto &row : sums)
        for (auto &sum : row) sum = _mm512_setzero_ps();
    for (long t = 0; t < length; t += 2) {
        const bf16 *values = blocks[t / BLOCK] + at + (t % BLOCK) * dim + 2 * start;
        __m512bh both[WIDTH];
        for (int v = 0; v < WIDTH; v++) {
            both[v] = pairs_at(values + 32 * v, masks[v]);
            if (t + 1 == length)  // what lies past the end may be no number
                both[v] = reinterpret_cast<__m512bh>(_mm512_and_si512(reinterpret_cast<__m512i>(both[v]), evens));
        }
        for (int h = 0; h < HEADS; h++) {
            const __m512bh weight = pair_everywhere(weights + h * padded(length) + t);
            for (int v = 0; v < WIDTH; v++) sums[h][v] = _mm512_dpbf16_ps(sums[h][v], weight, both[v]);
        }
    }
    for (int h = 0; h < HEADS; h++)
        for (int v = 0; v < WIDTH; v++)
            store(out + h * dim + start + 16 * v, _mm512_mul_ps(sums[h][v], _mm512_set1_ps(shares[h])), masks[v]);
}

template <int HEADS>
void attend_heads(const bf16 *q, bf16 *const *blocks, long at, long length, long dim, float *scores, bf16 *out) {
    auto *weights = reinterpret_cast<bf16 *>(scores + HEADS_MAX * padded(length));
    float shares[HEADS];
    score<HEADS>(q, blocks, at, length, dim, scores);
    for (int h = 0; h < HEADS; h++)
        shares[h] = 1.f / soften(scores + h * padded(length), length, weights + h * padded(length));
    for (long start = 0; start < dim; start += 16 * WIDTH)
        mix<HEADS>(weights, blocks, at + BLOCK * dim, length, dim, start, shares, out);
}

void add_row(const bf16 *add, bf16 *x, long width) {
    for (long i = 0; i < width; i += 16) {
        const __mmask16 mask = lanes(width - i);
        store(x + i, _mm512_add_ps(load(x + i, mask), load(add + i, mask)), mask);
    }
}

void norm_heads(bf16 *x, const bf16 *weight, float eps, long heads, long dim) {
    for (long head = 0; head < heads; head++, x += dim) {
        __m512 squares = _mm512_setzero_ps();
        for (long i = 0; i < dim; i += 16) {
            const __m512 v = load(x + i, lanes(dim - i));
            squares = _mm512_fmadd_ps(v, v, squares);
        }
        const __m512 factor = _mm512_set1_ps(1.f / std::sqrt(_mm512_reduce_add_ps(squares) / static_cast<float>(dim) + eps));
        for (long i = 0; i < dim; i += 16) {
            const __mmask16 mask = lanes(dim - i);
            store(x + i, _mm512_mul_ps(_mm512_mul_ps(load(x + i, mask), factor), load(weight + i, mask)), mask);
        }
    }
}

using Attend = decltype(&attend_heads<1>);
constexpr Attend ATTEND[HEADS_MAX + 1] = {nullptr, attend_heads<1>, attend_heads<2>, attend_heads<3>, attend_heads<4>};

}  // namespace

void place_row(const Heads &heads, const HeadTensors &tensors, bf16 *qkv, const bf16 *cos, const bf16 *sin, bf16 *block,
               long layer, long slot) {
    const long dim = heads.dim, width = heads.kv_heads * dim;
    bf16 *keys = qkv + heads.queries();
    if (tensors.bias) add_row(tensors.bias, qkv, heads.qkv());
    if (tensors.q_norm) norm_heads(qkv, tensors.q_norm, tensors.eps, heads.kv_heads * heads.group, dim);
    if (tensors.k_norm) norm_heads(keys, tensors.k_norm, tensors.eps, heads.kv_heads, dim);
    rotate_heads(qkv, cos, sin, 1.f, qkv, heads.kv_heads * heads.group + heads.kv_heads, dim);
    for (long head = 0; head < heads.kv_heads; head++) {
        const bf16 *key = keys + head * dim, *value = key + width;
        bf16 *key_places = block + heads.of_head(layer, head), *value_places = key_places + BLOCK * dim;
        for (long d = 0; d < dim; d += 2) std::memcpy(key_places + d * BLOCK + 2 * slot, key + d, 2 * sizeof(bf16));
        for (long d = 0; d < dim; d++) value_places[slot / 2 * 2 * dim + 2 * d + slot % 2] = value[d];
    }
}

void attend(const Heads &heads, const bf16 *q, bf16 *const *blocks, long layer, long kv_head, long length, float *scratch,
            bf16 *out) {
    const long at = heads.of_head(layer, kv_head);
    for (long head = 0; head < heads.group; head += HEADS_MAX) {
        const long count = heads.group - head < HEADS_MAX ? heads.group - head : HEADS_MAX;
        ATTEND[count](q + head * heads.dim, blocks, at, length, heads.dim, scratch, out + head * heads.dim);
    }
}

long attend_scratch(long length) { return HEADS_MAX * padded(length) * 3 / 2; }

}  // namespace chiliad
