/* Measures commands beside each other: every round runs each of them once, in a
 * newly shuffled order, so that a slow moment of the machine hits all alike.
 *
 * usage: harness ROUNDS CASES
 * CASES is a file with one command a line, fields separated by tabs:
 *     name  file for stdin  path to execute  argument...
 * Prints a line for each, separated by tabs:
 *     name  minimum in us  median in us  peak memory in KiB  calls that failed
 *
 * The document waits in the pipe before the clock starts, as libvirt writes it while the
 * hook starts. Time is from just before posix_spawn to the return of wait4. Peak memory is
 * ru_maxrss, whose floor is this program's own size: it therefore keeps no document in memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CASES = 64, MOST_ARGUMENTS = 160 };

struct command {
    char *name;
    char *stdin_file;
    char *argv[MOST_ARGUMENTS + 1];
    uint32_t *ns;
    long peak_kib;
    unsigned failed;
};

static struct command commands[MOST_CASES];
static unsigned count;
extern char **environ;

static void die(const char *what)
{
    fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_cases(const char *path, unsigned rounds)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    if (!file)
        die(path);
    while (getline(&line, &room, file) > 0) {
        struct command *c = &commands[count];
        char *rest = strdup(line), *field;
        unsigned n = 0;

        if (count == MOST_CASES || !rest) {
            errno = E2BIG;
            die(path);
        }
        rest[strcspn(rest, "\n")] = 0;
        c->name = strsep(&rest, "\t");
        c->stdin_file = strsep(&rest, "\t");
        while ((field = strsep(&rest, "\t"))) {
            if (n == MOST_ARGUMENTS) {
                errno = E2BIG;
                die(c->name);
            }
            c->argv[n++] = field;
        }
        c->ns = calloc(rounds, sizeof *c->ns);
        if (!n || !c->ns) {
            errno = EINVAL;
            die(path);
        }
        count++;
    }
    free(line);
    fclose(file);
}

/* The read end of a pipe that holds the whole file and has no writer any more. */
static int filled_pipe(const char *path)
{
    int ends[2], file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    off_t left;

    if (file < 0 || fstat(file, &st) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        die(path);
    if (st.st_size > 65536 && fcntl(ends[1], F_SETPIPE_SZ, (int)st.st_size) < 0)
        die("F_SETPIPE_SZ");
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    for (left = st.st_size; left > 0;) {
        char part[16384];
        ssize_t got = read(file, part, sizeof part);

        if (got <= 0 || write(ends[1], part, (size_t)got) != got)
            die("filling the pipe");
        left -= got;
    }
    close(ends[1]);
    close(file);
    return ends[0];
}

static void run_once(struct command *c, unsigned round, int record)
{
    posix_spawn_file_actions_t actions;
    struct timespec from, to;
    struct rusage usage;
    int status, error, in = filled_pipe(c->stdin_file);
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    error = posix_spawn(&pid, c->argv[0], &actions, NULL, c->argv, environ);
    if (error) {
        errno = error;
        die(c->argv[0]);
    }
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR)
            die("wait4");
    clock_gettime(CLOCK_MONOTONIC, &to);
    posix_spawn_file_actions_destroy(&actions);
    close(in);
    if (!record)
        return;
    c->ns[round] = (uint32_t)((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec);
    if (usage.ru_maxrss > c->peak_kib)
        c->peak_kib = usage.ru_maxrss;
    c->failed += status != 0;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static unsigned below(unsigned limit)
{
    static uint64_t state = 88172645463325252ull; /* the same order in every run */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % limit);
}

int main(int argc, char **argv)
{
    unsigned order[MOST_CASES], rounds, round, i;

    if (argc != 3 || !(rounds = (unsigned)atoi(argv[1]))) {
        fprintf(stderr, "usage: harness ROUNDS CASES\n");
        return 2;
    }
    read_cases(argv[2], rounds);
    if (!count) {
        fprintf(stderr, "harness: %s: no case\n", argv[2]);
        return 2;
    }
    for (i = 0; i < count; i++)
        order[i] = i;
    for (round = 0; round < 3; round++) /* warm up */
        for (i = 0; i < count; i++)
            run_once(&commands[i], 0, 0);
    for (round = 0; round < rounds; round++) {
        for (i = count; i > 1; i--) {
            unsigned j = below(i), kept = order[i - 1];

            order[i - 1] = order[j];
            order[j] = kept;
        }
        for (i = 0; i < count; i++)
            run_once(&commands[order[i]], round, 1);
    }
    for (i = 0; i < count; i++) {
        struct command *c = &commands[i];

        qsort(c->ns, rounds, sizeof *c->ns, by_size);
        printf("%s\t%.1f\t%.1f\t%ld\t%u\n", c->name, c->ns[0] / 1e3, c->ns[rounds / 2] / 1e3, c->peak_kib, c->failed);
    }
    return 0;
}
