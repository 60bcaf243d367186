/* Signed codes are held plus 128. */
static void flip(const void *from, void *to, int32_t count)
{
    const uint8_t *x = from;
    uint8_t *y = to;
    for (int32_t i = 0; i < count; i++) {
        y[i] = x[i] ^ 0x80u;
    }
}
