#pragma once

namespace tb {

/// \brief The geometry of a convolution, see kan4ml::windows.
template <unsigned H, unsigned W, unsigned C, unsigned KH, unsigned KW, unsigned SH = 1, unsigned SW = 1,
          unsigned TOP = 0, unsigned BOTTOM = 0, unsigned LEFT = 0, unsigned RIGHT = 0, unsigned DH = 1,
          unsigned DW = 1>
struct geometry {
    static const unsigned height = H, width = W, channels = C;
    static const unsigned kernel_height = KH, kernel_width = KW;
    static const unsigned stride_h = SH, stride_w = SW;
    static const unsigned padding_top = TOP, padding_bottom = BOTTOM, padding_left = LEFT, padding_right = RIGHT;
    static const unsigned dilation_h = DH, dilation_w = DW;
};

// What the benches run: a plain window, stride and padding on some sides, dilation, a 1x1 and a 7x7 kernel, one
// dimension, prime sizes, a single pixel, windows that leave the last rows out.
typedef geometry<4, 5, 2, 3, 2> plain;
typedef geometry<5, 4, 2, 3, 3, 2, 1, 1, 0, 2, 1> padded;
typedef geometry<7, 5, 1, 3, 2, 1, 2, 2, 2, 1, 0, 2, 3> dilated;
typedef geometry<3, 3, 3, 1, 1, 2, 2> points;
typedef geometry<7, 7, 1, 7, 7, 1, 1, 3, 3, 3, 3> large;
typedef geometry<1, 11, 3, 1, 5, 1, 3, 0, 0, 2, 1> line;
typedef geometry<1, 1, 1, 1, 1> single;
typedef geometry<6, 7, 1, 2, 3, 3, 4> coarse;

/// \brief Rows (or columns) of windows, by trying them.
inline unsigned count(unsigned size, unsigned kernel, unsigned stride, unsigned dilation, unsigned before,
                      unsigned after) {
    unsigned n = 0;
    while (n * stride + (kernel - 1) * dilation < before + size + after) {
        n++;
    }
    return n;
}

template <class G>
struct sizes {
    static unsigned out_height() {
        return count(G::height, G::kernel_height, G::stride_h, G::dilation_h, G::padding_top, G::padding_bottom);
    }
    static unsigned out_width() {
        return count(G::width, G::kernel_width, G::stride_w, G::dilation_w, G::padding_left, G::padding_right);
    }

    /// \brief The pixel that tap t of window w reads, or -1.
    static int pixel(unsigned w, unsigned t) {
        const int oy = (int)(w / out_width()), ox = (int)(w % out_width());
        const int ky = (int)(t / G::kernel_width), kx = (int)(t % G::kernel_width);
        const int y = oy * (int)G::stride_h + ky * (int)G::dilation_h - (int)G::padding_top;
        const int x = ox * (int)G::stride_w + kx * (int)G::dilation_w - (int)G::padding_left;
        if (y < 0 || x < 0 || y >= (int)G::height || x >= (int)G::width) {
            return -1;
        }
        return y * (int)G::width + x;
    }
};

} // namespace tb
