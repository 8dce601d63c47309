#include "pass.hpp"

#include "../threads.hpp"
#include "../vectors.hpp"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>

namespace chiliad::training {
namespace {

constexpr long BLOCK_ROWS = 48;    // tokens that stay in a thread's cache from one operation to the next
constexpr long LOGITS_ROWS = 256;  // answers whose logits exist at once

void copy_row(const bf16 *from, bf16 *to, long width) {
    std::memmove(to, from, static_cast<std::size_t>(width) * sizeof(bf16));
}

// Rows of x that stand at `places`, ascending, move to the front; y may be x.
void gather(const bf16 *x, const std::int64_t *places, long count, long width, bf16 *y) {
    for (long i = 0; i < count; i++) copy_row(x + places[i] * width, y + i * width, width);
}

// The way back of `gather` in place; all other rows become zero.
void scatter(bf16 *x, const std::int64_t *places, long count, long rows, long width) {
    for (long row = rows - 1; row >= 0; row--) {
        if (count && places[count - 1] == row) {
            copy_row(x + --count * width, x + row * width, width);
        } else {
            std::fill_n(x + row * width, width, bf16{0});
        }
    }
}

// y += x
void add_to(const bf16 *x, bf16 *y, long size) {
    for (long i = 0; i < size; i += LANES) {
        const Mask mask = lanes(size - i);
        store(y + i, load(x + i, mask) + load(y + i, mask), mask);
    }
}

// y = scale * x
void round_scaled(const float *x, float scale, bf16 *y, long size) {
    const Floats factor = splat(scale);
    for (long i = 0; i < size; i += LANES) {
        const Mask mask = lanes(size - i);
        store(y + i, factor * load(x + i, mask), mask);
    }
}

long columns_max(const std::vector<Segment> &segments, long group) {
    long most = 0;
    for (const Segment &segment : segments) most = std::max(most, segment.expert->group(group).forward.columns);
    return most;
}

// In large pages, and with room to grow: memory costs nothing before it is used, first use of a page costs much.
void reserve_large(Buffer<bf16> &buffer, long size) {
    if (buffer.bytes() >= size * static_cast<long>(sizeof(bf16))) return;
    buffer.reserve(size + size / 2);
    constexpr std::uintptr_t LARGE = 2 << 20;
    const auto begin = (reinterpret_cast<std::uintptr_t>(buffer.data()) + LARGE - 1) / LARGE * LARGE;
    const auto end = reinterpret_cast<std::uintptr_t>(buffer.data()) + static_cast<std::uintptr_t>(buffer.bytes());
    if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace

Tokens::Tokens(std::vector<Segment> parts) : segments(std::move(parts)) {
    long before = 0;
    for (std::size_t i = 0; i < segments.size(); i++) {
        const Segment &segment = segments[i];
        pairs.push_back(before);
        before += (segment.end - segment.begin + 1) / 2;
        for (long row = segment.begin; row < segment.end; row += BLOCK_ROWS)
            blocks.push_back({static_cast<long>(i), row, std::min(row + BLOCK_ROWS, segment.end)});
    }
}

Tokens Tokens::among(const std::int64_t *predicts, long answers) const {
    std::vector<Segment> parts;
    for (const Segment &segment : segments) {
        const long begin = std::lower_bound(predicts, predicts + answers, segment.begin) - predicts;
        const long end = std::lower_bound(predicts, predicts + answers, segment.end) - predicts;
        parts.push_back({begin, end, segment.expert});
    }
    return Tokens(parts);
}

void Pass::forward(const Batch &batch, bool keep, float *nll, bool *correct) {
    if (!batch.answers) return;
    const Tokens all(batch.segments), answers = all.among(batch.predicts, batch.answers);
    make_room(batch, all, keep);
    begin(batch, all);
    for (long layer = 0; layer <= last(); layer++) {
        attention(batch, all, layer);
        output(layer == last() ? answers : all, layer);
        mlp(layer == last() ? answers : all, layer);
    }
    losses(batch, keep, nll, correct);
}

void Pass::backward(const Batch &batch, const float *weights) {
    if (!batch.answers) return;
    const Tokens all(batch.segments), answers = all.among(batch.predicts, batch.answers);
    make_room_back(batch, all);
    losses_backward(answers, weights);
    for (long layer = last(); layer >= 0; layer--) {
        mlp_backward(layer == last() ? answers : all, layer);
        output_backward(layer == last() ? answers : all, layer);
        attention_backward(batch, all, layer);
    }
}

Matrix Pass::there(const Frozen &frozen) {
    if (!frozen.codes.codes) return frozen.forward;
    decoded_.reserve(room_of(frozen.codes));
    return lay_out(frozen.codes, decoded_.data());
}

Matrix Pass::back(const Frozen &frozen) {
    if (!frozen.codes.codes) return frozen.backward;
    decoded_.reserve(room_of(frozen.codes));
    return lay_out_transposed(frozen.codes, decoded_.data());
}

void Pass::begin(const Batch &batch, const Tokens &all) {
    const long hidden = shape_.hidden, dim = shape_.heads.dim;
    for (const Tokens::Block &block : all.blocks)
        for (long token = block.begin; token < block.end; token++) {
            copy_row(ends_.embedding + batch.ids[token] * hidden, kept(0).x + token * hidden, hidden);
            copy_row(ends_.cos + batch.positions[token] * dim, cos_.data() + token * dim, dim);
            copy_row(ends_.sin + batch.positions[token] * dim, sin_.data() + token * dim, dim);
        }
}

void Pass::attention(const Batch &batch, const Tokens &all, long layer) {
    const Kept &mine = kept(layer);
    const Layer &weights = frozen(layer);
    for_blocks(all, layer, QKV, false, [&](const Run &run, long pair, long begin, long end) {
        norm(mine.x, weights.attention_norm, begin, end);
        thin_product(normed_.data(), run, pair, begin, end, mine.inner[QKV]);
    });
    product(normed_.data(), there(weights.groups[QKV]), runs(all, layer, QKV, false), mine.inner[QKV], {mine.qkv});
    for_blocks(all, layer, QKV, false, [&](const Run &, long, long begin, long end) {
        rotate(shape_.heads, mine.qkv, cos_.data(), sin_.data(), 1.f, begin, end);
    });
    attend(shape_.heads, mine.qkv, batch.rows, mine.seen);
    if (layer == last()) {
        gather(mine.seen, batch.predicts, batch.answers, shape_.heads.queries(), mine.seen);
        gather(mine.x, batch.predicts, batch.answers, shape_.hidden, mine.middle);
    }
}

void Pass::output(const Tokens &tokens, long layer) {
    const Kept &mine = kept(layer);
    for_blocks(tokens, layer, O, false, [&](const Run &run, long pair, long begin, long end) {
        thin_product(mine.seen, run, pair, begin, end, mine.inner[O]);
    });
    product(mine.seen, there(frozen(layer).groups[O]), runs(tokens, layer, O, false), mine.inner[O],
            {mine.middle, layer == last() ? mine.middle : mine.x});
}

void Pass::mlp(const Tokens &tokens, long layer) {
    const Kept &mine = kept(layer);
    const Layer &weights = frozen(layer);
    const long width = shape_.intermediate;
    for_blocks(tokens, layer, GATE_UP, false, [&](const Run &run, long pair, long begin, long end) {
        norm(mine.middle, weights.mlp_norm, begin, end);
        thin_product(normed_.data(), run, pair, begin, end, mine.inner[GATE_UP]);
    });
    product(normed_.data(), there(weights.groups[GATE_UP]), runs(tokens, layer, GATE_UP, false), mine.inner[GATE_UP],
            {mine.gate_up});
    for_blocks(tokens, layer, DOWN, false, [&](const Run &run, long pair, long begin, long end) {
        swiglu(mine.gate_up + begin * 2 * width, act_.data() + begin * width, end - begin, width);
        thin_product(act_.data(), run, pair, begin, end, mine.inner[DOWN]);
    });
    product(act_.data(), there(weights.groups[DOWN]), runs(tokens, layer, DOWN, false), mine.inner[DOWN],
            {layer == last() ? end_.data() : kept(layer + 1).x, mine.middle});
}

void Pass::losses(const Batch &batch, bool keep, float *nll, bool *correct) {
    const long hidden = shape_.hidden, chunks = (batch.answers + LOGITS_ROWS - 1) / LOGITS_ROWS;
    const long most = (batch.answers + chunks - 1) / chunks;
    rms_norm(end_.data(), ends_.final_norm, shape_.eps, normed_.data(), scale_.data(), batch.answers, hidden);
    for (long begin = 0; begin < batch.answers; begin += most) {
        const long rows = std::min(most, batch.answers - begin);
        product(normed_.data() + begin * hidden, ends_.head.forward, {{0, rows, nullptr}}, {}, {logits_.data()});
        cross_entropy(logits_.data(), batch.targets + begin, nll + begin, correct + begin, keep, rows, shape_.vocab);
        if (keep) long_product(logits_.data(), ends_.head.backward, rows, end_grad_.data() + begin * hidden);
    }
}

void Pass::losses_backward(const Tokens &answers, const float *weights) {
    const long hidden = shape_.hidden;
    for_blocks(answers, last(), DOWN, true, [&](const Run &, long, long begin, long end) {
        for (long i = begin; i < end; i++)
            round_scaled(end_grad_.data() + i * hidden, weights[i], grad_normed_.data() + i * hidden, hidden);
        norm(end_.data(), ends_.final_norm, begin, end);
        std::fill_n(grad_residual_.data() + begin * hidden, (end - begin) * hidden, bf16{0});
        norm_backward(end_.data(), ends_.final_norm, begin, end);
    });
}

void Pass::mlp_backward(const Tokens &tokens, long layer) {
    const Kept &mine = kept(layer);
    const Layer &weights = frozen(layer);
    const long width = shape_.intermediate;
    for_blocks(tokens, layer, DOWN, true, [&](const Run &run, long pair, long begin, long end) {
        thin_product(grad_residual_.data(), run, pair, begin, end, grad_inner_[DOWN]);
    });
    product(grad_residual_.data(), back(weights.groups[DOWN]), runs(tokens, layer, DOWN, true), grad_inner_[DOWN],
            {grad_act_.data()});
    for_blocks(tokens, layer, GATE_UP, true, [&](const Run &run, long pair, long begin, long end) {
        const bf16 *gate_up = mine.gate_up + begin * 2 * width;
        swiglu(gate_up, act_.data() + begin * width, end - begin, width);
        swiglu_backward(grad_act_.data() + begin * width, gate_up, grad_gate_up_.data() + begin * 2 * width, end - begin,
                        width);
        norm(mine.middle, weights.mlp_norm, begin, end);
        thin_product(grad_gate_up_.data(), run, pair, begin, end, grad_inner_[GATE_UP]);
    });
    std::vector<Gradient> to;
    gradients(tokens, layer, DOWN, act_.data(), grad_residual_.data(), to);
    gradients(tokens, layer, GATE_UP, normed_.data(), grad_gate_up_.data(), to);
    product(grad_gate_up_.data(), back(weights.groups[GATE_UP]), runs(tokens, layer, GATE_UP, true),
            grad_inner_[GATE_UP], {grad_normed_.data()}, to);
    for_blocks(tokens, layer, O, true, [&](const Run &run, long pair, long begin, long end) {
        norm_backward(mine.middle, weights.mlp_norm, begin, end);
        thin_product(grad_residual_.data(), run, pair, begin, end, grad_inner_[O]);
    });
}

void Pass::output_backward(const Tokens &tokens, long layer) {
    std::vector<Gradient> to;
    gradients(tokens, layer, O, kept(layer).seen, grad_residual_.data(), to);
    product(grad_residual_.data(), back(frozen(layer).groups[O]), runs(tokens, layer, O, true), grad_inner_[O],
            {grad_seen_.data()}, to);
}

void Pass::attention_backward(const Batch &batch, const Tokens &all, long layer) {
    const Kept &mine = kept(layer);
    const Layer &weights = frozen(layer);
    const Heads &heads = shape_.heads;
    if (layer == last()) {
        scatter(grad_seen_.data(), batch.predicts, batch.answers, batch.tokens, heads.queries());
        scatter(grad_residual_.data(), batch.predicts, batch.answers, batch.tokens, shape_.hidden);
    }
    attend_backward(heads, mine.qkv, grad_seen_.data(), batch.rows, grad_qkv_.data(), before_.data());
    for_blocks(all, layer, QKV, true, [&](const Run &run, long pair, long begin, long end) {
        for (long token = begin; token < end; token++) collect(heads, batch.rows, before_.data(), token, grad_qkv_.data());
        rotate(heads, grad_qkv_.data(), cos_.data(), sin_.data(), -1.f, begin, end);
        norm(mine.x, weights.attention_norm, begin, end);
        thin_product(grad_qkv_.data(), run, pair, begin, end, grad_inner_[QKV]);
    });
    std::vector<Gradient> to;
    gradients(all, layer, QKV, normed_.data(), grad_qkv_.data(), to);
    if (layer == 0) return add_gradients(to);  // what the layer reads is frozen
    product(grad_qkv_.data(), back(weights.groups[QKV]), runs(all, layer, QKV, true), grad_inner_[QKV],
            {grad_normed_.data()}, to);
    for_blocks(all, layer, QKV, true, [&](const Run &, long, long begin, long end) {
        norm_backward(mine.x, weights.attention_norm, begin, end);
    });
}

template <class F>
void Pass::for_blocks(const Tokens &tokens, long layer, GroupIndex group, bool backward, const F &f) const {
    const std::vector<Run> all = runs(tokens, layer, group, backward);
    parallel_for(static_cast<long>(tokens.blocks.size()), 1, [&](long begin, long end) {
        for (long i = begin; i < end; i++) {
            const Tokens::Block &block = tokens.blocks[static_cast<std::size_t>(i)];
            const auto segment = static_cast<std::size_t>(block.segment);
            f(all[segment], tokens.pairs[segment], block.begin, block.end);
        }
    });
}

std::vector<Run> Pass::runs(const Tokens &tokens, long layer, GroupIndex group, bool backward) const {
    std::vector<Run> out;
    for (const Segment &segment : tokens.segments) {
        const Group &mine = segment.expert->group(layer * GROUPS + group);
        out.push_back({segment.begin, segment.end, backward ? &mine.backward : &mine.forward});
    }
    return out;
}

void Pass::norm(const bf16 *x, const bf16 *weight, long begin, long end) {
    const long hidden = shape_.hidden;
    rms_norm(x + begin * hidden, weight, shape_.eps, normed_.data() + begin * hidden, scale_.data() + begin, end - begin,
             hidden);
}

void Pass::norm_backward(const bf16 *x, const bf16 *weight, long begin, long end) {
    const long at = begin * shape_.hidden;
    bf16 *grad = normed_.data() + at;  // the normed rows have served
    rms_norm_backward(grad_normed_.data() + at, x + at, weight, scale_.data() + begin, grad, end - begin, shape_.hidden);
    add_to(grad, grad_residual_.data() + at, (end - begin) * shape_.hidden);
}

void Pass::gradients(const Tokens &tokens, long layer, GroupIndex group, const bf16 *x, const bf16 *grad,
                     std::vector<Gradient> &to) const {
    const Inner &inner = kept(layer).inner[group], &grad_inner = grad_inner_[group];
    for (std::size_t i = 0; i < tokens.segments.size(); i++) {
        const Segment &segment = tokens.segments[i];
        const Group &mine = segment.expert->group(layer * GROUPS + group);
        const long inputs = mine.forward.inputs, outputs = mine.forward.outputs, rows = segment.end - segment.begin;
        for (const Site &site : mine.sites) {
            const long pair = (tokens.pairs[i] * inner.stride + site.column) * 2;
            to.push_back({grad_inner.pairs + pair, grad_inner.stride, x + segment.begin * inputs, inputs, rows, site.rank,
                          inputs, site.a_grad, inputs, 1, 1.f});
            to.push_back({inner.pairs + pair, inner.stride, grad + segment.begin * outputs + site.outputs.begin, outputs,
                          rows, site.rank, site.outputs.size(), site.b_grad, 1, site.rank, segment.expert->scale()});
        }
    }
}

void Pass::make_room(const Batch &batch, const Tokens &all, bool keep) {
    const long tokens = batch.tokens, hidden = shape_.hidden, queries = shape_.heads.queries();
    const long widths[] = {hidden, shape_.heads.width(), queries, hidden, 2 * shape_.intermediate};
    const long rows_of_pairs = tokens + static_cast<long>(all.segments.size());
    kept_.assign(layers_.size(), {});
    long size = 0, inner_max = 0;
    for (bool placed : {false, true}) {
        if (placed) reserve_large(arena_, size), inner_.reserve(tokens * inner_max);
        long at = 0;
        const auto take = [&](long count) {
            const long begin = at;
            at += (count + 31) / 32 * 32;
            return placed ? arena_.data() + begin : nullptr;
        };
        for (std::size_t layer = 0; layer < layers_.size(); layer++) {
            if (!keep) at = 0;
            bf16 **numbers[] = {&kept_[layer].x, &kept_[layer].qkv, &kept_[layer].seen, &kept_[layer].middle,
                                &kept_[layer].gate_up};
            for (std::size_t i = 0; i < std::size(widths); i++) *numbers[i] = take(tokens * widths[i]);
            for (long group = 0; group < GROUPS; group++) {
                const long columns = columns_max(all.segments, static_cast<long>(layer) * GROUPS + group);
                kept_[layer].inner[group] = {inner_.data(), take(rows_of_pairs * columns), columns};
                inner_max = std::max(inner_max, columns);
            }
            size = std::max(size, at);
        }
    }
    cos_.reserve(tokens * shape_.heads.dim), sin_.reserve(tokens * shape_.heads.dim);
    normed_.reserve(tokens * hidden), act_.reserve(tokens * shape_.intermediate), scale_.reserve(tokens);
    end_.reserve(batch.answers * hidden), end_grad_.reserve(batch.answers * hidden);
    logits_.reserve(LOGITS_ROWS * shape_.vocab);
}

void Pass::make_room_back(const Batch &batch, const Tokens &all) {
    const long tokens = batch.tokens;
    const long rows_of_pairs = tokens + static_cast<long>(all.segments.size());
    grad_residual_.reserve(tokens * shape_.hidden), grad_normed_.reserve(tokens * shape_.hidden);
    grad_act_.reserve(tokens * shape_.intermediate), grad_gate_up_.reserve(tokens * 2 * shape_.intermediate);
    grad_qkv_.reserve(tokens * shape_.heads.width()), grad_seen_.reserve(tokens * shape_.heads.queries());
    for (long group = 0; group < GROUPS; group++) {
        long columns = 0;
        for (const Kept &layer : kept_) columns = std::max(columns, layer.inner[group].stride);
        grad_pairs_[group].reserve(rows_of_pairs * columns);
        grad_inner_[group] = {inner_.data(), grad_pairs_[group].data(), columns};
    }
    const Row &row = batch.rows.back();
    before_.reserve((row.place + row.before.size()) * 2 * shape_.heads.kv_heads * shape_.heads.dim);
}

}  // namespace chiliad::training
