/* Each channel by itself; weights are [taps][channels]. */
static void depthwise(const struct block *b, const uint8_t *x, void *y)
{
    const int32_t channels = b->out_channels;
    for (int32_t place = 0; place < b->rows.output * b->columns.output; place++) {
        const int32_t row = place / b->columns.output, column = place % b->columns.output;
        for (int32_t first = 0; first < channels; first += SUMS) {
            const int32_t count = channels - first < SUMS ? channels - first : SUMS;
            int32_t sums[SUMS];
            memcpy(sums, b->bias + first, (size_t)count * sizeof sums[0]);
            for (int32_t i = 0; i < b->rows.kernel; i++) {
                const int32_t from_row = source(&b->rows, b->transposed, row, i);
                if (from_row < 0) {
                    continue;
                }
                for (int32_t j = 0; j < b->columns.kernel; j++) {
                    const int32_t from_column = source(&b->columns, b->transposed, column, j);
                    if (from_column >= 0) {
                        const uint8_t *from = x + (from_row * b->columns.input + from_column) * channels + first;
                        const int8_t *w = b->weights + (i * b->columns.kernel + j) * channels + first;
                        for (int32_t c = 0; c < count; c++) {
                            sums[c] += (from[c] - b->in_zero) * w[c];
                        }
                    }
                }
            }
            finish(b, first, count, sums, y, place * channels + first);
        }
    }
}
