// Every window and tap of eight geometries, against windows that are counted and pixels that are looked up one by one;
// images in arrays, all windows at once and rolled.
#include "check.h"
#include "geometry.h"
#include "taps_unit.h"

static tb::Checker check("window2d");

template <class G>
static void pixels() {
    typedef kan4ml::windows<G> sizes;
    check.equal("out_height", sizes::out_height, tb::sizes<G>::out_height());
    check.equal("out_width", sizes::out_width, tb::sizes<G>::out_width());
    bool outside = false;
    for (unsigned w = 0; w < sizes::n_windows; w++) {
        int pixel[sizes::n_taps];
        kan4ml::window2d<G>(w, pixel);
        for (unsigned t = 0; t < sizes::n_taps; t++) {
            check.equal("pixel", pixel[t], tb::sizes<G>::pixel(w, t));
            outside = outside || pixel[t] < 0;
        }
    }
    check.equal("is_padded", sizes::is_padded || !outside, true);
}

template <class G, unsigned REUSE>
static void images(unsigned long long seed) {
    typedef ap_fixed<9, 4> data_T;
    typedef ap_int<40> res_T;
    static const unsigned n_in = G::height * G::width * G::channels, n_windows = kan4ml::windows<G>::n_windows;
    tb::Random random(seed);
    for (int n = 0; n < 20; n++) {
        long long X[n_in];
        data_T x[n_in];
        res_T y[n_windows * 2];
        for (unsigned i = 0; i < n_in; i++) {
            X[i] = random.edgy(-256, 255);
            x[i] = kan4ml::from_raw<data_T>(X[i]);
        }
        kan4ml::every_window<tb::taps_unit, data_T, res_T, tb::taps_config<G, REUSE>>(x, y, tb::taps_factor);
        for (unsigned w = 0; w < n_windows; w++) {
            check.equal("y[0]", (long long)y[w * 2], tb::taps_sum<G>(X, w));
            check.equal("y[1]", (long long)y[w * 2 + 1], 3 * tb::taps_sum<G>(X, w));
        }
    }
}

// Padding on one side only.
struct above : tb::plain {
    static const unsigned padding_top = 1;
};

struct beside : tb::plain {
    static const unsigned padding_right = 1;
};

int main() {
    pixels<above>();
    pixels<beside>();
    pixels<tb::plain>();
    pixels<tb::padded>();
    pixels<tb::dilated>();
    pixels<tb::points>();
    pixels<tb::large>();
    pixels<tb::line>();
    pixels<tb::single>();
    pixels<tb::coarse>();
    images<tb::plain, 1>(1);
    images<tb::plain, 4>(2);
    images<tb::padded, 5>(3);
    images<tb::dilated, 7>(4);
    images<tb::points, 2>(5);
    images<tb::large, 49>(6);
    images<tb::line, 4>(7);
    images<tb::single, 1>(8);
    images<tb::coarse, 1>(9);
    return check.finish();
}
