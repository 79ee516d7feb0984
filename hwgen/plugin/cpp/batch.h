#pragma once

// Runs the top function over many rows in several threads. For the simulation's shared library only.

#include <atomic>
#include <thread>
#include <vector>

namespace kan_csim {

/// \brief Call body(row) for row = 0 .. n_rows-1, in chunks that n_threads threads take as they get free.
///
/// Row 0 runs before any other: hls4ml's own layers load weights and fill tables in the first call, into statics.
///
/// \tparam BODY  callable with a long long; calls for different rows must not share state
template <class BODY>
void for_each_row(long long n_rows, int n_threads, BODY body) {
    if (n_rows <= 0) {
        return;
    }
    body(0);
    const long long chunk = 64;
    std::atomic<long long> next(1);
    auto work = [&]() {
        for (;;) {
            const long long first = next.fetch_add(chunk);
            if (first >= n_rows) {
                return;
            }
            const long long last = first + chunk < n_rows ? first + chunk : n_rows;
            for (long long row = first; row < last; row++) {
                body(row);
            }
        }
    };
    std::vector<std::thread> others;
    for (long long i = 1; i < n_threads && i * chunk < n_rows; i++) {
        others.emplace_back(work);
    }
    work();
    for (std::thread &other : others) {
        other.join();
    }
}

} // namespace kan_csim
