#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>

namespace chiliad {
namespace {

float number(bf16 bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float out;
    __builtin_memcpy(&out, &wide, sizeof out);
    return out;
}

float largest(const bf16 *logits, long vocab) {
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (long i = 0; i < vocab; i += 16) {
        const __mmask16 mask = lanes(vocab - i);
        top = _mm512_mask_max_ps(top, mask, top, load(logits + i, mask));
    }
    return _mm512_reduce_max_ps(top);
}

bool contains(const bf16 *logits, long count, float wanted) {
    const __m512 all = _mm512_set1_ps(wanted);
    for (long i = 0; i < count; i += 16) {
        const __mmask16 mask = lanes(count - i);
        if (_mm512_mask_cmp_ps_mask(mask, load(logits + i, mask), all, _CMP_EQ_OQ)) return true;
    }
    return false;
}

float sum_of_exp(const bf16 *logits, long vocab, float top) {
    const __m512 shift = _mm512_set1_ps(top);
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < vocab; i += 16) {
        const __mmask16 mask = lanes(vocab - i);
        sum = _mm512_mask_add_ps(sum, mask, sum, exp(_mm512_sub_ps(load(logits + i, mask), shift)));
    }
    return _mm512_reduce_add_ps(sum);
}

void to_slope(bf16 *logits, long vocab, long target, float top, float total) {
    const float chance = std::exp(number(logits[target]) - top) / total;
    const __m512 shift = _mm512_set1_ps(top), share = _mm512_set1_ps(1.f / total);
    for (long i = 0; i < vocab; i += 16) {
        const __mmask16 mask = lanes(vocab - i);
        store(logits + i, _mm512_mul_ps(exp(_mm512_sub_ps(load(logits + i, mask), shift)), share), mask);
    }
    store(logits + target, _mm512_set1_ps(chance - 1.f), 1);
}

}  // namespace

void cross_entropy(bf16 *logits, const std::int64_t *targets, float *nll, bool *correct, bool slope, long rows,
                   long vocab) {
    parallel_for(rows, 1, [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            bf16 *mine = logits + row * vocab;
            const long target = targets[row];
            const float top = largest(mine, vocab), of_target = number(mine[target]);
            const float total = sum_of_exp(mine, vocab, top);
            nll[row] = std::log(total) + top - of_target;
            correct[row] = of_target == top && !contains(mine, target, top);
            if (slope) to_slope(mine, vocab, target, top, total);
        }
    });
}

}  // namespace chiliad
