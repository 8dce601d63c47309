#include "lora.hpp"

#include <algorithm>
#include <cstring>

namespace chiliad {
namespace {

long even(long rank) { return rank + rank % 2; }

// Outputs [begin, end) of a group read the inner products [inner, inner_end).
struct Place {
    const SiteFactors *site;
    long begin, end, inner, inner_end;
};

std::vector<Place> places_of(const GroupFactors &group) {
    std::vector<Place> places;
    long begin = 0, inner = 0;
    for (const SiteFactors &site : group.sites) {
        places.push_back({&site, begin, begin + site.outputs, inner, inner + even(site.rank)});
        begin = places.back().end;
        inner = places.back().inner_end;
    }
    return places;
}

// The inner products that a panel's outputs read: those of every site that it touches.
PanelUp panel_of(const std::vector<Place> &places, long panel) {
    long first = places.back().inner_end, last = 0;
    for (const Place &place : places)
        if (place.begin < (panel + 1) * PANEL && place.end > panel * PANEL && place.site->rank) {
            first = std::min(first, place.inner);
            last = std::max(last, place.inner_end);
        }
    return {nullptr, first / 2, std::max(0L, last - first) / 2};
}

long size_of(const PanelUp &panel) { return panel.pairs * 2 * PANEL; }

// a [rank, inputs] -> its rows of down [inner, inputs]
void put_down(const Place &place, long inputs, bf16 *down) {
    const std::size_t bytes = static_cast<std::size_t>(place.site->rank * inputs) * sizeof(bf16);
    if (bytes) std::memcpy(down + place.inner * inputs, place.site->a, bytes);
}

// b [outputs, rank] -> its places in the panels, each [pairs, PANEL, 2]
void put_up(const Place &place, const PanelUp *panels, bf16 *ups) {
    const long rank = place.site->rank;
    for (long output = place.begin; output < place.end && rank; output++) {
        const PanelUp &panel = panels[output / PANEL];
        const bf16 *row = place.site->b + (output - place.begin) * rank;
        bf16 *at = ups + (panel.up - panels[0].up) + (place.inner - 2 * panel.first) * PANEL + output % PANEL * 2;
        for (long r = 0; r < rank; r++) at[r / 2 * 2 * PANEL + r % 2] = row[r];
    }
}

}  // namespace

Lora::Lora(const std::vector<GroupFactors> &groups) {
    long size = 0;
    for (const GroupFactors &group : groups) {
        const std::vector<Place> places = places_of(group);
        parts_.push_back({places.back().inner_end, nullptr, nullptr});
        inner_max_ = std::max(inner_max_, parts_.back().inner);
        size += parts_.back().inner * group.inputs;
        for (long panel = 0; panel * PANEL < places.back().end; panel++) {
            panels_.push_back(panel_of(places, panel));
            size += size_of(panels_.back());
        }
    }
    factors_.reserve(size);
    std::memset(factors_.data(), 0, static_cast<std::size_t>(factors_.bytes()));
    fill(groups);
}

void Lora::fill(const std::vector<GroupFactors> &groups) {
    bf16 *next = factors_.data();
    PanelUp *panel = panels_.data();
    for (std::size_t i = 0; i < groups.size(); i++) {
        const std::vector<Place> places = places_of(groups[i]);
        bf16 *const down = next, *const ups = down + parts_[i].inner * groups[i].inputs;
        PanelUp *const panels = panel;
        next = ups;
        for (; (panel - panels) * PANEL < places.back().end; panel++) {
            panel->up = next;
            next += size_of(*panel);
        }
        parts_[i].down = down;
        parts_[i].up = panels;
        for (const Place &place : places) {
            put_down(place, groups[i].inputs, down);
            put_up(place, panels, ups);
        }
    }
}

}  // namespace chiliad
