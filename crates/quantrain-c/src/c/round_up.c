/* The nearest integer, of two equally near the greater one; |t| is below 2^22. */
static int32_t round_up(float t)
{
    int32_t whole = (int32_t)t;
    whole -= (float)whole > t;
    return t - (float)whole >= 0.5f ? whole + 1 : whole;
}
