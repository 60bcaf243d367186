/* The nearest integer, of two equally near the even one; |t| is below 2^22. */
static int32_t round_even(float t)
{
    const float shift = 12582912.0f; /* beside it floats are whole numbers */
    return (int32_t)((t + shift) - shift);
}
