#pragma once

/// \file
/// Streams for open HLS, in front of those of ap_types: a queue of KAN4ML_BEATS beats without memory from the heap, so
/// that a compiler sees which beat is which. Reading an empty one is undefined, as it would block for ever.

#ifndef KAN4ML_BEATS
#define KAN4ML_BEATS 1
#endif

namespace hls {

template <class T>
class stream {
  public:
    stream() {}
    explicit stream(const char * /* its name */) {}
    T read() { return beats[first++]; }
    void read(T &beat) { beat = read(); }
    void write(const T &beat) { beats[last++] = beat; }
    bool empty() const { return first == last; }
    bool full() const { return false; }
    unsigned size() const { return last - first; }

  private:
    T beats[KAN4ML_BEATS];
    unsigned first = 0, last = 0;
};

} // namespace hls
