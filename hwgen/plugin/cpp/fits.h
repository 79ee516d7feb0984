#pragma once

// Checks of the integer tables before they are simulated; absent from synthesis.

#ifndef __SYNTHESIS__

#include <sstream>
#include <string>

namespace kan_csim {

/// \brief Note the first entry of a table that its type in the config would change without a word.
///
/// \tparam T        the ap_int or ap_uint that the kernel converts every entry to
/// \tparam table_T  native integer type of the table
///
/// \param name      of layer and table
/// \param table     the entries, [n]
/// \param problems  gets one line
template <class T, class table_T>
void check_fits(const char *name, const table_T *table, long long n, std::string &problems) {
    for (long long i = 0; i < n; i++) {
        const T value = table[i];
        if (value.to_int64() != (long long)table[i]) {
            std::ostringstream line;
            line << name << "[" << i << "] is " << (long long)table[i] << ", which its type of " << T::width
                 << " bits in the config cannot hold\n";
            problems += line.str();
            return;
        }
    }
}

/// \brief Note the first entry of a table of indices that is not 0 … limit - 1.
///
/// \tparam table_T  native integer type of the table
template <class table_T>
void check_index(const char *name, const table_T *table, long long n, long long limit, std::string &problems) {
    for (long long i = 0; i < n; i++) {
        if ((long long)table[i] < 0 || (long long)table[i] >= limit) {
            std::ostringstream line;
            line << name << "[" << i << "] is " << (long long)table[i] << ", but must be 0 to " << limit - 1 << "\n";
            problems += line.str();
            return;
        }
    }
}

} // namespace kan_csim

#endif
