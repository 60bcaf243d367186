/* a * b + c, rounded once; a is a code of at most 16 bits. */
static float fused(float a, float b, float c)
{
#ifdef FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    /* The product is exact. The sum is made odd where it is not exact, so that rounding it again rounds as once
       (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008). */
    const double product = (double)a * (double)b;
    double sum = product + (double)c;
    const double added = sum - product;
    const double error = (product - (sum - added)) + ((double)c - added);
    if (error < 0.0 || error > 0.0) {
        uint64_t bits;
        memcpy(&bits, &sum, sizeof bits);
        if ((bits & 1u) == 0u) {
            bits = (error > 0.0) == (sum > 0.0) ? bits + 1u : bits - 1u;
        }
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
#endif
}
