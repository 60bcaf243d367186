static void scale(const struct block *b, int32_t channel, int32_t count, const int32_t *sums, void *y)
{
    float *values = y;
    for (int32_t i = 0; i < count; i++) {
        values[i] = limit((float)sums[i] * b->factors[channel + i], b->real_lo, b->real_hi);
    }
}
