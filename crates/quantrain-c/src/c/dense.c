/* The bytes that one place of the output reads, tap by tap; outside of the image stands the code of 0. */
static const uint8_t *window(const struct block *b, const uint8_t *x, int32_t group, int32_t row, int32_t column, uint8_t *patch)
{
    const int32_t inputs = b->in_channels / b->groups, kernel = b->columns.kernel;
    const int32_t first = column * b->columns.stride - b->columns.padding;
    const int32_t is_run = b->groups == 1 && b->columns.dilation == 1 && !b->transposed && first >= 0 && first + kernel <= b->columns.input;
    uint8_t *to = patch;
    for (int32_t i = 0; i < b->rows.kernel; i++) {
        const int32_t from_row = source(&b->rows, b->transposed, row, i);
        const uint8_t *line = x + (from_row < 0 ? 0 : from_row) * b->columns.input * b->in_channels + group * inputs;
        if (from_row >= 0 && is_run) {
            if (b->rows.kernel == 1) {
                return line + first * inputs;
            }
            memcpy(to, line + first * inputs, (size_t)(kernel * inputs));
            to += kernel * inputs;
            continue;
        }
        for (int32_t j = 0; j < kernel; j++, to += inputs) {
            const int32_t from = from_row < 0 ? -1 : source(&b->columns, b->transposed, column, j);
            if (from < 0) {
                memset(to, b->in_zero, (size_t)inputs);
            } else {
                memcpy(to, line + from * b->in_channels, (size_t)inputs);
            }
        }
    }
    return patch;
}

/* Four rows of weights at once. */
static void products(const uint8_t *x, const int8_t *w, int32_t length, int32_t *sums)
{
    const int8_t *w1 = w + length, *w2 = w1 + length, *w3 = w2 + length;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (int32_t i = 0; i < length; i++) {
        sum0 += x[i] * w[i];
        sum1 += x[i] * w1[i];
        sum2 += x[i] * w2[i];
        sum3 += x[i] * w3[i];
    }
    sums[0] += sum0;
    sums[1] += sum1;
    sums[2] += sum2;
    sums[3] += sum3;
}

static int32_t product(const uint8_t *x, const int8_t *w, int32_t length)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < length; i++) {
        sum += x[i] * w[i];
    }
    return sum;
}

/* Weights are [out_channels][taps][in_channels / groups]; biases hold what the input's code of 0 adds to the sums. */
static void dense(const struct block *b, const uint8_t *x, uint8_t *patch, void *y)
{
    const int32_t outputs = b->out_channels / b->groups;
    const int32_t length = b->rows.kernel * b->columns.kernel * (b->in_channels / b->groups);
    for (int32_t i = 0; i < b->rows.output * b->columns.output * b->groups; i++) {
        const int32_t group = i % b->groups, place = i / b->groups;
        const uint8_t *from = window(b, x, group, place / b->columns.output, place % b->columns.output, patch);
        for (int32_t first = 0; first < outputs; first += SUMS) {
            const int32_t channel = group * outputs + first, count = outputs - first < SUMS ? outputs - first : SUMS;
            const int8_t *w = b->weights + channel * length;
            int32_t sums[SUMS], o = 0;
            memcpy(sums, b->bias + channel, (size_t)count * sizeof sums[0]);
            for (; o + 4 <= count; o += 4) {
                products(from, w + o * length, length, sums + o);
            }
            for (; o < count; o++) {
                sums[o] += product(from, w + o * length, length);
            }
            finish(b, channel, count, sums, y, place * b->out_channels + channel);
        }
    }
}
