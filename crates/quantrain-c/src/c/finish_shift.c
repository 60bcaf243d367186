static void shift_up(const struct block *b, int32_t channel, int32_t count, const int32_t *sums, void *y)
{
    uint8_t *codes = y;
    for (int32_t i = 0; i < count; i++) {
        codes[i] = (uint8_t)(limit_integer(shift(sums[i], b->shifts[channel + i]), b->lo, b->hi) + b->zero);
    }
}
