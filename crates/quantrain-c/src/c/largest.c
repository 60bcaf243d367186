static void largest(const struct pool *p, const uint8_t *x, uint8_t *y)
{
    for (int32_t place = 0; place < p->out_height * p->out_width; place++, y += p->channels) {
        memset(y, 0, (size_t)p->channels);
        for (int32_t i = 0; i < p->kernel[0]; i++) {
            const int32_t row = place / p->out_width * p->stride[0] + i * p->dilation[0] - p->padding[0];
            for (int32_t j = 0; j < p->kernel[1]; j++) {
                const int32_t column = place % p->out_width * p->stride[1] + j * p->dilation[1] - p->padding[1];
                if (row >= 0 && row < p->in_height && column >= 0 && column < p->in_width) {
                    const uint8_t *from = x + (row * p->in_width + column) * p->channels;
                    for (int32_t c = 0; c < p->channels; c++) {
                        y[c] = from[c] > y[c] ? from[c] : y[c];
                    }
                }
            }
        }
    }
}
