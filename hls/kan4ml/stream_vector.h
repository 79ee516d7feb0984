#pragma once

#include "hls_stream.h"
#include "types.h"

namespace kan4ml {

/// \brief Reads a vector from a stream: x[b*S + j] is the j-th value of beat b, S = pack_T::size values to a beat.
///
/// A beat is any struct with `value_type`, `size` and `operator[]`, as hls4ml's nnet::array. The read blocks until a
/// beat has come, which is all the back-pressure that a layer needs.
///
/// \tparam pack_T  type of a beat
/// \tparam N       size of the vector, a multiple of S
///
/// \param stream  gives N / S beats
/// \param x       the vector, [N]
template <class pack_T, unsigned N>
inline void read_vector(hls::stream<pack_T> &stream, typename pack_T::value_type x[N]) {
#pragma HLS INLINE
    static_assert(pack_T::size >= 1 && N % pack_T::size == 0, "the values of a vector fill its beats");
READ_BEATS:
    for (unsigned b = 0; b < N / pack_T::size; b++) {
#pragma HLS PIPELINE II = 1
        const pack_T beat = stream.read();
    READ_VALUES:
        for (unsigned j = 0; j < pack_T::size; j++) {
#pragma HLS UNROLL
            x[b * pack_T::size + j] = beat[j];
        }
    }
}

/// \brief Writes a vector to a stream, in the order in which read_vector reads it. The write blocks while the stream is
/// full.
///
/// \tparam pack_T  type of a beat, see read_vector
/// \tparam N       size of the vector, a multiple of pack_T::size
///
/// \param y       the vector, [N]
/// \param stream  gets N / pack_T::size beats
template <class pack_T, unsigned N>
inline void write_vector(const typename pack_T::value_type y[N], hls::stream<pack_T> &stream) {
#pragma HLS INLINE
    static_assert(pack_T::size >= 1 && N % pack_T::size == 0, "the values of a vector fill its beats");
WRITE_BEATS:
    for (unsigned b = 0; b < N / pack_T::size; b++) {
#pragma HLS PIPELINE II = 1
        pack_T beat;
    WRITE_VALUES:
        for (unsigned j = 0; j < pack_T::size; j++) {
#pragma HLS UNROLL
            beat[j] = y[b * pack_T::size + j];
        }
        stream.write(beat);
    }
}

/// \brief Converts every value of a stream to another type, which rounds and saturates as it says.
///
/// \tparam data_T  type of a beat read
/// \tparam res_T   type of a beat written, of as many values
/// \tparam N       values, a multiple of data_T::size
///
/// \param x  gives N / data_T::size beats
/// \param y  gets as many
template <class data_T, class res_T, unsigned N>
void cast_stream(hls::stream<data_T> &x, hls::stream<res_T> &y) {
    static_assert((unsigned)data_T::size == (unsigned)res_T::size, "a beat is converted to a beat");
    static_assert(N % data_T::size == 0, "the values of a vector fill its beats");
CAST_BEATS:
    for (unsigned b = 0; b < N / data_T::size; b++) {
#pragma HLS PIPELINE II = 1
        const data_T from = x.read();
        res_T to;
    CAST_VALUES:
        for (unsigned j = 0; j < data_T::size; j++) {
#pragma HLS UNROLL
            to[j] = from[j];
        }
        y.write(to);
    }
}

} // namespace kan4ml
