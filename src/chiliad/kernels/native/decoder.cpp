#include "decoder.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace chiliad {
namespace {

constexpr long ROWS_MIN = 4;     // rows of cheap work for which a thread takes a turn
constexpr long PIECE_MAX = 16;   // panels for a turn
constexpr long ROWS_APART = 16;  // rows from which one thread takes all heads of a row, which lie side by side

std::vector<Rows::Row> rows_of(const std::vector<Chunk> &chunks) {
    std::vector<Rows::Row> rows;
    long logits = 0;
    for (const Chunk &chunk : chunks) {
        const long count = static_cast<long>(chunk.tokens.size());
        for (long i = 0; i < count; i++) rows.push_back({&chunk, i, count - i <= chunk.wanted ? logits++ : -1});
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto &a, const auto &b) {
        return std::less<>()(a.chunk->lora, b.chunk->lora);
    });
    return rows;
}

std::vector<Rows::Row> wanted(const std::vector<Rows::Row> &rows) {
    std::vector<Rows::Row> kept;
    for (const Rows::Row &row : rows)
        if (row.logits >= 0) kept.push_back(row);
    return kept;
}

}  // namespace

Rows::Rows(std::vector<Row> rows_) : rows(std::move(rows_)), by_length(rows.size()) {
    for (long i = 0; i < count(); i++) {
        const Lora *lora = rows[i].chunk->lora;
        loras.push_back(lora ? lora->parts() : nullptr);
        adapted |= lora != nullptr;
        if (groups.empty() || groups.back().lora != loras[i] || groups.back().count == TILE_ROWS)
            groups.push_back({i, 0, loras[i]});
        groups.back().count++;
    }
    std::iota(by_length.begin(), by_length.end(), 0);
    std::stable_sort(by_length.begin(), by_length.end(),
                     [this](long a, long b) { return rows[a].position() > rows[b].position(); });
}

void Decoder::run(const std::vector<Chunk> &chunks, float *logits) {
    const Rows all(rows_of(chunks)), kept(wanted(all.rows));
    const Step step{all, kept, logits};
    const int threads = threads_available();
    make_room(step, threads);
    run_team(threads, [&](Member &member) {
        embed(member, all);
        for (long layer = 0; layer < static_cast<long>(layers_.size()); layer++) {
            attention(member, step, layer);
            mlp(member, layer + 1 < static_cast<long>(layers_.size()) ? all : kept, layer);
        }
        finish(member, step);
    });
}

void Decoder::make_room(const Step &step, int threads) {
    const long rows = step.all.count(), hidden = shape_.hidden;
    long longest = 0;
    inner_stride_ = 0;
    for (const Rows::Row &row : step.all.rows) {
        longest = std::max(longest, row.position() + 1);
        if (row.chunk->lora) inner_stride_ = std::max(inner_stride_, row.chunk->lora->inner_max());
    }
    scores_stride_ = attend_scratch(longest);
    residual_.reserve(rows * hidden);
    scores_.reserve(threads * scores_stride_);
    normed_.reserve(rows * hidden);
    qkv_.reserve(rows * shape_.heads.qkv());
    seen_.reserve(rows * shape_.heads.queries());
    gate_up_.reserve(rows * 2 * shape_.intermediate);
    gated_.reserve(rows * shape_.intermediate);
    inner_.reserve(rows * inner_stride_);
    coded_.reserve(rows, std::max({hidden, shape_.intermediate, shape_.heads.queries()}));
}

void Decoder::embed(Member &member, const Rows &rows) {
    member.share(rows.count(), ROWS_MIN, [&](long begin, long end) {
        for (long i = begin; i < end; i++) {
            const long token = rows.rows[i].chunk->tokens[rows.rows[i].index];
            embed_row(ends_.embedding + token * shape_.hidden, residual_.data() + i * shape_.hidden, shape_.hidden);
        }
    });
}

void Decoder::attention(Member &member, const Step &step, long layer) {
    const Layer &weights = layers_[layer];
    const Rows &rows = layer + 1 < static_cast<long>(layers_.size()) ? step.all : step.kept;
    const long hidden = shape_.hidden, queries = shape_.heads.queries();
    norm(member, step.all, weights.attention_norm, layer * PLACES + QKV);
    project(member, step.all,
            {normed_.data(), step.all.count(), hidden, shape_.heads.qkv(), weights.qkv, Sink::STORE, qkv_.data()},
            layer * PLACES + QKV);
    place_keys(member, step.all, layer);
    if (rows.count() < step.all.count()) keep(member, step);
    attend(member, rows, layer);
    if (rows.adapted)
        member.share(static_cast<long>(rows.groups.size()), 1, [&](long begin, long end) {
            for (long i = begin; i < end; i++)
                add_inner(rows, rows.groups[i], seen_.data(), queries, layer * PLACES + O);
        });
    project(member, rows, {seen_.data(), rows.count(), queries, hidden, weights.o, Sink::ADD, residual_.data()},
            layer * PLACES + O);
}

void Decoder::mlp(Member &member, const Rows &rows, long layer) {
    const Layer &weights = layers_[layer];
    const long hidden = shape_.hidden, width = shape_.intermediate, place = layer * PLACES;
    norm(member, rows, weights.mlp_norm, place + GATE_UP);
    project(member, rows,
            {normed_.data(), rows.count(), hidden, 2 * width, weights.gate_up, Sink::STORE, gate_up_.data()},
            place + GATE_UP);
    member.share(static_cast<long>(rows.groups.size()), 1, [&](long begin, long end) {
        for (long i = begin; i < end; i++) {
            const Rows::Group &group = rows.groups[i];
            for (long row = group.begin; row < group.begin + group.count; row++) {
                swiglu_row(gate_up_.data() + row * 2 * width, gated_.data() + row * width, width);
                if (const bf16 *scales = scales_of(rows.rows[row], layer))
                    scale_row(gated_.data() + row * width, scales + shape_.heads.keys_values(), width);
            }
            add_inner(rows, group, gated_.data(), width, place + DOWN);
        }
    });
    project(member, rows, {gated_.data(), rows.count(), width, hidden, weights.down, Sink::ADD, residual_.data()},
            place + DOWN);
}

