#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Activation of the base branch as a table: code c_i to S[c_i].
///
/// \tparam code_T   type of the codes (unsigned)
/// \tparam CONFIG   n_codes = C; value_t (holds every S)
/// \tparam N_IN     number of inputs
/// \tparam value_T  native integer type of the table
///
/// \param code   codes, [N_IN], each in 0 … C - 1
/// \param table  activation table S, [C]
/// \param value  activation of every input, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class value_T>
inline void base_table(const code_T code[N_IN], const value_T table[CONFIG::n_codes],
                       typename CONFIG::value_t value[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = table complete
BASE_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        value[i] = table[(unsigned)code[i]];
    }
}

} // namespace kan4ml
