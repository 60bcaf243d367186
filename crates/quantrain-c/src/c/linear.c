/* Four neighbours by their weights, as real values. */
struct linear {
    int32_t out_height, out_width, in_width, channels;
    const int32_t *low_row, *high_row, *low_column, *high_column;
    const float *row_weight, *column_weight; /* of the high one */
    int32_t in_zero, zero;
    float in_scale, scale, lo, hi;
};

static void linear_@round@(const struct linear *p, const uint8_t *x, uint8_t *y)
{
    for (int32_t i = 0; i < p->out_height; i++) {
        const float row = p->row_weight[i];
        const uint8_t *low = x + p->low_row[i] * p->in_width * p->channels, *high = x + p->high_row[i] * p->in_width * p->channels;
        for (int32_t j = 0; j < p->out_width; j++, y += p->channels) {
            const float column = p->column_weight[j];
            const float ka = (1.0f - row) * (1.0f - column), kb = (1.0f - row) * column, kc = row * (1.0f - column), kd = row * column;
            const int32_t left = p->low_column[j] * p->channels, right = p->high_column[j] * p->channels;
            for (int32_t c = 0; c < p->channels; c++) {
                const float a = (float)(low[left + c] - p->in_zero) * p->in_scale, b = (float)(low[right + c] - p->in_zero) * p->in_scale;
                const float d = (float)(high[left + c] - p->in_zero) * p->in_scale, e = (float)(high[right + c] - p->in_zero) * p->in_scale;
                const float t = (a * ka + b * kb + d * kc + e * kd) / p->scale;
                y[c] = (uint8_t)(round_@round@(limit(t, p->lo, p->hi)) + p->zero);
            }
        }
    }
}
