// The LoRA factors of an expert in training, laid out for products in both directions.
#pragma once

#include "../kernels.hpp"

#include <vector>

namespace chiliad::training {

constexpr long LANES = 16;

struct Range {
    long begin, end;
    long size() const { return end - begin; }
};

// One way through the factors of layers that share an input: inner = x thin^T, y += inner wide^T. The columns of `inner`
// are the sites' ranks, each made even, side by side. Only what is not always zero is multiplied.
struct Factors {
    long inputs = 0, outputs = 0, columns = 0;
    std::vector<bf16> thin;          // [vectors of columns, inputs / 2, LANES, 2]
    std::vector<Range> thin_pairs;   // [vectors] of inputs
    std::vector<bf16> wide;          // [panels, columns / 2, PANEL, 2]
    std::vector<Range> wide_pairs;   // [panels] of columns

    void make_room(long inputs, long outputs, long columns);
    // These inputs, columns and outputs meet; all others are zero.
    void join_thin(Range columns, Range inputs);
    void join_wide(Range outputs, Range columns);

    bf16 *thin_at(long column, long input);
    bf16 *wide_at(long output, long column);
};

// One adapted linear layer and where its numbers are: a [rank, inputs], b [outputs, rank], and their gradients.
struct Site {
    Range outputs;  // among those of its group
    long rank, column;
    const float *a, *b;
    float *a_grad, *b_grad;
};

// Linear layers that share an input; without sites it is not adapted.
struct Group {
    long inputs = 0;
    std::vector<Site> sites;
    Factors forward, backward;
};

// One expert: the layers' groups in the order in which they were added. Owned numbers are copies in bfloat16.
class Expert {
  public:
    explicit Expert(float scale) : scale_(scale) {}

    // Begin the next group.
    void add_group(long inputs, long outputs);
    // A linear layer of the group, with outputs from `output` on.
    void add_site(long output, long outputs, long rank, const float *a, const float *b, float *a_grad, float *b_grad);
    // Lay the group out; to be called after its last site.
    void close_group();
    // Copy the factors, b times the scale. To be called after every change of them.
    void refresh();

    const Group &group(long index) const { return groups_[static_cast<std::size_t>(index)]; }
    float scale() const { return scale_; }

  private:
    float scale_;
    std::vector<Group> groups_;
};

}  // namespace chiliad::training
