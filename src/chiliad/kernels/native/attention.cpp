#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>
#include <cstdlib>

namespace chiliad {
namespace {

constexpr long DIM_MAX = 256;

// scores[t] = q . keys[t] * scale, for one query; returns the largest
float score(const bf16 *q, const bf16 *keys, long length, long dim, float scale, float *scores) {
    __m512bh query[DIM_MAX / 32];
    for (long i = 0; i < dim / 32; i++) query[i] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(q + 32 * i));
    float top = -INFINITY;
    for (long t = 0; t < length; t++) {
        __m512 sum = _mm512_setzero_ps();
        for (long i = 0; i < dim / 32; i++) {
            const auto key = reinterpret_cast<__m512bh>(_mm512_loadu_si512(keys + t * dim + 32 * i));
            sum = _mm512_dpbf16_ps(sum, query[i], key);
        }
        scores[t] = _mm512_reduce_add_ps(sum) * scale;
        top = scores[t] > top ? scores[t] : top;
    }
    return top;
}

// scores become exp(scores - top); returns their sum
float soften(float *scores, long length, float top) {
    const __m512 shift = _mm512_set1_ps(top);
    __m512 sum = _mm512_setzero_ps();
    for (long t = 0; t < length; t += 16) {
        const __mmask16 mask = lanes(length - t);
        const __m512 weight = exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, scores + t), shift));
        _mm512_mask_storeu_ps(scores + t, mask, weight);
        sum = _mm512_mask_add_ps(sum, mask, sum, weight);
    }
    return _mm512_reduce_add_ps(sum);
}

// out = sum over t of weights[t] * values[t] / total
void mix(const float *weights, const bf16 *values, long length, long dim, float total, bf16 *out) {
    const __m512 share = _mm512_set1_ps(1.f / total);
    for (long i = 0; i < dim; i += 32) {
        __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
        for (long t = 0; t < length; t++) {
            const __m512 weight = _mm512_set1_ps(weights[t]);
            low = _mm512_fmadd_ps(weight, load(values + t * dim + i), low);
            high = _mm512_fmadd_ps(weight, load(values + t * dim + i + 16), high);
        }
        store(out + i, _mm512_mul_ps(low, share));
        store(out + i + 16, _mm512_mul_ps(high, share));
    }
}

}  // namespace

void decode_attention(const bf16 *q, const bf16 *keys, const bf16 *values, const std::int64_t *cache_rows,
                      const std::int64_t *lengths, bf16 *out, long sequences, long kv_heads, long group, long capacity,
                      long dim) {
    const float scale = 1.f / std::sqrt(static_cast<float>(dim));
    parallel_for(sequences * kv_heads, 1, [=](long begin, long end) {
        auto *scores = static_cast<float *>(std::malloc(static_cast<std::size_t>(capacity) * sizeof(float)));
        for (long job = begin; job < end; job++) {
            const long sequence = job / kv_heads, kv_head = job % kv_heads, length = lengths[sequence];
            const long cached = (cache_rows[sequence] * kv_heads + kv_head) * capacity * dim;
            for (long head = kv_head * group; head < (kv_head + 1) * group; head++) {
                const long place = (sequence * kv_heads * group + head) * dim;
                const float top = score(q + place, keys + cached, length, dim, scale, scores);
                const float total = soften(scores, length, top);
                mix(scores, values + cached, length, dim, total, out + place);
            }
        }
        std::free(scores);
    });
}

}  // namespace chiliad
