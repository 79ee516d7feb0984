#pragma once

// Records the integers of every KAN layer while the C++ is simulated; absent from synthesis.

#ifndef __SYNTHESIS__

#include "../kan4ml/types.h"

namespace kan_csim {

/// \brief Where the calling thread's next row of integers goes; null while nobody listens.
inline long long *&tap_row() {
    static thread_local long long *row = 0;
    return row;
}

/// \brief Record x[0 .. N-1], the raw integers behind the port, at row[offset ..].
/// \tparam T  type of the port, see kan4ml::raw_bits
/// \tparam N  number of values
template <class T, unsigned N>
inline void tap(const T x[N], unsigned offset) {
    long long *row = tap_row();
    if (row == 0) {
        return;
    }
    for (unsigned i = 0; i < N; i++) {
        row[offset + i] = kan4ml::to_raw<T>(x[i]).to_int64();
    }
}

/// \brief Record a stream's N values, which are read and written back: call it where it holds just these.
/// \tparam T       type of a beat, see kan4ml::read_vector
/// \tparam N       number of values
/// \tparam STREAM  hls::stream of T
template <class T, unsigned N, class STREAM>
inline void tap_stream(STREAM &stream, unsigned offset) {
    long long *row = tap_row();
    if (row == 0) {
        return;
    }
    for (unsigned b = 0; b < N / T::size; b++) {
        const T beat = stream.read();
        for (unsigned j = 0; j < T::size; j++) {
            row[offset + b * T::size + j] = kan4ml::to_raw<typename T::value_type>(beat[j]).to_int64();
        }
        stream.write(beat);
    }
}

} // namespace kan_csim

#endif
