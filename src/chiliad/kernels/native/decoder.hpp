// A whole step of a Llama-like decoder: every row of tokens of every sequence through all layers, in one parallel region.
#pragma once

#include "buffer.hpp"
#include "lora.hpp"
#include "step.hpp"
#include "threads.hpp"

#include <vector>

namespace chiliad {

struct Shape {
    long hidden, intermediate, vocab;
    Heads heads;
    float eps;
};

// Frozen weights, owned by the caller.
struct Layer {
    const bf16 *attention_norm, *mlp_norm;
    Packed qkv, o, gate_up, down;
};

struct Ends {
    const bf16 *embedding;   // [vocab, hidden]
    const bf16 *cos, *sin;   // [positions, dim]
    const bf16 *final_norm;  // [hidden]
    Packed head;
};

// The next tokens of one sequence.
struct Chunk {
    std::vector<long> tokens;
    long start;                  // position of the first of them
    std::vector<bf16 *> blocks;  // the sequence's blocks, with room for these tokens
    const Lora *lora;            // null: no factors
    const bf16 *core;            // for `turn_row`, between factors that others share; null: none
    const bf16 *scales;          // [layers, keys, values and gated numbers], what these are multiplied by; null: nothing
    long wanted;                 // for how many tokens, counted from the end, logits are computed
};

// The tokens that a phase computes, those of one adapter side by side.
struct Rows {
    struct Row {
        const Chunk *chunk;
        long index;  // of the token in its chunk
        long logits;  // row of the result; -1: not wanted

        long position() const { return chunk->start + index; }
    };

    // Neighbouring rows of one adapter, which read its factors together.
    struct Group {
        long begin, count;
        const LoraPart *lora;
    };

    std::vector<Row> rows;
    std::vector<const LoraPart *> loras;  // [rows], null where there are no factors
    std::vector<Group> groups;
    std::vector<long> by_length;  // the rows, those that attend to the most first
    bool adapted = false;         // any of them

    explicit Rows(std::vector<Row> rows);
    long count() const { return static_cast<long>(rows.size()); }
};

class Decoder {
  public:
    Decoder(const Shape &shape, const Ends &ends) : shape_(shape), ends_(ends) {}

    void add(const Layer &layer) { layers_.push_back(layer); }

    // logits: [wanted tokens, vocab], in the order of the chunks and of the tokens within them. Keys and values of all
    // tokens are put into their blocks. A token's logits and keys do not depend on the other chunks, on how its sequence
    // was cut into chunks, or on the threads.
    void run(const std::vector<Chunk> &chunks, float *logits);

  private:
    enum Place { QKV, O, GATE_UP, DOWN, PLACES };  // the groups of linear layers, in an adapter's order

    // One step. `all` goes through all layers, `kept` through what follows the last attention.
    struct Step {
        const Rows &all, &kept;
        float *logits;
    };

    void make_room(const Step &step, int threads);
    void embed(Member &member, const Rows &rows);
    void attention(Member &member, const Step &step, long layer);
    void mlp(Member &member, const Rows &rows, long layer);
    void finish(Member &member, const Step &step);

    void norm(Member &member, const Rows &rows, const bf16 *weight, long place);
    void place_keys(Member &member, const Rows &rows, long layer);
    void keep(Member &member, const Step &step);
    void attend(Member &member, const Rows &rows, long layer);
    void add_inner(const Rows &rows, const Rows::Group &group, const bf16 *x, long inputs, long place);
    const bf16 *scales_of(const Rows::Row &row, long layer) const;
    void project(Member &member, const Rows &rows, Product product, long place);
    void compute(Member &member, Product product);

    Shape shape_;
    Ends ends_;
    std::vector<Layer> layers_;

    // Scratch: [rows, ...], and for each thread what `attend` needs.
    Buffer<float> residual_, scores_;
    Buffer<bf16> normed_, qkv_, seen_, gate_up_, gated_, inner_;
    CodeRoom coded_;  // for what of these is multiplied with codes
    long inner_stride_ = 0, scores_stride_ = 0;
};

}  // namespace chiliad
