/* Both are brought to the finer step of the two, added, and shifted once. */
static void add_shift(const struct addition *p, const uint8_t *a, const uint8_t *b, uint8_t *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const int32_t sum = (a[i] - p->offset_a) * (1 << p->left_a) + (b[i] - p->offset_b) * (1 << p->left_b);
        y[i] = (uint8_t)(limit_integer(shift(sum, p->right), p->lo, p->hi) + p->offset);
    }
}
