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
    Floats top = splat(-INFINITY);
    for (long i = 0; i < vocab; i += 16) {
        const Mask mask = lanes(vocab - i);
        top = where(mask, max(top, load(logits + i, mask)), top);
    }
    return max_of(top);
}

bool contains(const bf16 *logits, long count, float wanted) {
    const Floats sought = splat(wanted);
    for (long i = 0; i < count; i += 16) {
        const Mask mask = lanes(count - i);
        if (equal(load(logits + i, mask), sought) & mask) return true;
    }
    return false;
}

float sum_of_exp(const bf16 *logits, long vocab, float top) {
    const Floats shift = splat(top);
    Floats sum = zero();
    for (long i = 0; i < vocab; i += 16) {
        const Mask mask = lanes(vocab - i);
        sum = where(mask, sum + exp(load(logits + i, mask) - shift), sum);
    }
    return sum_of(sum);
}

void to_slope(bf16 *logits, long vocab, long target, float top, float total) {
    const float chance = std::exp(number(logits[target]) - top) / total;
    const Floats shift = splat(top), share = splat(1.f / total);
    for (long i = 0; i < vocab; i += 16) {
        const Mask mask = lanes(vocab - i);
        store(logits + i, exp(load(logits + i, mask) - shift) * share, mask);
    }
    store(logits + target, splat(chance - 1.f), 1);
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
