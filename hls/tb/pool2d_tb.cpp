// Maxima and averages of seven geometries, all windows at once and rolled, against plain loops over every window.
#include "check.h"
#include "geometry.h"
#include "kan4ml/pool2d.h"

static tb::Checker check("pool2d");

template <class G, unsigned REUSE, unsigned MULT, unsigned SHIFT>
struct config {
    typedef G geometry;
    static const unsigned n_out = G::channels;
    static const unsigned reuse_factor = REUSE;
    static const unsigned mult = MULT;
    static const unsigned shift = SHIFT;
    typedef ap_int<14> acc_t;
    typedef ap_int<46> sum_t;
};

template <class data_T, class res_T, class G, unsigned REUSE, unsigned MULT, unsigned SHIFT>
static void images(unsigned long long seed) {
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    typedef config<G, REUSE, MULT, SHIFT> cfg;
    static const unsigned C = G::channels, n_in = G::height * G::width * C;
    static const unsigned n_windows = kan4ml::windows<G>::n_windows;
    tb::Random random(seed);
    for (int n = 0; n < 40; n++) {
        long long X[n_in];
        data_T x[n_in], largest[n_windows * C];
        res_T average[n_windows * C];
        for (unsigned i = 0; i < n_in; i++) {
            X[i] = n == 0 ? (long long)in::lowest : random.edgy(in::lowest, in::highest);
            x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
        }
        kan4ml::max_pool2d<data_T, data_T, cfg>(x, largest);
        kan4ml::average_pool2d<data_T, res_T, cfg>(x, average);
        for (unsigned w = 0; w < n_windows; w++) {
            for (unsigned c = 0; c < C; c++) {
                long long sum = 0, most = -1000000;
                for (unsigned t = 0; t < G::kernel_height * G::kernel_width; t++) {
                    const int p = tb::sizes<G>::pixel(w, t);
                    if (p >= 0) {
                        const long long value = X[p * (int)C + (int)c];
                        sum += value;
                        most = value > most ? value : most;
                    }
                }
                check.equal("maximum", (long long)kan4ml::to_raw(largest[w * C + c]), most);
                check.equal("average", (long long)kan4ml::to_raw(average[w * C + c]),
                            tb::rescaled(sum * MULT, SHIFT, out::width, out::is_signed));
            }
        }
    }
}

int main() {
    typedef ap_fixed<7, 3, AP_RND, AP_SAT> real;
    typedef ap_ufixed<6, 6, AP_RND, AP_SAT> code;
    images<real, real, tb::plain, 1, 43691, 18>(1);
    images<real, ap_fixed<5, 3, AP_RND, AP_SAT>, tb::padded, 5, 1, 2>(2);
    images<code, code, tb::padded, 1, 29127, 18>(3);
    images<real, real, tb::dilated, 7, 3, 0>(4);
    images<code, ap_int<4>, tb::points, 4, 1, 0>(5);
    images<code, code, tb::line, 2, 52429, 18>(6);
    images<real, real, tb::single, 1, 65536, 16>(7);
    images<real, ap_int<9>, tb::coarse, 2, 5, 1>(8);
    images<real, real, tb::plain, 1, 1431655765, 33>(9); // a multiplier of 31 bits
    return check.finish();
}
