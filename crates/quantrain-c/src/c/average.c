/* The mean of each window, of real values. */
static void average_pool_@round@(const struct pool *p, const uint8_t *x, uint8_t *y)
{
    for (int32_t place = 0; place < p->out_height * p->out_width; place++, y += p->channels) {
        const int32_t top = place / p->out_width * p->stride[0] - p->padding[0];
        const int32_t left = place % p->out_width * p->stride[1] - p->padding[1];
        for (int32_t c = 0; c < p->channels; c++) {
            float sum = 0.0f;
            for (int32_t i = 0; i < p->kernel[0]; i++) {
                const int32_t row = top + i * p->dilation[0];
                for (int32_t j = 0; j < p->kernel[1]; j++) {
                    const int32_t column = left + j * p->dilation[1];
                    if (row >= 0 && row < p->in_height && column >= 0 && column < p->in_width) {
                        sum += (float)(x[(row * p->in_width + column) * p->channels + c] - p->in_zero) * p->in_scale;
                    }
                }
            }
            const float t = sum / (float)p->counts[place] / p->scale + p->on_top;
            y[c] = (uint8_t)(round_@round@(limit(t, p->lo, p->hi)) + p->zero);
        }
    }
}
