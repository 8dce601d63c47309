// Scores are held transposed, [keys, queries of one head]: sixteen queries are a vector, so that a softmax is a loop over
// keys without sums across lanes, and keys and values multiply from the left as they are. The way back makes the weights
// anew; nothing but queries, keys and values is kept.
#include "attention.hpp"

#include "../buffer.hpp"
#include "../threads.hpp"
#include "tiles.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace chiliad::training {
namespace {

constexpr long QUERIES = 32;  // of one head that are computed together
constexpr int TILE = fitting(8), VECTORS = QUERIES / LANES;

long padded(long n) { return (n + QUERIES - 1) / QUERIES * QUERIES; }

// y [rows, columns] = x w (+ y), float32. columns and y's stride are multiples of 32.
void small_product(const Left &x, const Right &w, long rows, long columns, long pairs, bool add, float *y) {
    for (long column = 0; column < columns; column += QUERIES)
        in_tiles<TILE>(0, rows, [&](long row, auto count) {
            constexpr int ROWS = decltype(count)::value;
            Tile<ROWS, VECTORS> tile;
            tile.add({x.at + row * x.row_step, x.row_step, x.pair_step}, {w.at + 2 * column, w.width}, pairs);
            for (int r = 0; r < ROWS; r++)
                for (int v = 0; v < VECTORS; v++) {
                    float *at = y + (row + r) * columns + column + v * LANES;
                    store(at, add ? tile.sums[r][v] + load(at) : tile.sums[r][v]);
                }
        });
}

// x [rows, dim] -> [dim / 2, QUERIES, 2], zeros past the rows: the pairs of a row along dim, rows as outputs
void transpose_pairs(const bf16 *x, long step, long rows, long dim, bf16 *y) {
    std::memset(y, 0, static_cast<std::size_t>(dim * QUERIES) * sizeof(bf16));
    for (long row = 0; row < rows; row++)
        for (long d = 0; d < dim; d += 2) std::memcpy(y + d * QUERIES + 2 * row, x + row * step + d, 2 * sizeof(bf16));
}

// x [rows, dim] -> [pairs of rows, padded(dim), 2], zeros past the end: two rows side by side, dim as outputs
void interleave(const bf16 *x, long step, long rows, long dim, bf16 *y) {
    for (long row = 0; row < rows; row += 2)
        for (long d = 0; d < padded(dim); d += LANES) {
            const Mask mask = d < dim ? lanes(dim - d) : 0, second = row + 1 < rows ? mask : 0;
            const bf16 *at = x + row * step + d;
            store(y + row * padded(dim) + 2 * d, side_by_side(at, mask, at + step, second));
        }
}

// Memory of a thread for one row and key head; it stays for the next.
struct Scratch {
    Buffer<bf16> keys, values, key_pairs, value_pairs, packed, pairs, rounded, weight_pairs;
    Buffer<float> weights, grads, out, grad_keys, grad_values;
};

thread_local Scratch scratch;

template <class T>
T *room(Buffer<T> &buffer, long size) {
    buffer.reserve(size);
    return buffer.data();
}

// A row's keys and values for one key head, end to end, and products' views of them.
struct Keys {
    const Heads &heads;
    const Row &row;
    long kv_head, length, dim;
    bf16 *keys, *values;  // [length, dim]

    Keys(const Heads &h, const bf16 *qkv, const Row &r, long head)
        : heads(h), row(r), kv_head(head), length(r.length()), dim(h.dim) {
        keys = room(scratch.keys, length * dim);
        values = room(scratch.values, length * dim);
        for (long i = 0; i < length; i++) {
            const bf16 *token = qkv + this->token(i) * heads.width() + heads.queries() + kv_head * dim;
            std::memcpy(keys + i * dim, token, static_cast<std::size_t>(dim) * sizeof(bf16));
            std::memcpy(values + i * dim, token + heads.kv_heads * dim, static_cast<std::size_t>(dim) * sizeof(bf16));
        }
    }

    long token(long i) const {
        return i < row.before.size() ? row.before.begin + i : row.own.begin + i - row.before.size();
    }
};

// Up to QUERIES queries of one head: those of the row's own tokens from `start` on.
struct Queries {
    const Heads &heads;
    const Keys &keys;
    long head, start, count;

