// Vectors of 12, 5 and 1 values in beats of every size that divides them, several samples one after the other in one
// stream. The model numbers the values of the stream as they come.
#include "check.h"
#include "kan4ml/stream_vector.h"
#include "pack.h"

static tb::Checker check("stream_vector");

template <class T, unsigned N, unsigned IN, unsigned OUT>
static void vectors(unsigned long long seed) {
    typedef tb::pack<T, IN> in_T;
    typedef tb::pack<T, OUT> out_T;
    static const unsigned samples = 40;
    tb::Random random(seed);
    hls::stream<in_T> in("in");
    hls::stream<out_T> out("out");
    long long values[samples * N];
    for (unsigned b = 0; b < samples * N / IN; b++) {
        in_T beat;
        for (unsigned j = 0; j < IN; j++) {
            values[b * IN + j] = random.edgy(kan4ml::raw_bits<T>::lowest, kan4ml::raw_bits<T>::highest);
            beat[j] = kan4ml::from_raw<T>(values[b * IN + j]);
        }
        in.write(beat);
    }
    for (unsigned s = 0; s < samples; s++) {
        T x[N];
        kan4ml::read_vector<in_T, N>(in, x);
        for (unsigned i = 0; i < N; i++) {
            check.equal("x", (long long)kan4ml::to_raw(x[i]), values[s * N + i]);
        }
        check.equal("beats left", (long long)in.size(), (samples - 1 - s) * (N / IN));
        kan4ml::write_vector<out_T, N>(x, out);
        check.equal("beats written", (long long)out.size(), (s + 1) * (N / OUT));
    }
    for (unsigned b = 0; b < samples * N / OUT; b++) {
        const out_T beat = out.read();
        for (unsigned j = 0; j < OUT; j++) {
            check.equal("y", (long long)kan4ml::to_raw(beat[j]), values[b * OUT + j]);
        }
    }
}

// Every value of a 10-bit type, to 5 bits: half up, then the ends of the range, by plain arithmetic.
template <unsigned SIZE>
static void casts() {
    typedef ap_fixed<10, 5> from_T;              // 5 fractional bits
    typedef ap_fixed<5, 3, AP_RND, AP_SAT> to_T; // 2 of them
    hls::stream<tb::pack<from_T, SIZE>> in("in");
    hls::stream<tb::pack<to_T, SIZE>> out("out");
    for (int n = 0; n < 1024; n += SIZE) {
        tb::pack<from_T, SIZE> beat;
        for (unsigned j = 0; j < SIZE; j++) {
            beat[j] = kan4ml::from_raw<from_T>(n + (int)j - 512);
        }
        in.write(beat);
    }
    kan4ml::cast_stream<tb::pack<from_T, SIZE>, tb::pack<to_T, SIZE>, 512>(in, out);
    check.equal("beats left", (long long)in.size(), 512 / SIZE);
    kan4ml::cast_stream<tb::pack<from_T, SIZE>, tb::pack<to_T, SIZE>, 512>(in, out);
    for (int n = 0; n < 1024; n += SIZE) {
        const tb::pack<to_T, SIZE> beat = out.read();
        for (unsigned j = 0; j < SIZE; j++) {
            const long long x = n + (int)j - 512;
            check.equal("cast", (long long)kan4ml::to_raw(beat[j]), tb::clip(tb::floor_div(x + 4, 3), -16, 15));
        }
    }
}

int main() {
    casts<1>();
    casts<8>();
    typedef ap_fixed<7, 3, AP_RND, AP_SAT> real;
    vectors<real, 12, 12, 1>(1);
    vectors<real, 12, 3, 4>(2);
    vectors<ap_uint<5>, 12, 4, 6>(3);
    vectors<ap_int<62>, 12, 1, 2>(4);
    vectors<real, 5, 1, 5>(5);
    vectors<ap_uint<1>, 5, 5, 1>(6);
    vectors<real, 1, 1, 1>(7);
    return check.finish();
}
