/* Start and files of a Cortex-M in QEMU, by semihosting: what driver.c needs there. */
#include <stdint.h>
#include <string.h>

#include "driver.h"

extern uint8_t data_start[], data_end[], data_from[], bss_start[], bss_end[], stack_top[];

int main(void);

static uintptr_t call(uintptr_t operation, const void *arguments)
{
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uintptr_t open_file(const char *name, uintptr_t mode)
{
    const uintptr_t arguments[3] = {(uintptr_t)name, mode, strlen(name)};
    return call(0x01, arguments);
}

static uintptr_t given, written;

int read_bytes(void *to, size_t count)
{
    const uintptr_t arguments[3] = {given, (uintptr_t)to, count};
    return call(0x06, arguments) == 0; /* the number of bytes that were not read */
}

int write_bytes(const void *from, size_t count)
{
    const uintptr_t arguments[3] = {written, (uintptr_t)from, count};
    return call(0x05, arguments) == 0;
}

static void reset(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: the FPU is on */
#endif
    memcpy(data_start, data_from, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    given = open_file("codes", 1);
    written = open_file("found", 5);
    const int status = main();
    const uintptr_t arguments[2] = {0x20026, (uintptr_t)status}; /* the application is over */
    call(0x20, arguments);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void *const vectors[2] = {stack_top, (void *)reset};
