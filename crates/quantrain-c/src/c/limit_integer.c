static int32_t limit_integer(int32_t t, int32_t lo, int32_t hi)
{
    t = t > lo ? t : lo;
    return t < hi ? t : hi;
}
