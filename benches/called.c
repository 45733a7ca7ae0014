/* Runs a program, and prints the address of each of its functions that is called, in the order of the first calls:
 * `benches/order` makes .cargo/order.ld of them.
 *
 * usage: called PROGRAM [ARGUMENT...] 3< ADDRESSES
 *
 * ADDRESSES has the hexadecimal addresses of the functions, one a line. Each gets a breakpoint, which goes when it is
 * reached. Threads are followed, and children up to their exec, since they share the memory. For x86 only. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FUNCTIONS = 65536, BREAKPOINT = 0xcc };

static struct function {
    unsigned long address;
    unsigned char first_byte, is_called;
} functions[MOST_FUNCTIONS];
static size_t count;

static void die(const char *what)
{
    fprintf(stderr, "called: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int by_address(const void *a, const void *b)
{
    unsigned long x = ((const struct function *)a)->address, y = ((const struct function *)b)->address;

    return (x > y) - (x < y);
}

static void set_byte(int memory, unsigned long address, unsigned char byte)
{
    if (pwrite(memory, &byte, 1, (off_t)address) != 1)
        die("its memory");
}

/* A process has stopped at a breakpoint: notes its function, and lets it go on there. */
static void reached(int memory, pid_t pid)
{
    struct user_regs_struct registers;
    struct function key = {0}, *found;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers))
        return;
    key.address = registers.rip - 1;
    found = bsearch(&key, functions, count, sizeof *functions, by_address);
    if (!found)
        return;
    if (!found->is_called) {
        found->is_called = 1;
        printf("%lx\n", found->address);
        set_byte(memory, found->address, found->first_byte);
    }
    registers.rip = found->address;
    ptrace(PTRACE_SETREGS, pid, NULL, &registers);
}

int main(int argc, char **argv)
{
    FILE *addresses = fdopen(3, "r");
    char path[64];
    int memory, status;
    pid_t pid, one;
    size_t i;

    if (argc < 2 || !addresses) {
        fprintf(stderr, "usage: called PROGRAM [ARGUMENT...] 3< ADDRESSES\n");
        return 2;
    }
    while (count < MOST_FUNCTIONS && fscanf(addresses, "%lx", &functions[count].address) == 1)
        count++;
    fclose(addresses);
    qsort(functions, count, sizeof *functions, by_address);
    pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[1], argv + 1);
        die(argv[1]);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        die(argv[1]);
    ptrace(PTRACE_SETOPTIONS, pid, NULL,
        PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    memory = open(path, O_RDWR | O_CLOEXEC);
    if (memory < 0)
        die(path);
    for (i = 0; i < count; i++)
        if (pread(memory, &functions[i].first_byte, 1, (off_t)functions[i].address) == 1)
            set_byte(memory, functions[i].address, BREAKPOINT);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    while ((one = waitpid(-1, &status, __WALL)) > 0) {
        int signal = 0;

        if (!WIFSTOPPED(status)) {
            if (one == pid)
                break;
            continue;
        }
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            ptrace(PTRACE_DETACH, one, NULL, NULL);
            continue;
        }
        if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0)
            reached(memory, one);
        else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
            signal = WSTOPSIG(status);
        ptrace(PTRACE_CONT, one, NULL, (void *)(long)signal);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
