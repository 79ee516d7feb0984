#pragma once

// Runs the top function over many rows in several threads. For the simulation's shared library only.

#include <atomic>
#include <thread>
#include <vector>

#include "../kan4ml/types.h"

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

/// \brief Set the ports y[0 .. N-1] to the raw integers x[0 .. N-1].
/// \tparam T  type of a port, see kan4ml::raw_bits
template <class T, unsigned N>
void write_array(const long long *x, T y[N]) {
    for (unsigned i = 0; i < N; i++) {
        y[i] = kan4ml::from_raw<T>(x[i]);
    }
}

/// \brief Write the raw integers x[0 .. N-1] to a stream.
/// \tparam T       type of a beat, see kan4ml::read_vector
/// \tparam STREAM  hls::stream of T
template <class T, unsigned N, class STREAM>
void write_stream(const long long *x, STREAM &y) {
    for (unsigned b = 0; b < N / T::size; b++) {
        T beat;
        for (unsigned j = 0; j < T::size; j++) {
            beat[j] = kan4ml::from_raw<typename T::value_type>(x[b * T::size + j]);
        }
        y.write(beat);
    }
}

/// \brief Read what nobody else reads: a stream that is destroyed with beats in it warns.
template <class STREAM>
void drain(STREAM &y) {
    while (!y.empty()) {
        y.read();
    }
}

} // namespace kan_csim
