/* An axis of which an output index reads an input index, or nothing (-1). */
struct taken {
    int32_t count, stride;
    const int32_t *indices;
};

/* Elements by their index along each axis, in runs along the last ones. */
static uint8_t *gather(const struct taken *axes, int32_t rank, const struct taken *runs, const uint8_t *x, int32_t fill, uint8_t *y)
{
    if (rank > 0) {
        for (int32_t i = 0; i < axes->count; i++) {
            const int32_t index = axes->indices[i];
            y = gather(axes + 1, rank - 1, runs, x == NULL || index < 0 ? NULL : x + index * axes->stride, fill, y);
        }
        return y;
    }
    /* Pairs: where a run starts, and its length. */
    for (int32_t i = 0; i < runs->count; i++) {
        const int32_t from = runs->indices[2 * i], length = runs->indices[2 * i + 1];
        if (x == NULL || from < 0) {
            memset(y, fill, (size_t)length);
        } else {
            memcpy(y, x + from, (size_t)length);
        }
        y += length;
    }
    return y;
}
