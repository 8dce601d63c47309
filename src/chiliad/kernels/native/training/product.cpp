#include "product.hpp"

#include "../threads.hpp"
#include "tiles.hpp"

#include <algorithm>

namespace chiliad::training {
namespace {

constexpr int VECTORS = PANEL / LANES;
constexpr int WIDE_ROWS = TILE_ROWS, THIN_ROWS = fitting(24);
constexpr long PIECE_ROWS = 96;    // that are worth reading a panel once more
constexpr long LONG_PAIRS = 1024;  // of inputs whose panel stays in the second-level cache

void write_vector(Floats sum, const Output &out, long at, Mask mask = 0xffff) {
    store(out.y + at, out.residual ? sum + load(out.residual + at, mask) : sum, mask);
}

template <int ROWS>
void write(const Tile<ROWS, VECTORS> &tile, const Output &out, long row, long stride, long column) {
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS && column + v * LANES < stride; v++) {
            const long at = (row + r) * stride + column + v * LANES, left = stride - column - v * LANES;
            if (left >= LANES) {
                write_vector(tile.sums[r][v], out, at);  // without a mask, which slows stores down
            } else {
                write_vector(tile.sums[r][v], out, at, lanes(left));
            }
        }
}

template <int ROWS>
void accumulate(const Tile<ROWS, VECTORS> &tile, float *y, long row, long stride, long column) {
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS && column + v * LANES < stride; v++) {
            float *at = y + (row + r) * stride + column + v * LANES;
            const Mask mask = lanes(stride - column - v * LANES);
            store(at, tile.sums[r][v] + load(at, mask), mask);
        }
}

void panel_of_rows(const bf16 *x, const Matrix &w, long panel, const Run &rows, const Inner &inner, const Output &out) {
    const Right frozen{w.packed + panel * PANEL * w.inputs, PANEL};
    Right added{nullptr, PANEL};
    Range columns{0, 0};
    if (rows.factors && rows.factors->columns) {
        columns = rows.factors->wide_pairs[static_cast<std::size_t>(panel)];
        added.at = rows.factors->wide.data() + (panel * rows.factors->columns + 2 * columns.begin) * PANEL;
    }
    in_tiles<WIDE_ROWS>(rows.begin, rows.end, [&](long row, auto count) {
        Tile<decltype(count)::value, VECTORS> tile;
        tile.add({x + row * w.inputs, w.inputs}, frozen, w.inputs / 2);
        if (columns.size())
            tile.add({inner.rows + row * inner.stride + 2 * columns.begin, inner.stride}, added, columns.size());
        write(tile, out, row, w.outputs, panel * PANEL);
    });
}

// Where there are few panels the rows are shared out as well, so that no thread waits long for the last of them.
std::vector<Run> pieces(const std::vector<Run> &runs, long panels) {
    const long rows = runs.back().end, wanted = panels < 16 * threads_available() && rows > 2 * PIECE_ROWS ? 3 : 1;
    const long most = ((rows + wanted - 1) / wanted + WIDE_ROWS - 1) / WIDE_ROWS * WIDE_ROWS;
    std::vector<Run> out;
    for (const Run &run : runs)
        for (long row = run.begin; row < run.end; row += most)
            out.push_back({row, std::min(row + most, run.end), run.factors});
    return out;
}

template <int ROWS>
void write_inner(const Tile<ROWS, 1> &tile, const Run &run, long pair, long row, long column, long columns,
                 const Inner &inner) {
    const Mask mask = lanes(columns - column);
    for (int r = 0; r < ROWS; r++) {
        const long within = row + r - run.begin;
        bf16 *rows = inner.rows + (row + r) * inner.stride + column;
        bf16 *pairs = inner.pairs + ((pair + within / 2) * inner.stride + column) * 2;
        store(rows, tile.sums[r][0], mask);
        for (long c = 0; c < std::min(LANES, columns - column); c++) pairs[2 * c + within % 2] = rows[c];
        if (within % 2 == 0 && row + r + 1 == run.end)
            for (long c = 0; c < std::min(LANES, columns - column); c++) pairs[2 * c + 1] = 0;
    }
}

// Two rows of x, 16 columns from each: as pairs.
struct Interleaved {
    Pairs low, high;  // columns 0 to 15 and 16 to 31

    Interleaved(const bf16 *x, long stride, long width, bool both) {
        const Mask mask = lanes(width), rest = width > LANES ? lanes(width - LANES) : 0;
        low = side_by_side(x, mask, x + stride, both ? mask : 0);
        high = side_by_side(x + LANES, rest, x + stride + LANES, both ? rest : 0);
    }
};

