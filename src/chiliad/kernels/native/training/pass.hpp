// A training pass over a flat batch of tokens of one or several experts: forward, keeping what the way back needs, and
// backward into the experts' gradients.
#pragma once

#include "../buffer.hpp"
#include "attention.hpp"
#include "codes.hpp"
#include "product.hpp"

namespace chiliad::training {

struct Shape {
    long hidden, intermediate, vocab;
    Heads heads;
    float eps;
};

// A frozen matrix for the way there and, transposed, for the way back; or, where there are codes, only these.
struct Frozen {
    Matrix forward, backward;
    Codes codes = {};
};

enum GroupIndex { QKV, O, GATE_UP, DOWN, GROUPS };

struct Layer {
    const bf16 *attention_norm, *mlp_norm;
    Frozen groups[GROUPS];
};

struct Ends {
    const bf16 *embedding;   // [vocab, hidden]
    const bf16 *final_norm;  // [hidden]
    const bf16 *cos, *sin;   // [positions, dim]
    Frozen head;
};

// Tokens [begin, end) of the batch are an expert's; all of one expert lie together.
struct Segment {
    long begin, end;
    const Expert *expert;
};

struct Batch {
    long tokens, answers;
    const std::int64_t *ids, *positions;     // [tokens]
    const std::int64_t *predicts, *targets;  // [answers] tokens, ascending, and what follows them
    std::vector<Row> rows;
    std::vector<Segment> segments;
};

// Some tokens of a batch, and the blocks of them that a thread works through alone.
struct Tokens {
    struct Block {
        long segment, begin, end;
    };

    std::vector<Segment> segments;
    std::vector<long> pairs;  // of rows before each segment
    std::vector<Block> blocks;

    explicit Tokens(std::vector<Segment> segments);
    // Those among `predicts`, counted without the others.
    Tokens among(const std::int64_t *predicts, long answers) const;

    long count() const { return segments.back().end; }
};

class Pass {
  public:
    Pass(const Shape &shape, const Ends &ends) : shape_(shape), ends_(ends) {}

    const Shape &shape() const { return shape_; }
    void add(const Layer &layer) { layers_.push_back(layer); }

    // nll, correct: [answers], as `cross_entropy` has them. With `keep`, `backward` may follow once, for the same batch.
    void forward(const Batch &batch, bool keep, float *nll, bool *correct);

    // Add the gradient of the sum of weights * nll, both [answers], to the experts' gradients.
    void backward(const Batch &batch, const float *weights);

  private:
    // What a layer keeps. x, middle: the residual stream before the layer and between its halves.
    struct Kept {
        bf16 *x, *qkv, *seen, *middle, *gate_up;
        Inner inner[GROUPS];
    };

    void make_room(const Batch &batch, const Tokens &all, bool keep);
    void make_room_back(const Batch &batch, const Tokens &all);
    const Kept &kept(long layer) const { return kept_[static_cast<std::size_t>(layer)]; }
    const Layer &frozen(long layer) const { return layers_[static_cast<std::size_t>(layer)]; }
    long last() const { return static_cast<long>(layers_.size()) - 1; }

    // A matrix as a product takes it. That of codes is there until the next one is asked for.
    Matrix there(const Frozen &frozen);
    Matrix back(const Frozen &frozen);

    void begin(const Batch &batch, const Tokens &all);
    void attention(const Batch &batch, const Tokens &all, long layer);
    void output(const Tokens &tokens, long layer);
    void mlp(const Tokens &tokens, long layer);
    void losses(const Batch &batch, bool keep, float *nll, bool *correct);

    void losses_backward(const Tokens &answers, const float *weights);
    void mlp_backward(const Tokens &tokens, long layer);
    void output_backward(const Tokens &tokens, long layer);
    void attention_backward(const Batch &batch, const Tokens &all, long layer);

    // f(run, its first pair of rows, begin, end) for every block
    template <class F>
    void for_blocks(const Tokens &tokens, long layer, GroupIndex group, bool backward, const F &f) const;
    std::vector<Run> runs(const Tokens &tokens, long layer, GroupIndex group, bool backward) const;
    void norm(const bf16 *x, const bf16 *weight, long begin, long end);
    // The residual stream's gradient grows by what `grad_normed_` passes through the norm.
    void norm_backward(const bf16 *x, const bf16 *weight, long begin, long end);
    void gradients(const Tokens &tokens, long layer, GroupIndex group, const bf16 *x, const bf16 *grad,
                   std::vector<Gradient> &to) const;

    Shape shape_;
    Ends ends_;
    std::vector<Layer> layers_;

    // The residual stream after the last layer and what layers keep: x_ [layers + 1] of them when they are kept.
    std::vector<Kept> kept_;
    Buffer<bf16> arena_, cos_, sin_, end_;
    // Scratch, [tokens, ...]
    Buffer<bf16> normed_, inner_, act_, logits_, decoded_;
    Buffer<float> scale_, end_grad_;
    // and on the way back
    Buffer<bf16> grad_residual_, grad_normed_, grad_act_, grad_gate_up_, grad_qkv_, grad_seen_, grad_pairs_[GROUPS];
    Buffer<float> before_;
    Inner grad_inner_[GROUPS];
};

}  // namespace chiliad::training
