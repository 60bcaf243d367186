/* Where samples come from and outputs go: each gives 0 where that fails. */
#include <stddef.h>

int read_bytes(void *to, size_t count);
int write_bytes(const void *from, size_t count);
