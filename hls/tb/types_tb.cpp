// Raw bits of every port type of 1 … 8 bits and some wide ones, all values (wide: ends and random ones).
#include "check.h"
#include "kan4ml/types.h"

static tb::Checker check("types");

template <class T>
static void one(long long raw) {
    typename kan4ml::raw_bits<T>::type bits = raw;
    const T port = kan4ml::from_raw<T>(bits);
    check.equal("raw", (long long)kan4ml::to_raw(port), raw);
}

template <class T>
static void all(int width, bool is_signed) {
    typedef kan4ml::raw_bits<T> raw;
    const long long low = is_signed ? -(1LL << (width - 1)) : 0;
    const long long high = (1LL << (is_signed ? width - 1 : width)) - 1;
    const long long lowest = raw::lowest, highest = raw::highest;
    check.equal("lowest", lowest, low);
    check.equal("highest", highest, high);
    if (width <= 8) {
        for (long long v = low; v <= high; v++) {
            one<T>(v);
        }
        return;
    }
    tb::Random random(width);
    for (int n = 0; n < 200; n++) {
        one<T>(random.edgy(low, high));
    }
}

template <int W>
static void width() {
    all<ap_int<W>>(W, true);
    all<ap_uint<W>>(W, false);
    all<ap_fixed<W, W>>(W, true);
    all<ap_fixed<W, 1, AP_RND, AP_SAT>>(W, true);
    all<ap_fixed<W, W + 3, AP_RND, AP_SAT>>(W, true);
    all<ap_ufixed<W, -2, AP_RND, AP_SAT>>(W, false);
    all<ap_ufixed<W, W>>(W, false);
}

int main() {
    width<1>();
    width<2>();
    width<5>();
    width<8>();
    width<17>();
    width<32>();
    width<53>();

    // Raw bits are the value in LSBs: 1.25 in steps of 1/4 is 5, also where the type would round or saturate.
    check.equal("value", (long long)kan4ml::to_raw(ap_fixed<6, 4>(1.25)), 5);
    check.equal("value", (long long)kan4ml::to_raw(ap_fixed<6, 4>(-1.25)), -5);
    check.equal("value", (long long)kan4ml::to_raw(ap_ufixed<6, 4, AP_RND, AP_SAT>(99.0)), 63);
    return check.finish();
}
