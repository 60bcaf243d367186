/* Another order of axes, given by extents of y and the steps of x along them. */
static uint8_t *permute(const int32_t *extents, const int32_t *steps, int32_t rank, const uint8_t *x, uint8_t *y)
{
    if (rank == 0) {
        *y = *x;
        return y + 1;
    }
    for (int32_t i = 0; i < extents[0]; i++) {
        y = permute(extents + 1, steps + 1, rank - 1, x + i * steps[0], y);
    }
    return y;
}
