// Convolutional layers of seven geometries, with one coder, two coders and no base branch, coder and basis shared or
// per channel, all windows at once and rolled. The model sums over the edges of every window in plain long long.
#include "conv_layer.h"
#include "kan4ml/kan_conv2d.h"

static tb::Checker check("kan_conv2d");

template <class data_T, class res_T, class G, unsigned N_OUT, unsigned REUSE, bool PER_CHANNEL, bool SHARED>
static void layer(unsigned long long seed) {
    typedef tb::conv_layer<G, N_OUT, 11, PER_CHANNEL, SHARED> tables;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    static const unsigned n_in = G::height * G::width * G::channels, n_windows = kan4ml::windows<G>::n_windows;
    tb::Random random(seed);
    for (int n = 0; n < 4; n++) {
        const tables t(random);
        for (int image = 0; image < 8; image++) {
            long long X[n_in];
            data_T x[n_in];
            res_T y[n_windows * N_OUT], z[n_windows * N_OUT];
            for (unsigned i = 0; i < n_in; i++) {
                X[i] = random.edgy(in::lowest, in::highest);
                x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
            }
            kan4ml::kan_conv2d<data_T, res_T, typename tables::template both_config<REUSE>>(
                x, y, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output, t.weights, t.base_mult,
                t.base_offset, t.base_table, t.base_weights, t.ms, t.mb, t.bias);
            kan4ml::kan_conv2d<data_T, res_T, typename tables::template spline_config<REUSE>>(
                x, z, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output, t.weights, t.ms, t.bias);
            for (unsigned w = 0; w < n_windows; w++) {
                for (unsigned o = 0; o < N_OUT; o++) {
                    check.equal("Y", (long long)kan4ml::to_raw(y[w * N_OUT + o]),
                                tb::rescaled(t.sum(X, w, o, true), 6, out::width, out::is_signed));
                    check.equal("Y without base", (long long)kan4ml::to_raw(z[w * N_OUT + o]),
                                tb::rescaled(t.sum(X, w, o, false), 6, out::width, out::is_signed));
                }
            }
        }
    }
}

// A pixel that does not exist: no basis function, and a window that lies within the basis.
template <class CONFIG>
static void outside() {
    kan4ml::spline_pixel<CONFIG> pixel;
    static const unsigned channels = CONFIG::geometry::channels, window = CONFIG::basis::window;
    for (unsigned c = 0; c < channels; c++) {
        pixel.start[c] = kan4ml::raw_bits<typename CONFIG::basis::start_t>::highest;
        for (unsigned j = 0; j < window; j++) {
            pixel.value[c][j] = 1;
        }
    }
    kan4ml::outside_spline<CONFIG>(pixel);
    for (unsigned c = 0; c < channels; c++) {
        check.equal("start outside", (long long)pixel.start[c], 0);
        for (unsigned j = 0; j < window; j++) {
            check.equal("value outside", (long long)pixel.value[c][j], 0);
        }
    }
}

int main() {
    typedef ap_fixed<6, 2, AP_RND, AP_SAT> real_in;
    typedef ap_ufixed<5, 5, AP_RND, AP_SAT> code_in;
    typedef ap_ufixed<4, 4, AP_RND, AP_SAT> code_out;
    typedef ap_fixed<9, 4, AP_RND, AP_SAT> real_out;
    layer<real_in, code_out, tb::plain, 3, 1, false, true>(1);
    layer<real_in, real_out, tb::padded, 2, 5, true, true>(2);
    layer<code_in, real_out, tb::padded, 3, 1, true, false>(3);
    layer<real_in, real_out, tb::dilated, 2, 7, false, false>(4);
    layer<code_in, code_out, tb::points, 5, 2, true, true>(5);
    layer<real_in, real_out, tb::large, 1, 49, false, true>(6);
    layer<real_in, ap_int<12>, tb::line, 2, 4, true, false>(7);
    layer<code_in, real_out, tb::single, 1, 1, false, true>(8);
    outside<tb::conv_layer<tb::padded, 2, 11, true, true>::spline_config<5>>();
    outside<tb::conv_layer<tb::plain, 3, 11, false, true>::spline_config<1>>();
    return check.finish();
}
