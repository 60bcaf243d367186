static void nearest(const int32_t *rows, int32_t out_height, const int32_t *columns, int32_t out_width, int32_t in_width, int32_t channels,
                    const uint8_t *x, uint8_t *y)
{
    for (int32_t i = 0; i < out_height; i++) {
        for (int32_t j = 0; j < out_width; j++, y += channels) {
            memcpy(y, x + (rows[i] * in_width + columns[j]) * channels, (size_t)channels);
        }
    }
}