    long first_token() const { return keys.row.own.begin + start; }
    long seen() const { return keys.row.before.size() + start + count; }  // keys that the last of them sees
    const bf16 *of(const bf16 *tokens, long width) const { return tokens + first_token() * width + head * heads.dim; }
    // Which of 16 queries from `lane` on see this key.
    Mask see(long key, long lane) const {
        const long hidden = key - keys.row.before.size() - start - lane;  // queries before the key's own token
        return hidden <= 0 ? 0xffff : hidden >= LANES ? 0 : static_cast<Mask>(0xffff << hidden);
    }
};

// scores [seen, QUERIES] -> softmax over the keys, zero where a query does not see the key
void soften(const Queries &queries, float scale, float *scores) {
    const long seen = queries.seen();
    for (long lane = 0; lane < QUERIES; lane += LANES) {
        Floats top = splat(-INFINITY), total = zero();
        for (long key = 0; key < seen; key++)
            top = where(queries.see(key, lane), max(top, load(scores + key * QUERIES + lane)), top);
        const Floats factor = splat(scale), shift = top * factor;
        for (long key = 0; key < seen; key++) {
            float *at = scores + key * QUERIES + lane;
            const Floats weight = exp(fms(load(at), factor, shift));
            const Floats masked = where(queries.see(key, lane), weight, zero());
            store(at, masked);
            total = total + masked;
        }
        const Floats share = splat(1.f) / total;
        for (long key = 0; key < seen; key++) {
            float *at = scores + key * QUERIES + lane;
            store(at, load(at) * share);
        }
    }
}

// weights [seen, QUERIES] of softmax over the keys
void weigh(const Queries &queries, const bf16 *qkv, bf16 *packed, float *weights) {
    const Heads &heads = queries.heads;
    transpose_pairs(queries.of(qkv, heads.width()), heads.width(), queries.count, heads.dim, packed);
    small_product({queries.keys.keys, heads.dim}, {packed, QUERIES}, queries.seen(), QUERIES, heads.dim / 2, false, weights);
    soften(queries, 1.f / std::sqrt(static_cast<float>(heads.dim)), weights);
}

// weights [seen, QUERIES] -> [pairs of keys, QUERIES, 2]
void pair_keys(const float *weights, long seen, bf16 *pairs) {
    for (long key = 0; key < seen; key += 2)
        for (long lane = 0; lane < QUERIES; lane += LANES) {
            const float *at = weights + key * QUERIES + lane;
            const Floats second = key + 1 < seen ? load(at + QUERIES) : zero();
            store(pairs + key * QUERIES + 2 * lane, side_by_side(load(at), second));
        }
}

void round_all(const float *x, long rows, long from, long width, bf16 *y, long step) {
    for (long row = 0; row < rows; row++)
        for (long i = 0; i < width; i += LANES) {
            const Mask mask = lanes(width - i);
            store(y + row * step + i, load(x + row * from + i, mask), mask);
        }
}

template <class F>
void for_queries(const Keys &keys, const F &f) {
    for (long head = keys.kv_head * keys.heads.group(); head < (keys.kv_head + 1) * keys.heads.group(); head++)
        for (long start = 0; start < keys.row.own.size(); start += QUERIES)
            f(Queries{keys.heads, keys, head, start, std::min(QUERIES, keys.row.own.size() - start)});
}

void attend_row(const Heads &heads, const bf16 *qkv, const Row &row, long kv_head, bf16 *seen) {
    const long length = row.length(), dim = heads.dim, wide = padded(dim);
    const Keys keys(heads, qkv, row, kv_head);
    bf16 *value_pairs = room(scratch.value_pairs, (length + 1) * wide);
    bf16 *packed = room(scratch.packed, QUERIES * dim), *weight_pairs = room(scratch.weight_pairs, (length + 1) * QUERIES);
    float *weights = room(scratch.weights, length * QUERIES), *out = room(scratch.out, QUERIES * wide);
    interleave(keys.values, dim, length, dim, value_pairs);
    for_queries(keys, [&](const Queries &queries) {
        weigh(queries, qkv, packed, weights);
        pair_keys(weights, queries.seen(), weight_pairs);
        const long pairs = (queries.seen() + 1) / 2;
        small_product({weight_pairs, 2, 2 * QUERIES}, {value_pairs, wide}, queries.count, wide, pairs, false, out);
        round_all(out, queries.count, wide, dim, seen + queries.first_token() * heads.queries() + queries.head * dim,
                  heads.queries());
    });
}

// weights and their gradients [seen, QUERIES] -> gradients of the scores, in place of the latter
void soften_backward(long seen, float scale, const float *weights, float *grads) {
    for (long lane = 0; lane < QUERIES; lane += LANES) {
        Floats mean = zero();
        for (long at = lane; at < seen * QUERIES; at += QUERIES)
            mean = fma(load(weights + at), load(grads + at), mean);
        const Floats factor = splat(scale);
        for (long at = lane; at < seen * QUERIES; at += QUERIES) {
            const Floats weight = load(weights + at) * factor;
            store(grads + at, weight * (load(grads + at) - mean));
        }
    }
}

void attend_row_backward(const Heads &heads, const bf16 *qkv, const bf16 *grad_seen, const Row &row, long kv_head,
                         bf16 *grad_qkv, float *before) {
    const long length = row.length(), dim = heads.dim, wide = padded(dim), width = heads.width();
    const Keys keys(heads, qkv, row, kv_head);
    bf16 *key_pairs = room(scratch.key_pairs, (length + 1) * wide);
    bf16 *packed = room(scratch.packed, QUERIES * dim), *pairs = room(scratch.pairs, QUERIES * wide);
    bf16 *rounded = room(scratch.rounded, length * QUERIES);
    bf16 *grad_pairs = room(scratch.weight_pairs, (length + 1) * QUERIES);
    float *weights = room(scratch.weights, length * QUERIES), *grads = room(scratch.grads, length * QUERIES);
    float *grad_keys = room(scratch.grad_keys, length * wide), *grad_values = room(scratch.grad_values, length * wide);
    float *out = room(scratch.out, QUERIES * wide);
    interleave(keys.keys, dim, length, dim, key_pairs);
    std::fill_n(grad_keys, length * wide, 0.f);
    std::fill_n(grad_values, length * wide, 0.f);
    const float scale = 1.f / std::sqrt(static_cast<float>(dim));
    for_queries(keys, [&](const Queries &queries) {
        const long seen = queries.seen(), steps = (queries.count + 1) / 2;
        const bf16 *grad = queries.of(grad_seen, heads.queries());
        weigh(queries, qkv, packed, weights);
        round_all(weights, seen, QUERIES, QUERIES, rounded, QUERIES);
        interleave(grad, heads.queries(), queries.count, dim, pairs);
        small_product({rounded, QUERIES}, {pairs, wide}, seen, wide, steps, true, grad_values);
        transpose_pairs(grad, heads.queries(), queries.count, dim, packed);
        small_product({keys.values, dim}, {packed, QUERIES}, seen, QUERIES, dim / 2, false, grads);
        soften_backward(seen, scale, weights, grads);
        round_all(grads, seen, QUERIES, QUERIES, rounded, QUERIES);
        interleave(queries.of(qkv, width), width, queries.count, dim, pairs);
        small_product({rounded, QUERIES}, {pairs, wide}, seen, wide, steps, true, grad_keys);
        pair_keys(grads, seen, grad_pairs);
        small_product({grad_pairs, 2, 2 * QUERIES}, {key_pairs, wide}, queries.count, wide, (seen + 1) / 2, false, out);
        round_all(out, queries.count, wide, dim, grad_qkv + queries.first_token() * width + queries.head * dim, width);
    });
    const long shared = row.before.size(), own = row.own.size();
    for (long values = 0; values < 2; values++) {
        const float *from = values ? grad_values : grad_keys;
        const long column = heads.queries() + (values * heads.kv_heads + kv_head) * dim;
        round_all(from + shared * wide, own, wide, dim, grad_qkv + row.own.begin * width + column, width);
        for (long i = 0; i < shared; i++)
            std::copy_n(from + i * wide, dim, before + (((row.place + i) * heads.kv_heads + kv_head) * 2 + values) * dim);
    }
}

template <class F>
void for_rows(const Heads &heads, const std::vector<Row> &rows, const F &f) {
    parallel_for(static_cast<long>(rows.size()) * heads.kv_heads, 1, [&](long begin, long end) {
        for (long job = begin; job < end; job++)
            f(rows[static_cast<std::size_t>(job / heads.kv_heads)], job % heads.kv_heads);
    });
}

}  // namespace