template <int RANKS>
void add_columns(const Gradient &g, long rank, long column) {
    const long width = std::min(2 * LANES, g.width - column);
    Floats sums[RANKS][2];
    for (auto &row : sums) row[0] = row[1] = zero();
    for (long row = 0; row < g.rows; row += 2) {
        const Interleaved x(g.x + row * g.x_stride + column, g.x_stride, width, row + 1 < g.rows);
        const bf16 *pairs = g.pairs + row * g.pairs_stride + 2 * rank;
        for (int r = 0; r < RANKS; r++) {
            const Pairs pair = pair_everywhere(pairs + 2 * r);
            sums[r][0] = dot(sums[r][0], pair, x.low);
            sums[r][1] = dot(sums[r][1], pair, x.high);
        }
    }
    alignas(64) float out[RANKS][2 * LANES];
    const Floats scale = splat(g.scale);
    for (int r = 0; r < RANKS; r++)
        for (int v = 0; v < 2; v++) store(out[r] + v * LANES, sums[r][v] * scale);
    float *to = g.to + rank * g.rank_step + column * g.width_step;
    for (long i = 0; i < width; i++)
        for (int r = 0; r < RANKS; r++) to[r * g.rank_step + i * g.width_step] += out[r][i];
}

// Gradients in pieces of columns.
struct Columns {
    const Gradient &gradient;
    Range range;

    void add() const {
        for (long column = range.begin; column < range.end; column += 2 * LANES)
            in_tiles<fitting(8)>(0, gradient.rank, [&](long rank, auto ranks) {
                add_columns<decltype(ranks)::value>(gradient, rank, column);
            });
    }
};

std::vector<Columns> pieces(const std::vector<Gradient> &gradients) {
    constexpr long WIDTH = 8 * LANES;
    std::vector<Columns> out;
    for (const Gradient &gradient : gradients)
        for (long column = 0; column < gradient.width; column += WIDTH)
            out.push_back({gradient, {column, std::min(column + WIDTH, gradient.width)}});
    return out;
}

}  // namespace

void product(const bf16 *x, const Matrix &w, const std::vector<Run> &runs, const Inner &inner, const Output &out,
             const std::vector<Gradient> &beside) {
    const long panels = (w.outputs + PANEL - 1) / PANEL;
    const std::vector<Run> parts = pieces(runs, panels);
    const std::vector<Columns> columns = pieces(beside);
    const long count = static_cast<long>(parts.size()), products = panels * count;
    parallel_for(products + static_cast<long>(columns.size()), 1, [&](long begin, long end) {
        for (long job = begin; job < end; job++) {
            if (job < products) {
                panel_of_rows(x, w, job / count, parts[static_cast<std::size_t>(job % count)], inner, out);
            } else {
                columns[static_cast<std::size_t>(job - products)].add();
            }
        }
    });
}

void add_gradients(const std::vector<Gradient> &gradients) {
    const std::vector<Columns> columns = pieces(gradients);
    parallel_for(static_cast<long>(columns.size()), 1, [&](long begin, long end) {
        for (long job = begin; job < end; job++) columns[static_cast<std::size_t>(job)].add();
    });
}

void long_product(const bf16 *x, const Matrix &w, long rows, float *y) {
    const long threads = threads_available(), most = std::min(128L, (rows + threads - 1) / threads);
    std::fill_n(y, rows * w.outputs, 0.f);
    parallel_for(rows, most, [&](long begin, long end) {
        for (long k = 0; k < w.inputs / 2; k += LONG_PAIRS)
            for (long panel = 0; panel * PANEL < w.outputs; panel++) {
                const Right part{w.packed + (panel * w.inputs + 2 * k) * PANEL, PANEL};
                const long pairs = std::min(LONG_PAIRS, w.inputs / 2 - k);
                in_tiles<WIDE_ROWS>(begin, end, [&](long row, auto count) {
                    Tile<decltype(count)::value, VECTORS> tile;
                    tile.add({x + row * w.inputs + 2 * k, w.inputs}, part, pairs);
                    accumulate(tile, y, row, w.outputs, panel * PANEL);
                });
            }
    });
}

void thin_product(const bf16 *x, const Run &run, long pair, long begin, long end, const Inner &inner) {
    if (!run.factors) return;
    const Factors &factors = *run.factors;
    for (long column = 0; column < factors.columns; column += LANES) {
        const Range inputs = factors.thin_pairs[static_cast<std::size_t>(column / LANES)];
        const Right thin{factors.thin.data() + (column * factors.inputs / LANES + 2 * inputs.begin) * LANES, LANES};
        in_tiles<THIN_ROWS>(begin, end, [&](long row, auto count) {
            Tile<decltype(count)::value, 1> tile;
            tile.add({x + row * factors.inputs + 2 * inputs.begin, factors.inputs}, thin, inputs.size());
            write_inner(tile, run, pair, row, column, factors.columns, inner);
        });
    }
}

}  // namespace chiliad::training
