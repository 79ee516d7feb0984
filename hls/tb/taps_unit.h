#pragma once

#include "kan4ml/window2d.h"

namespace tb {

/// \brief A unit of every_window that shows where every number came from: y[o] = sum over taps t and channels c of
/// (1 + t + 100*c) * x[c], of o + 1 times that; a tap outside counts as x = 7.
struct taps_unit {
    template <class data_T, class CONFIG>
    struct pixel {
        long long x[CONFIG::geometry::channels];
    };

    template <class data_T, class CONFIG, class... TABLES>
    static void read(const data_T x[CONFIG::geometry::channels], pixel<data_T, CONFIG> &p, const TABLES &...) {
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
            p.x[c] = (long long)kan4ml::to_raw(x[c]);
        }
    }

    template <class data_T, class CONFIG>
    static void outside(pixel<data_T, CONFIG> &p) {
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
            p.x[c] = 7;
        }
    }

    template <class data_T, class res_T, class CONFIG, class TABLE>
    static void window(const pixel<data_T, CONFIG> taps[kan4ml::windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const TABLE &factor) {
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
            long long sum = 0;
            for (unsigned t = 0; t < kan4ml::windows<typename CONFIG::geometry>::n_taps; t++) {
                for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
                    sum += (1 + t + 100 * c) * taps[t].x[c];
                }
            }
            y[o] = kan4ml::from_raw<res_T>(sum * factor[o]);
        }
    }
};

/// \brief The same sum of window w of image X, by plain loops.
template <class G>
inline long long taps_sum(const long long *X, unsigned w) {
    long long sum = 0;
    for (unsigned t = 0; t < G::kernel_height * G::kernel_width; t++) {
        const int p = sizes<G>::pixel(w, t);
        for (unsigned c = 0; c < G::channels; c++) {
            sum += (1 + t + 100 * c) * (p < 0 ? 7 : X[p * (int)G::channels + (int)c]);
        }
    }
    return sum;
}

template <class G, unsigned REUSE>
struct taps_config {
    typedef G geometry;
    static const unsigned n_out = 2;
    static const unsigned reuse_factor = REUSE;
};

static const short taps_factor[2] = {1, 3};

} // namespace tb
