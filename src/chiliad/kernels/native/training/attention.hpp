// Block-diagonal causal attention of packed rows that may begin with the same tokens, and the way back through it.
#pragma once

#include "lora.hpp"

namespace chiliad::training {

// A token's queries, keys and values lie side by side: [heads + 2 * kv_heads, dim]. Query heads that share a key head are
// neighbours.
struct Heads {
    long heads, kv_heads, dim;

    long group() const { return heads / kv_heads; }
    long queries() const { return heads * dim; }
    long width() const { return (heads + 2 * kv_heads) * dim; }
};

// The tokens of a row, and those that stand before them in the batch once for several rows.
struct Row {
    Range own, before;
    long place;  // among the tokens before rows, of its own share of their gradients

    long length() const { return before.size() + own.size(); }
};

// Rotate the queries and keys of tokens [begin, end) in place. cos, sin: [tokens, dim]; `turn` is 1 forward, -1 backward.
void rotate(const Heads &heads, bf16 *qkv, const bf16 *cos, const bf16 *sin, float turn, long begin, long end);

// qkv: [tokens, width], rotated; seen: [tokens, queries].
void attend(const Heads &heads, const bf16 *qkv, const std::vector<Row> &rows, bf16 *seen);

// grad_qkv: [tokens, width] from grad_seen [tokens, queries]. What a row's tokens pass to the tokens before it goes to its
// share of `before` [places, kv_heads, 2 (keys, values), dim], which `collect` adds up.
void attend_backward(const Heads &heads, const bf16 *qkv, const bf16 *grad_seen, const std::vector<Row> &rows,
                     bf16 *grad_qkv, float *before);

// Add to a token's gradients what all rows that it stands before have for it, in their order.
void collect(const Heads &heads, const std::vector<Row> &rows, const float *before, long token, bf16 *grad_qkv);

}  // namespace chiliad::training
