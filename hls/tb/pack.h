#pragma once

namespace tb {

/// \brief A beat of a stream with N values, as hls4ml's nnet::array.
template <class T, unsigned N>
struct pack {
    typedef T value_type;
    static const unsigned size = N;
    T data[N];
    T &operator[](unsigned j) { return data[j]; }
    const T &operator[](unsigned j) const { return data[j]; }
};

} // namespace tb
