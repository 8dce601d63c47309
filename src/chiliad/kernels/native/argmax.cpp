#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>

namespace chiliad {
namespace {

// The largest of x, or a NaN if there is one.
float top_of(const float *x, long width) {
    __m512 top = _mm512_set1_ps(-INFINITY);
    __mmask16 nan = 0;
    for (long i = 0; i < width; i += 16) {
        const __m512 v = _mm512_mask_loadu_ps(top, lanes(width - i), x + i);
        nan |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        top = _mm512_max_ps(top, v);
    }
    return nan ? NAN : _mm512_reduce_max_ps(top);
}

long first_of(const float *x, float wanted, long width) {
    const __m512 same = _mm512_set1_ps(wanted);
    const bool nan = std::isnan(wanted);
    for (long i = 0; i < width; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(lanes(width - i), x + i);
        const __mmask16 found = nan ? _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) : _mm512_cmp_ps_mask(v, same, _CMP_EQ_OQ);
        if (found & lanes(width - i)) return i + __builtin_ctz(found);
    }
    return 0;
}

}  // namespace

void argmax(const float *x, std::int64_t *best, long rows, long width) {
    parallel_for(rows, 1, [=](long begin, long end) {
        for (long row = begin; row < end; row++) {
            const float *mine = x + row * width;
            best[row] = first_of(mine, top_of(mine, width), width);
        }
    });
}

}  // namespace chiliad
