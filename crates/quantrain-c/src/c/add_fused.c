/* a * k_a + (b * k_b + constant), each step rounded once: ONNX Runtime's QLinearAdd on x86-64. */
static void add_@round@(const struct addition *p, const uint8_t *a, const uint8_t *b, uint8_t *y, int32_t count)
{
    const float lo = (float)p->lo, hi = (float)p->hi;
    for (int32_t i = 0; i < count; i++) {
        const float t = fused((float)(a[i] - p->offset_a), p->factor_a, fused((float)(b[i] - p->offset_b), p->factor_b, p->constant));
        y[i] = (uint8_t)(round_@round@(limit(t, lo, hi)) + p->offset);
    }
}
