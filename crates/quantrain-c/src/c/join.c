/* Runs of x to places of y that lie `step` apart. */
static void join(const uint8_t *x, uint8_t *y, int32_t run, int32_t step, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        memcpy(y + i * step, x + i * run, (size_t)run);
    }
}
