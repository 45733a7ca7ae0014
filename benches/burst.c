/* Starts a command so many times at once, and tells how long each of them took: what a host sees
 * when all its guests start together.
 *
 *   burst COUNT ROUNDS STDIN-FILE COMMAND [ARGUMENT...]
 *
 * Prints, separated by tabs, over all rounds: median, 99th percentile and maximum in us, and how
 * many failed. A child's time is from its own start, when it has been let go, to its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "burst: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    unsigned count, rounds, failed = 0, done = 0;
    uint64_t *took, *begun;

    if (argc < 5) {
        errno = EINVAL;
        die("usage: burst COUNT ROUNDS STDIN-FILE COMMAND [ARGUMENT...]");
    }
    count = (unsigned)atoi(argv[1]);
    rounds = (unsigned)atoi(argv[2]);
    took = calloc((size_t)count * rounds, sizeof *took);
    begun = mmap(NULL, count * sizeof *begun, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!took || begun == MAP_FAILED)
        die("memory");
    for (unsigned round = 0; round < rounds; round++) {
        pid_t *pids = calloc(count, sizeof *pids);
        int gate[2];

        if (!pids || pipe2(gate, O_CLOEXEC))
            die("pipe2");
        for (unsigned i = 0; i < count; i++) {
            pids[i] = fork();
            if (pids[i] < 0)
                die("fork");
            if (pids[i] == 0) {
                int in = open(argv[3], O_RDONLY), null = open("/dev/null", O_WRONLY);
                char byte;

                if (in < 0 || null < 0)
                    die(argv[3]);
                dup2(in, 0);
                dup2(null, 1);
                dup2(null, 2);
                close(gate[1]);
                /* ends when the parent lets go */
                while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
                    ;
                begun[i] = now();
                execv(argv[4], argv + 4);
                _exit(127);
            }
        }
        close(gate[0]);
        usleep(200000);
        close(gate[1]);
        for (unsigned left = count; left > 0; left--) {
            int status;
            pid_t pid = wait(&status);
            uint64_t end = now();

            for (unsigned i = 0; i < count; i++)
                if (pids[i] == pid)
                    took[done++] = end - begun[i];
            failed += status != 0;
        }
        free(pids);
    }
    qsort(took, done, sizeof *took, by_size);
    printf("%llu\t%llu\t%llu\t%u\n", (unsigned long long)took[done / 2],
           (unsigned long long)took[done * 99 / 100], (unsigned long long)took[done - 1], failed);
    return 0;
}
