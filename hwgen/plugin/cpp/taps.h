#pragma once

// Records the integers of every KAN layer while the C++ is simulated, and can put others in their place, so that the
// next layer is driven alone; absent from synthesis.

#ifndef __SYNTHESIS__

#include "../kan4ml/types.h"

namespace kan_csim {

/// \brief Where the calling thread's next row of integers goes; null while nobody listens.
inline long long *&tap_row() {
    static thread_local long long *row = 0;
    return row;
}

/// \brief What takes the place of the integers that the calling thread's taps record; null leaves them alone.
inline const long long *&inject_row() {
    static thread_local const long long *row = 0;
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

/// \brief Record x likewise, then put the integers of the thread's inject_row(), if any, in their place.
template <class T, unsigned N>
inline void tap(T x[N], unsigned offset) {
    tap<T, N>(static_cast<const T *>(x), offset);
    const long long *inject = inject_row();
    for (unsigned i = 0; inject != 0 && i < N; i++) {
        x[i] = kan4ml::from_raw<T>(inject[offset + i]);
    }
}

/// \brief Record a stream's N values, which are read and written back, or those of inject_row() in their place: call it
/// where the stream holds just these.
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
        T beat = stream.read();
        for (unsigned j = 0; j < T::size; j++) {
            const unsigned place = offset + b * T::size + j;
            row[place] = kan4ml::to_raw<typename T::value_type>(beat[j]).to_int64();
            if (inject_row() != 0) {
                beat[j] = kan4ml::from_raw<typename T::value_type>(inject_row()[place]);
            }
        }
        stream.write(beat);
    }
}

} // namespace kan_csim

#endif
