#include "lora.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace chiliad {
namespace {

long even(long rank) { return rank + rank % 2; }

// Where the sites of a group lie in its outputs and in its inner products; without factors yet.
LoraPart part_of(const GroupFactors &group) {
    assert(group.sites.size() <= SITES_MAX);
    LoraPart part;
    part.inputs = group.inputs;
    long output = 0;
    for (std::size_t i = 0; i < group.sites.size(); i++) {
        const SiteFactors &site = group.sites[i];
        const long panel = output / PANEL, panels = (output + site.outputs - 1) / PANEL - panel + 1;
        part.sites[i] = {nullptr, panel, panels, part.inner / 2, even(site.rank) / 2};
        part.inner += even(site.rank);
        output += site.outputs;
    }
    return part;
}

long up_size(const SiteUp &site) { return site.panels * site.pairs * 2 * PANEL; }

long size_of(const LoraPart &part, long inputs) {
    long size = part.inner * inputs;
    for (const SiteUp &site : part.sites) size += up_size(site);
    return size;
}

long core_size(const LoraPart &part) {
    long size = 0;
    for (const SiteUp &site : part.sites) size += 4 * site.pairs * site.pairs;
    return size;
}

// a [rank, inputs] -> its rows of down [inner, inputs]
void put_down(const SiteFactors &site, long inputs, bf16 *down) {
    if (site.rank) std::memcpy(down, site.a, static_cast<std::size_t>(site.rank * inputs) * sizeof(bf16));
}

// b, or its products with `scale` in `room`
const bf16 *scaled(const SiteFactors &site, float scale, Buffer<bf16> &room) {
    const long size = site.outputs * site.rank;
    if (scale == 1.f || !size) return site.b;
    room.reserve(size);
    multiply(site.b, scale, room.data(), size);
    return room.data();
}

// b [outputs, rank] -> up [panels, pairs, PANEL, 2]; the first output is number `first` of its panel
void put_up(const SiteFactors &site, const bf16 *b, long first, bf16 *up) {
    const long rank = site.rank, pairs = even(rank) / 2, end = first + site.outputs;
    for (long panel = 0; panel * PANEL < end; panel++) {
        const long begin = std::max(first, panel * PANEL), stop = std::min(end, (panel + 1) * PANEL);
        for (long pair = 0; pair < pairs; pair++) {
            bf16 *to = up + (panel * pairs + pair) * 2 * PANEL + 2 * (begin - panel * PANEL);
            const bf16 *from = b + (begin - first) * rank + 2 * pair;
            const bool whole = 2 * pair + 1 < rank;
            for (long output = begin; output < stop; output++, to += 2, from += rank) {
                to[0] = from[0];
                if (whole) to[1] = from[1];
            }
        }
    }
}

// Copies a group's factors to `next`, says in `part` where they are, and returns what follows them.
bf16 *fill(const GroupFactors &group, float scale, LoraPart &part, Buffer<bf16> &room, bf16 *next) {
    bf16 *const down = next;
    part.down = down;
    next += part.inner * group.inputs;
    long output = 0;
    for (std::size_t i = 0; i < group.sites.size(); i++) {
        put_down(group.sites[i], group.inputs, down + 2 * part.sites[i].pair * group.inputs);
        put_up(group.sites[i], scaled(group.sites[i], scale, room), output % PANEL, next);
        part.sites[i].up = next;
        next += up_size(part.sites[i]);
        output += group.sites[i].outputs;
    }
    return next;
}

}  // namespace

Lora::Lora(const std::vector<GroupFactors> &groups, float scale) {
    long size = 0, core = 0;
    for (const GroupFactors &group : groups) {
        parts_.push_back(part_of(group));
        parts_.back().core = core;
        core += core_size(parts_.back());
        size += size_of(parts_.back(), group.inputs);
        inner_max_ = std::max(inner_max_, parts_.back().inner);
    }
    if (size) factors_.reserve_zeros(size);
    Buffer<bf16> room;
    bf16 *next = factors_.data();
    for (std::size_t i = 0; i < groups.size(); i++) next = fill(groups[i], scale, parts_[i], room, next);
}

}  // namespace chiliad
