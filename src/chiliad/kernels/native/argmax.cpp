#include "threads.hpp"
#include "vectors.hpp"

#include <cmath>

namespace chiliad {
namespace {

// The largest of x, or a NaN if there is one.
float top_of(const float *x, long width) {
    Floats top = splat(-INFINITY);
    Mask nan = 0;
    for (long i = 0; i < width; i += 16) {
        const Floats v = where(lanes(width - i), load(x + i, lanes(width - i)), top);
        nan |= no_number(v);
        top = max(top, v);
    }
    return nan ? NAN : max_of(top);
}

long first_of(const float *x, float wanted, long width) {
    const Floats same = splat(wanted);
    const bool nan = std::isnan(wanted);
    for (long i = 0; i < width; i += 16) {
        const Floats v = load(x + i, lanes(width - i));
        const Mask found = nan ? no_number(v) : equal(v, same);
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
