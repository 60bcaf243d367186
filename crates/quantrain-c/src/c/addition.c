/* The sum of two tensors of codes. */
struct addition {
    int32_t offset_a, offset_b, offset, lo, hi;
    /* In floats. */
    float factor_a, factor_b, constant, real_lo, real_hi;
    /* By shifts. */
    int32_t left_a, left_b, right;
};
