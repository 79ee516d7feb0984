#pragma once

#include <cstdio>

// What every bench needs: counted comparisons, reproducible numbers, and the contract's arithmetic on plain long long.
namespace tb {

/// \brief Counts comparisons; finish() is the exit status of the bench. A bench that compared nothing fails.
class Checker {
  public:
    explicit Checker(const char *name) : name_(name), checks_(0), failures_(0) {}

    void equal(const char *what, long long got, long long expected) {
        checks_++;
        if (got != expected && failures_++ < 10) {
            std::printf("%s: %s is %lld, expected %lld (comparison %lld)\n", name_, what, got, expected, checks_);
        }
    }

    int finish() const {
        std::printf("%s: %lld comparisons, %lld mismatches\n", name_, checks_, failures_);
        return checks_ == 0 || failures_ != 0;
    }

  private:
    const char *name_;
    long long checks_;
    long long failures_;
};

/// \brief Reproducible pseudo-random integers (xorshift64).
class Random {
  public:
    explicit Random(unsigned long long seed) : state_(seed * 2654435769ULL + 88172645463325252ULL) {}

    /// \brief A number in low … high.
    long long in(long long low, long long high) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return low + (long long)(state_ % (unsigned long long)(high - low + 1));
    }

    /// \brief A number in low … high; one time in three an end of the range or 0.
    long long edgy(long long low, long long high) {
        const long long kind = in(0, 8);
        if (kind > 2) {
            return in(low, high);
        }
        return kind == 0 ? low : kind == 1 ? high : low > 0 ? low : 0;
    }

  private:
    unsigned long long state_;
};

/// \brief floor(value / 2^shift), by division.
inline long long floor_div(long long value, unsigned shift) {
    const long long divisor = 1LL << shift;
    const long long quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

inline long long clip(long long value, long long low, long long high) {
    return value < low ? low : value > high ? high : value;
}

/// \brief clip((X*m + b) >> s, 0, C-1)
inline long long code(long long X, long long m, long long b, unsigned s, long long n_codes) {
    return clip(floor_div(X * m + b, s), 0, n_codes - 1);
}

/// \brief sat((sum + half) >> n) to `width` bits
inline long long rescaled(long long sum, unsigned n, int width, bool is_signed) {
    const long long half = n == 0 ? 0 : (1LL << n) / 2;
    const long long low = is_signed ? -(1LL << (width - 1)) : 0;
    const long long high = (1LL << (is_signed ? width - 1 : width)) - 1;
    return clip(floor_div(sum + half, n), low, high);
}

} // namespace tb
