#include "lora.hpp"

#include "../threads.hpp"

#include <algorithm>
#include <cstring>

namespace chiliad::training {
namespace {

long even(long n) { return n + n % 2; }

bf16 rounded(float number) {
    std::uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    return static_cast<bf16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void widen(Range &range, Range by) {
    range = range.size() ? Range{std::min(range.begin, by.begin), std::max(range.end, by.end)} : by;
}

void refresh_a(const Site &site, Group &group) {
    for (long r = 0; r < site.rank; r++) {
        const float *row = site.a + r * group.inputs;
        for (long i = 0; i < group.inputs; i++)
            *group.forward.thin_at(site.column + r, i) = *group.backward.wide_at(i, site.column + r) = rounded(row[i]);
    }
}

void refresh_b(const Site &site, Group &group, float scale) {
    for (long output = site.outputs.begin; output < site.outputs.end; output++) {
        const float *row = site.b + (output - site.outputs.begin) * site.rank;
        for (long r = 0; r < site.rank; r++)
            *group.forward.wide_at(output, site.column + r) = *group.backward.thin_at(site.column + r, output) =
                rounded(row[r] * scale);
    }
}

}  // namespace

void Factors::make_room(long in, long out, long inner) {
    inputs = in, outputs = out, columns = inner;
    const auto vectors = static_cast<std::size_t>((columns + LANES - 1) / LANES);
    const auto panels = static_cast<std::size_t>((outputs + PANEL - 1) / PANEL);
    thin.assign(vectors * static_cast<std::size_t>(inputs * LANES), 0);
    thin_pairs.assign(vectors, {0, 0});
    wide.assign(panels * static_cast<std::size_t>(columns * PANEL), 0);
    wide_pairs.assign(panels, {0, 0});
}

void Factors::join_thin(Range joined, Range in) {
    for (long vector = joined.begin / LANES; vector * LANES < joined.end; vector++)
        widen(thin_pairs[static_cast<std::size_t>(vector)], {in.begin / 2, (in.end + 1) / 2});
}

void Factors::join_wide(Range out, Range joined) {
    for (long panel = out.begin / PANEL; panel * PANEL < out.end; panel++)
        widen(wide_pairs[static_cast<std::size_t>(panel)], {joined.begin / 2, joined.end / 2});
}

bf16 *Factors::thin_at(long column, long input) {
    return thin.data() + (column / LANES * inputs + input / 2 * 2) * LANES + column % LANES * 2 + input % 2;
}

bf16 *Factors::wide_at(long output, long column) {
    return wide.data() + (output / PANEL * columns + column / 2 * 2) * PANEL + output % PANEL * 2 + column % 2;
}

void Expert::add_group(long inputs, long outputs) {
    groups_.emplace_back();
    groups_.back().inputs = inputs;
    groups_.back().forward.outputs = outputs;
}

void Expert::add_site(long output, long outputs, long rank, const float *a, const float *b, float *a_grad,
                      float *b_grad) {
    std::vector<Site> &sites = groups_.back().sites;
    const long column = sites.empty() ? 0 : sites.back().column + even(sites.back().rank);
    sites.push_back({{output, output + outputs}, rank, column, a, b, a_grad, b_grad});
}

void Expert::close_group() {
    Group &group = groups_.back();
    const long outputs = group.forward.outputs;
    const long columns = group.sites.empty() ? 0 : group.sites.back().column + even(group.sites.back().rank);
    group.forward.make_room(group.inputs, outputs, columns);
    group.backward.make_room(outputs, group.inputs, columns);
    for (const Site &site : group.sites) {
        const Range inner{site.column, site.column + even(site.rank)}, inputs{0, group.inputs};
        group.forward.join_thin(inner, inputs);
        group.forward.join_wide(site.outputs, inner);
        group.backward.join_thin(inner, site.outputs);
        group.backward.join_wide(inputs, inner);
    }
}

void Expert::refresh() {
    parallel_for(static_cast<long>(groups_.size()), 1, [this](long begin, long end) {
        for (long i = begin; i < end; i++)
            for (const Site &site : groups_[static_cast<std::size_t>(i)].sites) {
                refresh_a(site, groups_[static_cast<std::size_t>(i)]);
                refresh_b(site, groups_[static_cast<std::size_t>(i)], scale_);
            }
    });
}

}  // namespace chiliad::training
