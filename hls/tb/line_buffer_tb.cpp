// Windows of numbered pixels in the buffer itself, and eight geometries as streams, several images one after the other.
#include "check.h"
#include "geometry.h"
#include "kan4ml/line_buffer.h"
#include "pack.h"
#include "taps_unit.h"

static tb::Checker check("line_buffer");

template <unsigned ROWS, unsigned COLUMNS, unsigned HEIGHT, unsigned WIDTH>
static void buffer() {
    kan4ml::line_buffer<int, ROWS, COLUMNS, WIDTH> b;
    for (unsigned image = 0; image < 2; image++) {
        for (unsigned y = 0; y < HEIGHT; y++) {
            for (unsigned x = 0; x < WIDTH; x++) {
                b.shift_in((int)(1000 * image + y * WIDTH + x), x);
                if (y + 1 < ROWS || x + 1 < COLUMNS) {
                    continue; // the window is not complete
                }
                for (unsigned r = 0; r < ROWS; r++) {
                    for (unsigned c = 0; c < COLUMNS; c++) {
                        const unsigned row = y + 1 - ROWS + r, column = x + 1 - COLUMNS + c;
                        check.equal("window", b.window[r][c], 1000 * image + row * WIDTH + column);
                    }
                }
            }
        }
    }
}

template <class G, bool ROLLED>
static void images(unsigned long long seed) {
    typedef tb::pack<ap_fixed<9, 4>, G::channels> data_T;
    typedef tb::pack<ap_int<40>, 2> res_T;
    typedef tb::taps_config<G, 1> config;
    static const unsigned n_in = G::height * G::width * G::channels, n_windows = kan4ml::windows<G>::n_windows;
    tb::Random random(seed);
    hls::stream<data_T> x("x");
    hls::stream<res_T> y("y");
    long long X[10][n_in];
    for (unsigned n = 0; n < 10; n++) {
        data_T beat;
        for (unsigned i = 0; i < n_in; i++) {
            X[n][i] = random.edgy(-256, 255);
            beat[i % G::channels] = kan4ml::from_raw<ap_fixed<9, 4>>(X[n][i]);
            if (i % G::channels == G::channels - 1) {
                x.write(beat);
            }
        }
    }
    for (unsigned n = 0; n < 10; n++) {
        if (ROLLED) {
            kan4ml::every_window_rolled<tb::taps_unit, data_T, res_T, config>(x, y, tb::taps_factor);
        } else {
            kan4ml::every_window_stream<tb::taps_unit, data_T, res_T, config>(x, y, tb::taps_factor);
        }
        check.equal("beats left", (long long)x.size(), (9 - n) * G::height * G::width);
        check.equal("beats written", (long long)y.size(), n_windows);
        for (unsigned w = 0; w < n_windows; w++) {
            const res_T beat = y.read();
            check.equal("y[0]", (long long)beat[0], tb::taps_sum<G>(X[n], w));
            check.equal("y[1]", (long long)beat[1], 3 * tb::taps_sum<G>(X[n], w));
        }
    }
}

int main() {
    buffer<3, 2, 5, 4>();
    buffer<1, 3, 4, 5>();
    buffer<2, 1, 4, 3>();
    buffer<1, 1, 2, 2>();
    buffer<4, 5, 4, 5>();
    images<tb::plain, false>(1);
    images<tb::padded, false>(2);
    images<tb::dilated, false>(3);
    images<tb::points, false>(4);
    images<tb::large, false>(5);
    images<tb::line, false>(6);
    images<tb::single, false>(7);
    images<tb::coarse, false>(8);
    images<tb::padded, true>(9);
    images<tb::coarse, true>(10);
    return check.finish();
}
