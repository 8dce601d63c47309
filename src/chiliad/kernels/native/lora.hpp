// An adapter in the order in which a step reads it.
#pragma once

#include "buffer.hpp"
#include "step.hpp"

#include <vector>

namespace chiliad {

// The factors of one linear layer: y += b (a x). rank 0: it is not adapted.
struct SiteFactors {
    long outputs, rank;
    const bf16 *a;  // [rank, inputs]
    const bf16 *b;  // [outputs, rank]
};

// Those of linear layers that share their inputs and whose outputs lie side by side.
struct GroupFactors {
    long inputs;
    std::vector<SiteFactors> sites;
};

// A copy of one adapter. Ranks are padded to even numbers, nothing else is.
class Lora {
  public:
    // scale: what b is multiplied by, each product rounded
    Lora(const std::vector<GroupFactors> &groups, float scale);
    Lora(const Lora &) = delete;
    Lora &operator=(const Lora &) = delete;

    // One for each group.
    const LoraPart *parts() const { return parts_.data(); }
    long inner_max() const { return inner_max_; }
    void keep_spare() const { factors_.keep_spare(); }
    long bytes() const { return factors_.bytes() + static_cast<long>(parts_.size() * sizeof(LoraPart)); }

  private:
    std::vector<LoraPart> parts_;
    Buffer<bf16> factors_;  // group after group: down, then its sites' up
    long inner_max_ = 0;
};

}  // namespace chiliad
