/* The nearest integer, of two equally near the one further from 0; |t| is below 2^22. */
static int32_t round_away(float t)
{
    const int32_t whole = (int32_t)t;
    const float rest = t - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}
