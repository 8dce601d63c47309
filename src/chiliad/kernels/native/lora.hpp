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

// A copy of one adapter. Ranks are padded to even numbers, nothing else is.
class Lora {
  public:
    Lora() = default;
    Lora(const Lora &) = delete;
    Lora &operator=(const Lora &) = delete;

    // Add the next group of linear layers, which share their inputs and whose outputs lie side by side.
    void add(long inputs, const std::vector<SiteFactors> &sites);

    // One for each group, in the order of `add`.
    const LoraPart *parts() const { return parts_.data(); }
    long groups() const { return static_cast<long>(parts_.size()); }
    long inner_max() const { return inner_max_; }
    long bytes() const { return bytes_; }

  private:
    std::vector<LoraPart> parts_;
    std::vector<Buffer<bf16>> factors_;
    std::vector<std::vector<PanelUp>> panels_;
    long inner_max_ = 0, bytes_ = 0;
};

}  // namespace chiliad
