#include "step.hpp"
#include "vectors.hpp"

#include <cmath>
#include <cstring>
#include <utility>

namespace chiliad {
namespace {

constexpr int HEADS_MAX = fitting(4);  // query heads whose sums are in registers at once
constexpr int OUTPUTS = 4;             // vectors of an output that are summed at once

long padded(long length) { return (length + BLOCK - 1) / BLOCK * BLOCK; }

// Two keys' and two values' worth of a block that is needed soon: it lies far from the one in use.
void fetch(const bf16 *p) {
    for (long line = 0; line < 4; line++) fetch_line(p + 32 * line);
}

// scores[head, t] = q[head] . keys[t] * scale, up to the end of the last block; what lies past `length` is arbitrary
template <int HEADS>
void score(const bf16 *q, bf16 *const *blocks, long at, long length, long dim, float *scores) {
    const Floats scale = splat(1.f / std::sqrt(static_cast<float>(dim)));
    for (long start = 0; start < length; start += BLOCK) {
        const bf16 *keys = blocks[start / BLOCK] + at;
        const bf16 *next = start + BLOCK < length ? blocks[start / BLOCK + 1] + at : nullptr;
        Floats low[HEADS], high[HEADS];
        for (int h = 0; h < HEADS; h++) low[h] = high[h] = zero();
        for (long d = 0; d < dim; d += 2) {
            if (next) fetch(next + 2 * d * BLOCK);
            const Pairs first = pairs_at(keys + d * BLOCK), second = pairs_at(keys + d * BLOCK + 32);
            for (int h = 0; h < HEADS; h++) {
                const Pairs both = pair_everywhere(q + h * dim + d);
                low[h] = dot(low[h], both, first);
                high[h] = dot(high[h], both, second);
            }
        }
        for (int h = 0; h < HEADS; h++) {
            float *out = scores + h * padded(length) + start;
            store(out, low[h] * scale);
            store(out + 16, high[h] * scale);
        }
    }
}

// weights[t] = exp(scores[t] - the largest) in bf16, zero past `length`; returns their sum
float soften(const float *scores, long length, bf16 *weights) {
    const Floats lowest = splat(-INFINITY);
    Floats top = lowest, sum = zero();
    for (long t = 0; t < length; t += 16)
        top = max(top, where(lanes(length - t), load(scores + t, lanes(length - t)), lowest));
    const Floats shift = splat(max_of(top));
    for (long t = 0; t < length; t += 16) {
        const Mask mask = lanes(length - t);
        const Floats weight = where(mask, exp(load(scores + t, mask) - shift), zero());
        store(weights + t, weight);
        sum = sum + weight;
    }
    return sum_of(sum);
}

// out[head] = sum over t of weights[head, t] * values[t] * shares[head], for OUTPUTS vectors of the outputs from `start` on
template <int HEADS>
void mix(const bf16 *weights, bf16 *const *blocks, long at, long length, long dim, long start, const float *shares,
         bf16 *out) {
    Mask masks[OUTPUTS];
    for (int v = 0; v < OUTPUTS; v++) masks[v] = start + 16 * v < dim ? lanes(dim - start - 16 * v) : 0;
    Floats sums[HEADS][OUTPUTS];
    for (auto &row : sums)
        for (auto &sum : row) sum = zero();
    for (long t = 0; t < length; t += 2) {
        const bf16 *values = blocks[t / BLOCK] + at + (t % BLOCK) * dim + 2 * start;
        Pairs both[OUTPUTS];
        for (int v = 0; v < OUTPUTS; v++) {
            both[v] = pairs_at(values + 32 * v, masks[v]);
            if (t + 1 == length) both[v] = firsts(both[v]);  // what lies past the end may be no number
        }
        for (int h = 0; h < HEADS; h++) {
            const Pairs weight = pair_everywhere(weights + h * padded(length) + t);
            for (int v = 0; v < OUTPUTS; v++) sums[h][v] = dot(sums[h][v], weight, both[v]);
        }
    }
    for (int h = 0; h < HEADS; h++)
        for (int v = 0; v < OUTPUTS; v++)
            store(out + h * dim + start + 16 * v, sums[h][v] * splat(shares[h]), masks[v]);
}

template <int HEADS>
void attend_heads(const bf16 *q, bf16 *const *blocks, long at, long length, long dim, float *scores, bf16 *out) {
    auto *weights = reinterpret_cast<bf16 *>(scores + HEADS_MAX * padded(length));
    float shares[HEADS];
    score<HEADS>(q, blocks, at, length, dim, scores);
    for (int h = 0; h < HEADS; h++)
        shares[h] = 1.f / soften(scores + h * padded(length), length, weights + h * padded(length));
    for (long start = 0; start < dim; start += 16 * OUTPUTS)
        mix<HEADS>(weights, blocks, at + BLOCK * dim, length, dim, start, shares, out);
}

void add_row(const bf16 *add, bf16 *x, long width) {
    for (long i = 0; i < width; i += 16) {
        const Mask mask = lanes(width - i);
        store(x + i, load(x + i, mask) + load(add + i, mask), mask);
    }
}

void norm_heads(bf16 *x, const bf16 *weight, float eps, long heads, long dim) {
    for (long head = 0; head < heads; head++, x += dim) {
        Floats squares = zero();
        for (long i = 0; i < dim; i += 16) {
            const Floats v = load(x + i, lanes(dim - i));
            squares = fma(v, v, squares);
        }
        const Floats factor = splat(1.f / std::sqrt(sum_of(squares) / static_cast<float>(dim) + eps));
        for (long i = 0; i < dim; i += 16) {
            const Mask mask = lanes(dim - i);
            store(x + i, load(x + i, mask) * factor * load(weight + i, mask), mask);
        }
    }
}

template <int... LESS>
void attend_some(std::integer_sequence<int, LESS...>, long count, const bf16 *q, bf16 *const *blocks, long at, long length,
                  long dim, float *scores, bf16 *out) {
    constexpr decltype(&attend_heads<1>) BY_COUNT[] = {attend_heads<LESS + 1>...};
    BY_COUNT[count - 1](q, blocks, at, length, dim, scores, out);
}

}  // namespace

void place_row(const Heads &heads, const HeadTensors &tensors, const bf16 *scales, bf16 *qkv, const bf16 *cos, const bf16 *sin,
               bf16 *block, long layer, long slot) {
    const long dim = heads.dim, width = heads.kv_heads * dim;
    bf16 *keys = qkv + heads.queries();
    if (tensors.bias) add_row(tensors.bias, qkv, heads.qkv());
    if (scales) scale_row(keys, scales, heads.keys_values());
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
        attend_some(std::make_integer_sequence<int, HEADS_MAX>(), count, q + head * heads.dim, blocks, at, length, heads.dim,
                     scratch, out + head * heads.dim);
    }
}

long attend_scratch(long length) { return HEADS_MAX * padded(length) * 3 / 2; }

}  // namespace chiliad
