/* A window over an image. */
struct pool {
    int32_t in_height, in_width, channels, out_height, out_width;
    int32_t kernel[2], stride[2], padding[2], dilation[2];
    /* Of a mean: what each window's sum is divided by, limits in steps, what is added before rounding. */
    const int32_t *counts;
    int32_t in_zero, zero;
    float in_scale, scale, lo, hi, on_top;
};
