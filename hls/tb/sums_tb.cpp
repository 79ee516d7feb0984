// Native sums against sums in ap_types: random and extreme products and table entries that their types cut, in
// accumulators that hold every partial sum, and in accumulators that wrap.
#include "check.h"
#include "kan4ml/sums.h"

static tb::Checker check("sums");

// The finished sum, of the accumulator's width, or a number that no accumulator holds.
template <class SUMS, class acc_T, class a_T, class b_T>
static long long dot(const long long *a, const long long *b, unsigned n) {
    typename SUMS::type sum = 0;
    for (unsigned i = 0; i < n; i++) {
        const a_T value = a[i];
        sum += SUMS::template term<a_T>(value) * SUMS::template term<b_T>(b[i]);
    }
    return (acc_T(SUMS::total(sum)) == SUMS::total(sum)) ? acc_T(SUMS::total(sum)).to_int64() : 1LL << 62;
}

template <class acc_T, class a_T, class b_T>
static void compare(const char *what, tb::Random &random) {
    for (int n = 0; n < 500; n++) {
        long long a[8], b[8];
        for (int i = 0; i < 8; i++) {
            a[i] = random.edgy(kan4ml::raw_bits<a_T>::lowest, kan4ml::raw_bits<a_T>::highest);
            const int kind = (int)random.in(0, 3); // a table's native type is often wider than the type in the config
            b[i] = kind == 0 ? random.edgy(-(1LL << 60), 1LL << 60)
                             : random.edgy(kan4ml::raw_bits<b_T>::lowest, kan4ml::raw_bits<b_T>::highest);
        }
        check.equal(what, dot<kan4ml::native_sums<acc_T>, acc_T, a_T, b_T>(a, b, 8),
                    dot<kan4ml::ap_sums<acc_T>, acc_T, a_T, b_T>(a, b, 8));
    }
}

int main() {
    tb::Random random(7);
    compare<ap_int<12>, ap_int<4>, ap_int<4>>("12 bits", random);
    compare<ap_int<5>, ap_int<4>, ap_uint<4>>("5 bits, wrapping", random);
    compare<ap_int<1>, ap_uint<1>, ap_int<1>>("1 bit, wrapping", random);
    compare<ap_uint<7>, ap_uint<6>, ap_int<6>>("7 bits, unsigned, wrapping", random);
    compare<ap_int<31>, ap_int<16>, ap_int<17>>("31 bits, wrapping", random);
    compare<ap_int<32>, ap_uint<20>, ap_int<20>>("32 bits, wrapping", random);
    compare<ap_int<33>, ap_int<16>, ap_int<14>>("33 bits", random);
    compare<ap_int<53>, ap_int<30>, ap_uint<20>>("53 bits", random);
    compare<ap_int<62>, ap_int<31>, ap_int<31>>("62 bits, wrapping", random);
    return check.finish();
}
