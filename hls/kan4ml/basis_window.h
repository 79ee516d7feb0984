#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Places the K local values of a grid cell into a window that lies within the basis.
///
/// In cell q the basis functions q … q + K - 1 are not 0; beyond the ends of the grid some of them do not exist. With
///
///   start = clip(q, 0, n_basis - K),   value[j] = local[j + start - q], or 0 where that index leaves 0 … K - 1,
///
/// the window always lies within the basis, and far outside it is all 0.
///
/// \tparam CONFIG  window = K; n_basis (>= K); inside (true if q is in 0 … n_basis - K for every code: the window is
/// then
///                 copied); value_t; start_t (unsigned; holds n_basis - K)
/// \tparam cell_T  type of the cell's number (signed)
///
/// \param cell   number q of the cell
/// \param local  values of the basis functions q … q + K - 1, [K]
/// \param value  window, [K]
/// \param start  index of its first basis function
template <class CONFIG, class cell_T>
inline void basis_window(const cell_T &cell, const typename CONFIG::value_t local[CONFIG::window],
                         typename CONFIG::value_t value[CONFIG::window], typename CONFIG::start_t &start) {
#pragma HLS INLINE
    static_assert(CONFIG::window >= 1 && CONFIG::window <= CONFIG::n_basis, "a window lies within the basis");
    static_assert(raw_bits<cell_T>::is_signed, "a cell may lie below the grid: its number is signed");
    static_assert(!raw_bits<typename CONFIG::start_t>::is_signed, "a basis index is unsigned");
    static_assert(raw_bits<typename CONFIG::start_t>::highest >= (long long)(CONFIG::n_basis - CONFIG::window),
                  "the start type does not hold the last start");
    const int last = (int)(CONFIG::n_basis - CONFIG::window);

    if (CONFIG::inside) {
        start = cell;
    WINDOW_COPY:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            value[j] = local[j];
        }
        return;
    }
    int first = 0;
    if (cell > last) {
        first = last;
    } else if (cell > 0) {
        first = (int)cell;
    }
    start = first;
    const ap_int<raw_bits<cell_T>::width + 12> move = first - cell;
WINDOW_PLACES:
    for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
        value[j] = 0;
    WINDOW_SOURCES:
        for (unsigned source = 0; source < CONFIG::window; source++) {
#pragma HLS UNROLL
            if (move == (int)source - (int)j) {
                value[j] = local[source];
            }
        }
    }
}

} // namespace kan4ml
