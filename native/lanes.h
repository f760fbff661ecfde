// Eight numbers at a time. GCC's and Clang's vector extensions in the widest registers that the
// unit's flags allow: eight lanes are one AVX-512 register, two of AVX2, four of SSE2 or NEON.
// No standard templates here or in what is compiled with these flags: the linker might take the
// AVX-512 copy of an inline function for machines without it.
#pragma once
#include <stdint.h>

namespace {
#if defined(__AVX512F__)
enum { WIDTH = 8 };
#elif defined(__AVX2__)
enum { WIDTH = 4 };
#else
enum { WIDTH = 2 };
#endif
enum { LANES = 8, PARTS = LANES / WIDTH };

typedef double part __attribute__((vector_size(WIDTH * 8), aligned(WIDTH * 8)));
typedef double unaligned_part __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
typedef int64_t bits __attribute__((vector_size(WIDTH * 8), aligned(WIDTH * 8)));

#define INLINE static inline __attribute__((always_inline))
#define EACH_PART for (int q = 0; q < PARTS; q++)

struct v8 {
  part v[PARTS];
  double operator[](int lane) const { return v[lane / WIDTH][lane % WIDTH]; }
};

INLINE v8 load(const double *from) { v8 r; EACH_PART r.v[q] = *(const unaligned_part *)(from + q * WIDTH); return r; }
INLINE void store(double *to, v8 x) { EACH_PART *(unaligned_part *)(to + q * WIDTH) = x.v[q]; }
INLINE v8 all(double x) { v8 r; EACH_PART r.v[q] = x - part{}; return r; }
INLINE v8 operator+(v8 a, v8 b) { EACH_PART a.v[q] += b.v[q]; return a; }
INLINE v8 operator-(v8 a, v8 b) { EACH_PART a.v[q] -= b.v[q]; return a; }
INLINE v8 operator*(v8 a, v8 b) { EACH_PART a.v[q] *= b.v[q]; return a; }
INLINE v8 operator/(v8 a, v8 b) { EACH_PART a.v[q] /= b.v[q]; return a; }
INLINE v8 operator+(v8 a, double b) { EACH_PART a.v[q] += b; return a; }
INLINE v8 operator*(double a, v8 b) { EACH_PART b.v[q] = a * b.v[q]; return b; }
INLINE v8 operator-(v8 a, double b) { EACH_PART a.v[q] -= b; return a; }
INLINE v8 operator*(v8 a, double b) { EACH_PART a.v[q] *= b; return a; }
INLINE v8 operator-(double a, v8 b) { EACH_PART b.v[q] = a - b.v[q]; return b; }
INLINE v8 &operator-=(v8 &a, v8 b) { EACH_PART a.v[q] -= b.v[q]; return a; }
INLINE v8 &operator+=(v8 &a, v8 b) { EACH_PART a.v[q] += b.v[q]; return a; }

INLINE int64_t round_up(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// Entry j of the rows of a table that the lanes belong to.
INLINE v8 gathered(const double *table, int64_t width, const int64_t *row, int64_t j) {
  double found[LANES];
  for (int lane = 0; lane < LANES; lane++) found[lane] = table[row[lane] * width + j];
  return load(found);
}

// The first `count` lanes of a, the others of b.
INLINE v8 first_lanes(int64_t count, v8 a, v8 b) {
  if (count >= LANES) return a;
  double x[LANES], y[LANES];
  store(x, a), store(y, b);
  for (int64_t lane = count; lane < LANES; lane++) x[lane] = y[lane];
  return load(x);
}

// exp as Cody & Waite: x = n log 2 + r, a polynomial of degree 11 in r (interpolated at Chebyshev
// points; its error is 1.5e-17), and n into the exponent's bits. Infinity above 709, next to
// nothing below -708.
INLINE part exp_part(part x) {
  // adding 1.5 x 2^52 leaves the nearest whole number in the lowest bits
  const part shifted = x * 1.4426950408889634074 + 6755399441055744.0;
  const part whole = shifted - 6755399441055744.0;
  const part r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10;
  const part r2 = r * r, r4 = r2 * r2;
  const part p01 = 1.0 * r + 1.0;
  const part p23 = 0.1666666666666668 * r + 0.5000000000000019;
  const part p45 = 0.008333333333319546 * r + 0.04166666666648738;
  const part p67 = 0.00019841269890193705 * r + 0.0013888888952505406;
  const part p89 = 2.7557240761739257e-06 * r + 2.4801485278370062e-05;
  const part pab = 2.5110095611886237e-08 * r + 2.7632715071632255e-07;
  const part found = ((pab * r2 + p89) * r4 + (p67 * r2 + p45)) * r4 + (p23 * r2 + p01);
  const bits power = ((bits)shifted + 1023) << 52;
  // beyond these the power is no power of 2, and what is found of no use
  part bounded = x > 709.0 ? __builtin_inf() - part{} : found * (part)power;
  return x < -708.0 ? 0x1p-1022 - part{} : bounded;
}
INLINE v8 exp8(v8 x) { EACH_PART x.v[q] = exp_part(x.v[q]); return x; }
INLINE double exp1(double x) { return exp8(all(x))[0]; }

// 2 atanh(f) / f for s = f * f, as far as |f| <= (sqrt(2) - 1) / (sqrt(2) + 1) needs it.
INLINE part log_series(part s) {
  part p = s * (2.0 / 21) + (2.0 / 19);
  p = p * s + (2.0 / 17);
  p = p * s + (2.0 / 15);
  p = p * s + (2.0 / 13);
  p = p * s + (2.0 / 11);
  p = p * s + (2.0 / 9);
  p = p * s + (2.0 / 7);
  p = p * s + (2.0 / 5);
  p = p * s + (2.0 / 3);
  return p * s + 2.0;
}

// log of positive normal numbers: the exponent, and the series of atanh for the mantissa in
// [sqrt(1/2), sqrt(2)).
INLINE part log_part(part x) {
  const bits b = (bits)x, exponent = (b - 0x3fe6a09e667f3bcdLL) >> 52;
  const part mantissa = (part)(b - (exponent << 52));
  const part exponent_as_number = (part)(exponent + 0x4338000000000000LL) - 6755399441055744.0;
  const part f = (mantissa - 1.0) / (mantissa + 1.0);
  return f * log_series(f * f) + exponent_as_number * 0.693147180559945309417;
}
INLINE v8 log8(v8 x) { EACH_PART x.v[q] = log_part(x.v[q]); return x; }

// log(1 + x) for x > -1, exact for small x too: the series of `log_part`, whose argument is x / (2 + x) where
// 1 + x needs no power of 2.
INLINE part log1p_part(part x) {
  const part u = 1.0 + x;
  const bits b = (bits)u, exponent = (b - 0x3fe6a09e667f3bcdLL) >> 52;
  const part mantissa = (part)(b - (exponent << 52));
  const part above = exponent == 0 ? x : mantissa - 1.0;
  const part exponent_as_number = (part)(exponent + 0x4338000000000000LL) - 6755399441055744.0;
  const part f = above / (above + 2.0);
  return f * log_series(f * f) + exponent_as_number * 0.693147180559945309417;
}
INLINE v8 log1p8(v8 x) { EACH_PART x.v[q] = log1p_part(x.v[q]); return x; }

// log of positive numbers that may be infinite; what is not a number stays so
INLINE v8 log_or_infinity(v8 a) { EACH_PART a.v[q] = a.v[q] < 1.7e308 ? log_part(a.v[q]) : a.v[q]; return a; }

// Larger and smaller ones of two numbers. Beside a limit what is not a number stays so.
INLINE v8 larger(v8 a, v8 b) { EACH_PART a.v[q] = a.v[q] > b.v[q] ? a.v[q] : b.v[q]; return a; }
INLINE v8 larger(v8 a, double b) { EACH_PART a.v[q] = a.v[q] < b ? b - part{} : a.v[q]; return a; }
INLINE v8 smaller(v8 a, double b) { EACH_PART a.v[q] = a.v[q] > b ? b - part{} : a.v[q]; return a; }
INLINE v8 within(v8 x, double low, double high) { return smaller(larger(x, low), high); }

// log(e^a + e^b)
INLINE v8 log_add_exp8(v8 a, v8 b) {
  v8 high = a, low = b;
  EACH_PART high.v[q] = a.v[q] > b.v[q] ? a.v[q] : b.v[q];
  EACH_PART low.v[q] = a.v[q] > b.v[q] ? b.v[q] : a.v[q];
  return high + log1p8(exp8(low - high));
}

INLINE v8 sqrt8(v8 x) {
  double y[LANES];
  store(y, x);
  for (int lane = 0; lane < LANES; lane++) y[lane] = __builtin_sqrt(y[lane]);
  return load(y);
}

// Sum over lanes, the same pairs first whatever the width of registers.
INLINE double sum(v8 a) { return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7])); }

// Sums of eight vectors as one vector, each added up as `sum` does.
INLINE v8 sums_of_eight(const v8 *a) {
#if defined(__AVX512F__)
  part t[4], u[2];
  for (int i = 0; i < 4; i++)
    t[i] = __builtin_shufflevector(a[2 * i].v[0], a[2 * i + 1].v[0], 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(a[2 * i].v[0], a[2 * i + 1].v[0], 1, 9, 3, 11, 5, 13, 7, 15);
  for (int i = 0; i < 2; i++)
    u[i] = __builtin_shufflevector(t[2 * i], t[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(t[2 * i], t[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  return v8{{__builtin_shufflevector(u[0], u[1], 0, 1, 2, 3, 8, 9, 10, 11) +
             __builtin_shufflevector(u[0], u[1], 4, 5, 6, 7, 12, 13, 14, 15)}};
#else
  double r[LANES];
  for (int i = 0; i < LANES; i++) r[i] = sum(a[i]);
  return load(r);
#endif
}
} // namespace
