// Loaded before a program (LD_PRELOAD), answers its CPUID instructions as a CPU with AVX2 and nothing newer would: no VNNI, no AVX-512, no AMX.
// Linux on x86-64 can be asked to trap the instruction (arch_prctl, CPUID faulting), which most Intel and newer AMD CPUs have.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

static long allow_cpuid(unsigned long allowed) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

// Bits of leaf 7: EBX, ECX, EDX of subleaf 0, and EAX, EDX of subleaf 1 (Intel's manual, volume 2, CPUID).
static const unsigned AVX512_EBX = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const unsigned AVX512_ECX = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const unsigned AVX512_AMX_EDX = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
static const unsigned AVX_VNNI_EAX = 1u << 4 | 1u << 5 | 1u << 23;
static const unsigned AVX_VNNI_EDX = 1u << 4 | 1u << 5 | 1u << 10;

static void answer(int number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    static const unsigned char INSTRUCTION[2] = {0x0f, 0xa2};
    if (memcmp((const void *)registers[REG_RIP], INSTRUCTION, sizeof INSTRUCTION)) {
        // Another fault: it comes again, and ends the program.
        signal(number, SIG_DFL);
        return;
    }
    unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX], a, b, c, d;
    allow_cpuid(1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    allow_cpuid(0);
    if (leaf == 7 && subleaf == 0)
        b &= ~AVX512_EBX, c &= ~AVX512_ECX, d &= ~AVX512_AMX_EDX;
    if (leaf == 7 && subleaf == 1)
        a &= ~AVX_VNNI_EAX, d &= ~AVX_VNNI_EDX;
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += sizeof INSTRUCTION;
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSEGV, &action, NULL) || allow_cpuid(0)) {
        perror("without_vnni: CPUID cannot be trapped here");
        _exit(3);
    }
}
