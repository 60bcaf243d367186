static void look_up(const uint8_t *table, const uint8_t *x, uint8_t *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        y[i] = table[x[i]];
    }
}
