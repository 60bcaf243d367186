/* (a * s_a + b * s_b) / s_y, each step rounded. */
static void add_real_@round@(const struct addition *p, const uint8_t *a, const uint8_t *b, uint8_t *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const float real = (float)(a[i] - p->offset_a) * p->factor_a + (float)(b[i] - p->offset_b) * p->factor_b;
        y[i] = (uint8_t)(round_@round@(limit(real / p->constant, p->real_lo, p->real_hi)) + p->offset);
    }
}
