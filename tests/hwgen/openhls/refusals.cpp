// One kernel per construct that is outside the subset. Default parameters: short x[4] in, short y[2] out.
#include "hls_stream.h"
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

typedef short in_t;

void data_trip_count(in_t x[4], in_t y[2]) {
    int n = 0;
    for (int i = 0; i < x[0]; i++)
        n = n * 3 + x[1] + (n ^ i);
    y[0] = n;
    y[1] = n;
}
void endless(in_t x[4], in_t y[2]) {
    int n = x[0];
    while ((n * n + n) % 7 != 3)
        n = n * 5 + 1;
    y[0] = y[1] = n;
}
void variable_division(in_t x[4], in_t y[2]) {
    y[0] = x[0] / x[1];
    y[1] = 0;
}
void variable_remainder(in_t x[4], in_t y[2]) {
    y[0] = (unsigned short)x[0] % (unsigned short)(x[1] | 1);
    y[1] = 0;
}
void fixed_division(in_t x[4], in_t y[2]) {
    ap_fixed<12, 6> a = x[0], b = x[1];
    ap_fixed<12, 6> q = a / b;
    y[0] = (int)q;
    y[1] = 0;
}
void float_arithmetic(in_t x[4], in_t y[2]) {
    y[0] = (in_t)(x[0] * 0.37f);
    y[1] = 0;
}
void float_library(in_t x[4], in_t y[2]) {
    y[0] = (in_t)(100 * std::sin((double)x[0]));
    y[1] = 0;
}
void float_parameter(float x[4], in_t y[2]) { y[0] = y[1] = (in_t)x[0]; }
void local_static(in_t x[4], in_t y[2]) {
    static int count = 0;
    count += x[0];
    y[0] = y[1] = count;
}
int global_count = 1;
void global_state(in_t x[4], in_t y[2]) {
    global_count += x[0];
    y[0] = y[1] = global_count;
}
void heap_new(in_t x[4], in_t y[2]) {
    int *p = new int[(x[0] & 7) + 1];
    p[0] = x[1];
    std::printf("%p", (void *)p);
    y[0] = y[1] = p[0];
}
void heap_malloc(in_t x[4], in_t y[2]) {
    int *p = (int *)std::malloc(4 * ((x[0] & 7) + 1));
    p[x[1] & 1] = x[1];
    y[0] = y[1] = p[0];
}
void heap_vector(in_t x[4], in_t y[2]) {
    std::vector<int> v;
    for (int i = 0; i < (x[0] & 7); i++)
        v.push_back(x[i & 3]);
    y[0] = y[1] = v.empty() ? 0 : v.back();
}
int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2) * 3; }
void recursion(in_t x[4], in_t y[2]) { y[0] = y[1] = fibonacci(x[0] & 7); }
void prints(in_t x[4], in_t y[2]) {
    std::printf("%d\n", x[0]);
    y[0] = y[1] = x[0];
}
void random_number(in_t x[4], in_t y[2]) { y[0] = y[1] = x[0] + std::rand(); }
void aborts(in_t x[4], in_t y[2]) {
    if (x[0] == 5)
        std::abort();
    y[0] = y[1] = x[0];
}
const short TABLE[10] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
void table_overrun(in_t x[4], in_t y[2]) { y[0] = y[1] = TABLE[x[0] & 15]; }
void input_overrun(in_t x[4], in_t y[2]) { y[0] = y[1] = x[4]; }
void input_index(in_t x[4], in_t y[2]) { y[0] = y[1] = x[x[0] & 7]; }
void output_index(in_t x[4], in_t y[2]) {
    y[0] = y[1] = 0;
    y[x[0] & 3] = 1;
}
void both_ways(in_t x[4], in_t y[2]) {
    y[0] = x[0];
    y[1] = x[1];
    x[0] = 1;
    x[1] = x[2] = x[3] = x[0] + y[0];
}
void reads_output(in_t x[4], in_t y[2]) {
    y[0] = x[0];
    y[1] += x[1];
}
void unwritten(in_t x[4], in_t y[2]) { y[0] = x[0]; }
void sometimes_written(in_t x[4], in_t y[2]) {
    y[0] = x[0];
    if (x[1] > 3)
        y[1] = x[1];
}
struct pair_t {
    short a, b;
};
void struct_parameter(pair_t x[4], in_t y[2]) {
    y[0] = x[0].a;
    y[1] = x[1].b;
}
void stream_parameter(hls::stream<ap_int<8>> &x, in_t y[2]) { y[0] = y[1] = (int)x.read(); }
void wide_port(ap_int<80> x[4], in_t y[2]) { y[0] = y[1] = (int)x[0]; }
void no_output(const in_t x[4], const in_t y[2]) {}
void no_input(in_t x[4], in_t y[2]) { x[0] = x[1] = x[2] = x[3] = y[0] = y[1] = 1; }
short *pointer_result(in_t x[4], in_t y[2]) { return x; }
int call_a(int v) { return v + 1; }
int call_b(int v) { return v * 3; }
int (*const CHOICES[2])(int) = {call_a, call_b};
void function_pointer(in_t x[4], in_t y[2]) { y[0] = y[1] = CHOICES[x[1] & 1](x[0]); }
void pointer_comparison(in_t x[4], in_t y[2]) { y[0] = y[1] = x < y ? 1 : 2; }
void pointer_integer(in_t x[4], in_t y[2]) { y[0] = y[1] = (short)((long)x >> 4); }
void variable_array(in_t x[4], in_t y[2]) {
    int n = (x[0] & 7) + 1;
    short a[n];
    for (int i = 0; i < n; i++)
        a[i] = x[i & 3];
    y[0] = y[1] = a[n - 1];
}
void chosen_store(in_t x[4], in_t y[2], in_t z[2]) {
    y[0] = y[1] = z[0] = z[1] = 0;
    short *p = x[0] > 0 ? y : z;
    *p = 5;
}
void variable_rotation(in_t x[4], in_t y[2]) {
    unsigned v = x[0], n = x[1] & 31;
    v = (v << n) | (v >> ((32 - n) & 31));
    y[0] = y[1] = v;
}
void variable_copy(in_t x[4], in_t y[2]) {
    y[0] = y[1] = 0;
    std::memcpy(y, x, 2 * (x[3] & 1));
}
void assembler(in_t x[4], in_t y[2]) {
    asm volatile("nop");
    y[0] = y[1] = x[0];
}
int atomic_count;
void atomics(in_t x[4], in_t y[2]) { y[0] = y[1] = __sync_fetch_and_add(&atomic_count, (int)x[0]); }
typedef short four_t __attribute__((vector_size(8)));
void vectors(in_t x[4], in_t y[2]) {
    four_t v = *(four_t *)x;
    v = v * v + v;
    y[0] = v[0];
    y[1] = v[x[3] & 3];
}
int outside(int v);
void undefined_call(in_t x[4], in_t y[2]) { y[0] = y[1] = outside(x[0]); }
void overflow_builtin(in_t x[4], in_t y[2]) {
    int r;
    bool o = __builtin_mul_overflow((int)x[0] * x[1], (int)x[2] * x[3], &r);
    y[0] = r;
    y[1] = o;
}