void rotate(const Heads &heads, bf16 *qkv, const bf16 *cos, const bf16 *sin, float turn, long begin, long end) {
    for (long token = begin; token < end; token++) {
        bf16 *const at = qkv + token * heads.width();
        rotate_heads(at, cos + token * heads.dim, sin + token * heads.dim, turn, at, heads.heads + heads.kv_heads, heads.dim);
    }
}

void attend(const Heads &heads, const bf16 *qkv, const std::vector<Row> &rows, bf16 *seen) {
    for_rows(heads, rows, [&](const Row &row, long kv_head) { attend_row(heads, qkv, row, kv_head, seen); });
}

void attend_backward(const Heads &heads, const bf16 *qkv, const bf16 *grad_seen, const std::vector<Row> &rows,
                     bf16 *grad_qkv, float *before) {
    for_rows(heads, rows, [&](const Row &row, long kv_head) {
        attend_row_backward(heads, qkv, grad_seen, row, kv_head, grad_qkv, before);
    });
}

void collect(const Heads &heads, const std::vector<Row> &rows, const float *before, long token, bf16 *grad_qkv) {
    const long size = 2 * heads.kv_heads * heads.dim;
    std::vector<float> sums;
    for (const Row &row : rows)
        if (row.before.begin <= token && token < row.before.end) {
            const float *share = before + (row.place + token - row.before.begin) * size;
            sums.resize(static_cast<std::size_t>(size));
            for (long i = 0; i < size; i++) sums[static_cast<std::size_t>(i)] += share[i];
        }
    for (long i = 0; i < static_cast<long>(sums.size()); i++) {  // by head keys, then values; a token has all keys first
        const long head = i / heads.dim / 2, values = i / heads.dim % 2;
        const long column = heads.queries() + (values * heads.kv_heads + head) * heads.dim + i % heads.dim;
        bf16 *to = grad_qkv + token * heads.width() + column;
        store(to, splat(sums[static_cast<std::size_t>(i)]) + load(to, 1), 1);
    }
}

}  // namespace chiliad::training
