#include "lora.hpp"

#include <algorithm>
#include <cstring>

namespace chiliad {
namespace {

long even(long rank) { return rank + rank % 2; }

// Outputs [begin, begin + outputs) of a group, and the inner products [inner, inner + even(rank)) that they read.
struct Place {
    const SiteFactors &site;
    long begin, inner;

    long end() const { return begin + site.outputs; }
};

std::vector<Place> places_of(const std::vector<SiteFactors> &sites) {
    std::vector<Place> places;
    long begin = 0, inner = 0;
    for (const SiteFactors &site : sites) {
        places.push_back({site, begin, inner});
        begin += site.outputs;
        inner += even(site.rank);
    }
    return places;
}

// The inner products that a panel's outputs read: those of every site that it touches.
PanelUp pairs_of(const std::vector<Place> &places, long panel) {
    long first = places.back().inner + even(places.back().site.rank), last = 0;
    for (const Place &place : places)
        if (place.begin < (panel + 1) * PANEL && place.end() > panel * PANEL && place.site.rank) {
            first = std::min(first, place.inner);
            last = std::max(last, place.inner + even(place.site.rank));
        }
    return {nullptr, first / 2, std::max(0L, last - first) / 2};
}

// a [rank, inputs] -> its rows of down [inner, inputs]
void put_down(const Place &place, long inputs, bf16 *down) {
    const long size = place.site.rank * inputs;
    if (size) std::memcpy(down + place.inner * inputs, place.site.a, static_cast<std::size_t>(size) * sizeof(bf16));
}

// b [outputs, rank] -> its places in the panels, each [pairs, PANEL, 2]
void put_up(const Place &place, const std::vector<PanelUp> &panels, bf16 *ups) {
    const long rank = place.site.rank;
    for (long output = place.begin; output < place.end() && rank; output++) {
        const PanelUp &panel = panels[static_cast<std::size_t>(output / PANEL)];
        const bf16 *row = place.site.b + (output - place.begin) * rank;
        bf16 *at = ups + (panel.up - panels.front().up) + (place.inner - 2 * panel.first) * PANEL + output % PANEL * 2;
        for (long r = 0; r < rank; r++) at[r / 2 * 2 * PANEL + r % 2] = row[r];
    }
}

}  // namespace

void Lora::add(long inputs, const std::vector<SiteFactors> &sites) {
    const std::vector<Place> places = places_of(sites);
    const long inner = places.back().inner + even(places.back().site.rank);
    std::vector<PanelUp> panels;
    long pairs = 0;
    for (long panel = 0; inner && panel * PANEL < places.back().end(); panel++) {
        panels.push_back(pairs_of(places, panel));
        pairs += panels.back().pairs;
    }
    Buffer<bf16> factors;
    factors.reserve(inner * inputs + pairs * 2 * PANEL);
    std::memset(factors.data(), 0, static_cast<std::size_t>(factors.bytes()));
    bf16 *next = factors.data() + inner * inputs;
    for (PanelUp &panel : panels) {
        panel.up = next;
        next += panel.pairs * 2 * PANEL;
    }
    for (const Place &place : places) {
        put_down(place, inputs, factors.data());
        put_up(place, panels, factors.data() + inner * inputs);
    }
    bytes_ += factors.bytes() + static_cast<long>(panels.size() * sizeof(PanelUp));
    inner_max_ = std::max(inner_max_, inner);
    factors_.push_back(std::move(factors));
    panels_.push_back(std::move(panels));
    parts_.push_back({inner, factors_.back().data(), panels_.back().data()});
}

}  // namespace chiliad