void Decoder::finish(Member &member, const Step &step) {
    const Rows &rows = step.kept;
    member.share(rows.count(), ROWS_MIN, [&](long begin, long end) {
        for (long i = begin; i < end; i++)
            norm_row(residual_.data() + i * shape_.hidden, ends_.final_norm, shape_.eps,
                     normed_.data() + rows.rows[i].logits * shape_.hidden, shape_.hidden);
    });
    compute(member, {normed_.data(), rows.count(), shape_.hidden, shape_.vocab, ends_.head, Sink::FLOAT, step.logits});
}

void Decoder::norm(Member &member, const Rows &rows, const bf16 *weight, long place) {
    const long hidden = shape_.hidden;
    member.share(static_cast<long>(rows.groups.size()), 1, [&](long begin, long end) {
        for (long i = begin; i < end; i++) {
            const Rows::Group &group = rows.groups[i];
            for (long row = group.begin; row < group.begin + group.count; row++)
                norm_row(residual_.data() + row * hidden, weight, shape_.eps, normed_.data() + row * hidden, hidden);
            add_inner(rows, group, normed_.data(), hidden, place);
        }
    });
}

void Decoder::place_keys(Member &member, const Rows &rows, long layer) {
    const long dim = shape_.heads.dim;
    member.share(rows.count(), ROWS_MIN, [&](long begin, long end) {
        for (long i = begin; i < end; i++) {
            const Rows::Row &row = rows.rows[i];
            const long position = row.position();
            bf16 *const qkv = qkv_.data() + i * shape_.heads.qkv();
            if (const bf16 *scales = scales_of(row, layer))
                scale_row(qkv + shape_.heads.queries(), scales, shape_.heads.keys_values());
            place_row(shape_.heads, qkv, ends_.cos + position * dim,
                      ends_.sin + position * dim, row.chunk->blocks[position / BLOCK], layer, position % BLOCK);
        }
    });
}

void Decoder::keep(Member &member, const Step &step) {
    const long hidden = shape_.hidden, qkv = shape_.heads.qkv();
    member.share(1, 1, [&](long, long) {
        long to = 0;
        for (long from = 0; from < step.all.count(); from++) {
            if (step.all.rows[from].logits < 0) continue;
            std::memmove(residual_.data() + to * hidden, residual_.data() + from * hidden, hidden * sizeof(float));
            std::memmove(qkv_.data() + to * qkv, qkv_.data() + from * qkv, qkv * sizeof(bf16));
            to++;
        }
    });
}

void Decoder::attend(Member &member, const Rows &rows, long layer) {
    const Heads &heads = shape_.heads;
    float *const scores = scores_.data() + member.number() * scores_stride_;
    const long piece = rows.count() < ROWS_APART ? 1 : heads.kv_heads;
    member.share(rows.count() * heads.kv_heads, piece, [&](long begin, long end) {
        for (long item = begin; item < end; item++) {
            const long i = rows.by_length[item / heads.kv_heads], head = item % heads.kv_heads;
            const long query = head * heads.group * heads.dim;
            chiliad::attend(heads, qkv_.data() + i * heads.qkv() + query, rows.rows[i].chunk->blocks.data(), layer, head,
                            rows.rows[i].position() + 1, scores, seen_.data() + i * heads.queries() + query);
        }
    });
}

void Decoder::add_inner(const Rows &rows, const Rows::Group &group, const bf16 *x, long inputs, long place) {
    if (!group.lora || !group.lora[place].inner) return;
    bf16 *const inner = inner_.data() + group.begin * inner_stride_;
    lora_down(x + group.begin * inputs, group.count, inputs, group.lora[place], inner, inner_stride_);
    for (long i = 0; i < group.count; i++)
        if (const bf16 *core = rows.rows[group.begin + i].chunk->core)
            turn_row(core, group.lora[place], inner + i * inner_stride_);
}

const bf16 *Decoder::scales_of(const Rows::Row &row, long layer) const {
    const bf16 *scales = row.chunk->scales;
    return scales ? scales + layer * (shape_.heads.keys_values() + shape_.intermediate) : nullptr;
}

void Decoder::project(Member &member, const Rows &rows, Product product, long place) {
    if (rows.adapted) {
        product.loras = rows.loras.data();
        product.place = place;
        product.next = (place + 1) % (static_cast<long>(layers_.size()) * PLACES);
        product.inner = inner_.data();
        product.inner_stride = inner_stride_;
    }
    compute(member, product);
}

void Decoder::compute(Member &member, Product product) {
    if (product.packed.format != Format::BF16) {
        product.coded = coded_.rows();
        member.share(product.rows, ROWS_MIN, [&](long begin, long end) {
            for (long i = begin; i < end; i++) code_row(product.x + i * product.inputs, i, product.inputs, product.coded);
        });
    }
    // Neighbouring panels are read, and fetched ahead, by one thread; two turns for each thread even out a slow one.
    const long turns = 2 * member.threads(), piece = (product.panels() + turns - 1) / turns;
    member.share(product.pieces(), piece < PIECE_MAX ? piece : PIECE_MAX, [&](long begin, long end) {
        for (long i = begin; i < end; i++) product_piece(product, i);
    });
}

}  // namespace chiliad
