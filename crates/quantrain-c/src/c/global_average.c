/* Sums over the pixels of an image, times a factor. */
struct average {
    int32_t pixels, channels, in_zero, zero;
    float factor, lo, hi;
};

static void average_@round@(const struct average *p, const uint8_t *x, uint8_t *y)
{
    for (int32_t c = 0; c < p->channels; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < p->pixels; i++) {
            sum += x[i * p->channels + c];
        }
        y[c] = (uint8_t)(round_@round@(limit((float)(sum - p->pixels * p->in_zero) * p->factor, p->lo, p->hi)) + p->zero);
    }
}
