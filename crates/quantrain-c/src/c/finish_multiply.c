static void multiply_@round@(const struct block *b, int32_t channel, int32_t count, const int32_t *sums, void *y)
{
    const float *factors = b->factors + channel;
    const float lo = (float)b->lo, hi = (float)b->hi;
    uint8_t *codes = y;
    for (int32_t i = 0; i < count; i++) {
        codes[i] = (uint8_t)(round_@round@(limit((float)sums[i] * factors[i], lo, hi)) + b->zero);
    }
}
