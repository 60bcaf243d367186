/* Sums that are made at once. */
enum { SUMS = 32 };

struct addition;

/* Rows or columns: how places of the output lie on the input. */
struct axis {
    int32_t input, output, kernel, stride, dilation, padding;
};

/* A convolution or a product with weights. */
struct block {
    const int8_t *weights;
    const int32_t *bias;
    const float *factors;
    const int8_t *shifts;
    /* Writes what the sums of some channels become. */
    void (*finish)(const struct block *block, int32_t channel, int32_t count, const int32_t *sums, void *y);
    /* Adds what was written to what is there; NULL where nothing is. */
    void (*add)(const struct addition *addition, const uint8_t *a, const uint8_t *b, uint8_t *y, int32_t count);
    const struct addition *addition;
    int32_t written_is_first;
    struct axis rows, columns;
    int32_t in_channels, out_channels, groups, transposed;
    /* Bytes of an element of the output. */
    int32_t element;
    /* The code of 0 of the input; limits of the output's codes and the code of 0 there. */
    int32_t in_zero, lo, hi, zero;
    float real_lo, real_hi;
};

/* The place on the input that a tap of the kernel reads, or -1. */
static int32_t source(const struct axis *axis, int32_t transposed, int32_t out, int32_t tap)
{
    int32_t place;
    if (transposed) {
        place = out + axis->padding - tap * axis->dilation;
        if (place < 0 || place % axis->stride != 0) {
            return -1;
        }
        place /= axis->stride;
    } else {
        place = out * axis->stride + tap * axis->dilation - axis->padding;
    }
    return place >= 0 && place < axis->input ? place : -1;
}

static void finish(const struct block *b, int32_t channel, int32_t count, const int32_t *sums, void *y, int32_t at)
{
    if (b->add != NULL) {
        uint8_t codes[SUMS];
        uint8_t *there = (uint8_t *)y + at;
        b->finish(b, channel, count, sums, codes);
        b->add(b->addition, b->written_is_first ? codes : there, b->written_is_first ? there : codes, there, count);
    } else {
        b->finish(b, channel, count, sums, (unsigned char *)y + at * b->element);
    }
}
