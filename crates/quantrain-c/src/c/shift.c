/* floor(t / 2^right + 1/2); t * 2^-right where right is negative. */
static int32_t shift(int32_t t, int32_t right)
{
    if (right <= 0) {
        return t * (1 << -right);
    }
    t += 1 << (right - 1);
    return t < 0 ? ~(~t >> right) : t >> right;
}
